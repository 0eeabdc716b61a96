// An order, sent with one Idempotency-Key until there is a reply: a double click, a reload, a lost connection and a second
// tab make one order. What is unanswered is known to all tabs of this browser.

import { askJson, credentials, sleep } from "./api.js";

const STORE = "suno-stems.orders";
const KEPT = 23 * 3600 * 1000; // milliseconds
const TRIES = 30;
const LONGEST_WAIT = 5; // seconds
const UNANSWERED = new Set(["unreachable", "in_progress"]);

/** The orders of this browser of the last day, by Idempotency-Key: `id` once they are answered. */
function noted() {
  const known = Object.entries(JSON.parse(localStorage.getItem(STORE) ?? "{}"));
  return Object.fromEntries(known.filter(([, { at }]) => Date.now() - at < KEPT));
}

function note(entry) {
  localStorage.setItem(STORE, JSON.stringify({ ...noted(), [entry.key]: entry }));
}

function forget({ key }) {
  const { [key]: _, ...others } = noted();
  localStorage.setItem(STORE, JSON.stringify(others));
}

const mine = () => Object.values(noted()).filter(({ who }) => who === credentials.read().who);

/** The orders that were being sent when the page was left. Never one of another API key or account. */
export const interrupted = () => mine().filter(({ isUnderWay }) => isUnderWay);

/**
 * Send an order: {body, key, at}, with `at` the time of its quote. Returns its id. If another tab has sent the same since then, its
 * order is returned. `onWait` gets each Failure that is retried. Throws a Failure: sent again, it is the same order.
 */
export async function send({ body, key, at }, onWait = () => {}) {
  const asked = JSON.stringify(body);
  const same = mine().find((one) => one.asked === asked && (one.key === key || one.isUnderWay || one.at > at));
  if (same?.id) return same.id;
  const sender = credentials.headers; // the account at the click pays, even if another is entered meanwhile
  const entry = { asked, body, key: same?.key ?? key, who: credentials.read().who, at: Date.now() };
  note({ ...entry, isUnderWay: true });
  try {
    const { id } = await sendUntilAnswered(entry, sender, onWait);
    note({ ...entry, id });
    return id;
  } catch (failure) {
    if (UNANSWERED.has(failure.code)) note(entry);
    else forget(entry);
    throw failure;
  }
}

async function sendUntilAnswered({ body, key }, sender, onWait) {
  for (let tries = 1; ; tries++) {
    try {
      return (await askJson("/api/orders", { body, headers: { "Idempotency-Key": key }, sender })).reply;
    } catch (failure) {
      if (!UNANSWERED.has(failure.code) || tries === TRIES) throw failure;
      onWait(failure);
      await sleep(failure.retryAfter ?? Math.min(tries, LONGEST_WAIT));
    }
  }
}
