// A split that is asked for until it is answered, with one Idempotency-Key: a double click, a reload and a lost
// connection pay once.

import { askJson, credentials, newId, sleep } from "./api.js";

const STORE = "suno-stems.splits";
const TRIES = 30;
const LONGEST_WAIT = 5; // seconds

/** The splits of this tab that have no answer yet, by their question. */
function unanswered() {
  return JSON.parse(sessionStorage.getItem(STORE) ?? "{}");
}

function keep(splits) {
  sessionStorage.setItem(STORE, JSON.stringify(splits));
}

function note(split) {
  keep({ ...unanswered(), [JSON.stringify(split.question)]: split });
}

function forget(split) {
  const { [JSON.stringify(split.question)]: _, ...others } = unanswered();
  keep(others);
}

/** The split that was under way when the page was left, or null. Never one of another API key, cookie or account. */
export function interrupted() {
  const { who } = credentials.read();
  return Object.values(unanswered()).find((split) => split.underWay && split.who === who) ?? null;
}

/**
 * Ask for a split, and again until there is an answer. `question` is the body of POST /api/generate_stems; `onWait`
 * learns why it goes on. Returns the stems. Throws a Failure; the same question goes on with the same key then.
 */
export async function split(question, onWait) {
  const { who } = credentials.read();
  const known = unanswered()[JSON.stringify(question)];
  const entry = known && known.who === who ? known : { question, key: newId(), who };
  note({ ...entry, underWay: true });
  try {
    const stems = await askUntilAnswered(entry, onWait);
    forget(entry);
    return stems;
  } catch (failure) {
    note({ ...entry, underWay: false });
    throw failure;
  }
}

async function askUntilAnswered({ question, key }, onWait) {
  for (let tries = 1; ; tries++) {
    try {
      const headers = { "Idempotency-Key": key };
      return (await askJson("/api/generate_stems", { body: question, headers })).told;
    } catch (failure) {
      if (!["in_progress", "unreachable"].includes(failure.code) || tries === TRIES) throw failure;
      onWait(failure);
      await sleep(failure.retryAfter ?? Math.min(tries, LONGEST_WAIT));
    }
  }
}
