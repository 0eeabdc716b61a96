// An order is sent once.

import { credentials } from "./api.js";
import { sentOrders } from "./sending.js";

const IN_DOUBT = new Set(["unreachable", "internal_error", "ledger_unavailable"]); // the order may have been written before it failed

/** The order that was made with this key; "" if none is known. */
export const orderOf = (key) => sentOrders.all[key]?.id ?? "";

/** What makes an order another one for the service. Its limits do not: songs that a lost order has split cost nothing any more. */
const wantedOf = ({ songs, stem_task: task, stem_name: part, audio_format: format }) => JSON.stringify([songs, task, part ?? "", format ?? ""]);

/**
 * Send an order: {question: the body, key, at}, with `at` the time of its quote. Returns its id. The same order without a reply is sent
 * again with its old key; if another tab has sent the same since `at`, its order is returned. `onWait` gets each Failure that is
 * retried. Throws a Failure; with `isOrder`, the order may have been made.
 */
export async function send({ question, key, at }, onWait = () => {}) {
  const { mine } = sentOrders;
  const isSame = (one) => wantedOf(one.question) === wantedOf(question) && (!one.id || one.at > at);
  const same = mine.find((one) => one.key === key) ?? mine.find(isSame);
  if (same?.id) return same.id;
  const entry = { question, key: same?.key ?? key, who: credentials.read().who, at: Date.now() };
  try {
    const { id } = (await sentOrders.send("/api/orders", entry, onWait)).reply;
    sentOrders.note({ ...entry, id });
    return id;
  } catch (failure) {
    const isOrder = IN_DOUBT.has(failure.code);
    if (isOrder) sentOrders.note(entry);
    else sentOrders.forget(entry);
    throw Object.assign(failure, { isOrder });
  }
}
