// An order, sent with one Idempotency-Key until there is a reply: a double click, a reload, a lost connection and a second
// tab make one order. What is unanswered is known to all tabs of this browser.

import { askJson, credentials, sleep } from "./api.js";

const STORE = "suno-stems.orders";
const KEPT = 23 * 3600 * 1000; // milliseconds
const TRIES = 30;
const LONGEST_WAIT = 5; // seconds
const IN_DOUBT = new Set(["unreachable", "internal_error", "ledger_unavailable"]); // the order may have been written before it failed

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

/** The order that was made with this key; "" if none is known. */
export const orderOf = (key) => noted()[key]?.id ?? "";

/** What makes an order another one for the service. Its limits do not: songs that a lost order has split cost nothing any more. */
const wantedOf = ({ songs, stem_task: task, stem_name: part, audio_format: format }) => JSON.stringify([songs, task, part ?? "", format ?? ""]);

/**
 * Send an order: {body, key, at}, with `at` the time of its quote. Returns its id. The same order without a reply is sent again with its
 * old key; if another tab has sent the same since `at`, its order is returned. `onWait` gets each Failure that is retried. Throws a
 * Failure; with `isOrder`, the order may have been made.
 */
export async function send({ body, key, at }, onWait = () => {}) {
  const same = mine().find((one) => one.key === key) ?? mine().find((one) => wantedOf(one.body) === wantedOf(body) && (!one.id || one.at > at));
  if (same?.id) return same.id;
  const sender = credentials.headers; // the account at the click pays, even if another is entered meanwhile
  const entry = { body, key: same?.key ?? key, who: credentials.read().who, at: Date.now() };
  note({ ...entry, isUnderWay: true });
  try {
    const { id } = await sendUntilAnswered(entry, sender, onWait);
    note({ ...entry, id });
    return id;
  } catch (failure) {
    const isOrder = IN_DOUBT.has(failure.code);
    if (isOrder) note(entry);
    else forget(entry);
    throw Object.assign(failure, { isOrder });
  }
}

async function sendUntilAnswered({ body, key }, sender, onWait) {
  for (let tries = 1; ; tries++) {
    try {
      return (await askJson("/api/orders", { body, headers: { "Idempotency-Key": key }, sender })).reply;
    } catch (failure) {
      if (failure.code !== "unreachable" || tries === TRIES) throw failure;
      onWait(failure);
      await sleep(failure.retryAfter ?? Math.min(tries, LONGEST_WAIT));
    }
  }
}
