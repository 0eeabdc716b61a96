// A split, retried with one Idempotency-Key until there is a reply: a double click, a reload, a lost connection and a
// second tab pay once. What is unanswered is known to all tabs of this browser.

import { askJson, credentials, newId, sleep } from "./api.js";

const STORE = "suno-stems.splits";
const KEPT = 23 * 3600 * 1000; // milliseconds: the service honours a key for a day
const TRIES = 30;
const LONGEST_WAIT = 5; // seconds
const IN_DOUBT = new Set(["outcome_unknown", "in_progress", "unreachable", "suno_failed", "internal_error"]);

/** The splits of this browser without a reply yet, by Idempotency-Key. */
function unanswered() {
  const known = Object.entries(JSON.parse(localStorage.getItem(STORE) ?? "{}"));
  return Object.fromEntries(known.filter(([, { at }]) => Date.now() - at < KEPT));
}

function note(entry) {
  localStorage.setItem(STORE, JSON.stringify({ ...unanswered(), [entry.key]: entry }));
}

/** Forget a split that has its reply. Call this once its stems are stored elsewhere. */
export function forget({ key }) {
  const { [key]: _, ...others } = unanswered();
  localStorage.setItem(STORE, JSON.stringify(others));
}

/** The splits that were running when the page was left. Never one of another API key, cookie or account. */
export function interrupted() {
  const { who } = credentials.read();
  return Object.values(unanswered()).filter((entry) => entry.underWay && entry.who === who);
}

/**
 * The split for a body of POST /api/generate_stems: the one that has no reply yet, with its old body, or a new one.
 * An old body may have another format: what is paid for is the same.
 */
export function splitFor(question) {
  const { who } = credentials.read();
  const paidFor = ({ audio_id: song, stem_task: task, stem_name: part }) => JSON.stringify([song, task, part ?? ""]);
  const known = Object.values(unanswered()).find((entry) => entry.who === who && paidFor(entry.question) === paidFor(question));
  return known ?? { question, key: newId(), who, at: Date.now() };
}

/**
 * Send a split, and retry until there is a reply; `onWait` gets each Failure that is retried. Returns {stems}, or, if
 * Suno wants to see a person, {request, person}: the id of the request, and what to do. Throws a Failure; splitFor then returns the same split.
 */
export async function ask(entry, onWait) {
  const sender = credentials.headers; // the account at the click pays, even if another is entered meanwhile
  note({ ...entry, underWay: true });
  try {
    return await askUntilAnswered(entry, sender, onWait);
  } catch (failure) {
    if (failure.code === "idempotency_key_reused") forget(entry); // its key would be refused again
    else note({ ...entry, underWay: false, inDoubt: IN_DOUBT.has(failure.code) });
    throw Object.assign(failure, { isSplit: true });
  }
}

async function askUntilAnswered({ question, key }, sender, onWait) {
  for (let tries = 1; ; tries++) {
    try {
      const headers = { "Idempotency-Key": key };
      const { reply, headers: got } = await askJson("/api/generate_stems", { body: question, headers, sender });
      if (Array.isArray(reply)) return { stems: reply };
      return { request: got.get("Location").split("/").at(-1), person: reply.person };
    } catch (failure) {
      if (!["in_progress", "unreachable"].includes(failure.code) || tries === TRIES) throw failure;
      onWait(failure);
      await sleep(failure.retryAfter ?? Math.min(tries, LONGEST_WAIT));
    }
  }
}
