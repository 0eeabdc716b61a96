// What pays: each is sent with one Idempotency-Key until there is a reply. A double click, a reload, a lost connection and a second
// tab pay once, as all tabs of this browser know what has no reply yet.

import { askJson, credentials, sleep } from "./api.js";

const KEPT = 23 * 3600 * 1000; // milliseconds: the service honours a key for a day
const TRIES = 30;
const LONGEST_WAIT = 5; // seconds
const RETRIED = new Set(["in_progress", "unreachable"]);

/** Entries that are stored in this browser: {key, question: the body, who, at, underWay, …}. */
class Sent {
  #store;

  constructor(store) {
    this.#store = store;
  }

  /** The entries of the last day, by Idempotency-Key. */
  get all() {
    const known = Object.entries(JSON.parse(localStorage.getItem(this.#store) ?? "{}"));
    return Object.fromEntries(known.filter(([, { at }]) => Date.now() - at < KEPT));
  }

  /** Never those of another API key, cookie or account. */
  get mine() {
    const { who } = credentials.read();
    return Object.values(this.all).filter((entry) => entry.who === who);
  }

  /** What was being sent when the page was left, or is by another tab. */
  get interrupted() {
    return this.mine.filter(({ underWay }) => underWay);
  }

  note(entry) {
    localStorage.setItem(this.#store, JSON.stringify({ ...this.all, [entry.key]: entry }));
  }

  forget({ key }) {
    const { [key]: _, ...others } = this.all;
    localStorage.setItem(this.#store, JSON.stringify(others));
  }

  /** Note an entry as under way, and send it until there is a reply; `onWait` gets each Failure that is retried. Returns what askJson does. */
  async send(path, entry, onWait) {
    const sender = credentials.headers; // the account at the click pays, even if another is entered meanwhile
    this.note({ ...entry, underWay: true });
    for (let tries = 1; ; tries++) {
      try {
        return await askJson(path, { body: entry.question, headers: { "Idempotency-Key": entry.key }, sender });
      } catch (failure) {
        if (!RETRIED.has(failure.code) || tries === TRIES) throw failure;
        onWait(failure);
        await sleep(failure.retryAfter ?? Math.min(tries, LONGEST_WAIT));
      }
    }
  }
}

export const sentSplits = new Sent("suno-stems.splits");
export const sentOrders = new Sent("suno-stems.orders");
