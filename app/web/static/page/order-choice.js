// The songs that are chosen for an order, what is wanted of them, and the price that was quoted for exactly that. Kept in this tab.

import { askJson, credentials, newId } from "./api.js";
import { MOST_SONGS } from "./order-rules.js";

const STORE = "suno-stems.choice";
const EMPTY = { songs: [], playlist: "", task: "two", part: "", format: "", quote: null };

const listeners = new Set();
let now = null;

/** The choice: {songs: ids, playlist: a link instead, task, part, format: "" for no files, quote}. */
export function choice() {
  const { who } = credentials.read();
  if (now?.who !== who) {
    const kept = JSON.parse(sessionStorage.getItem(STORE) ?? "null");
    now = kept?.who === who ? kept : { ...EMPTY, who };
  }
  return now;
}

/** Call `listen` after each change, until the signal. */
export function onChange(listen, signal) {
  listeners.add(listen);
  signal.addEventListener("abort", () => listeners.delete(listen), { once: true });
}

/** Change the choice: the price that was quoted before is then not that of the choice, and cannot be paid. */
export function choose(changes) {
  keep({ ...choice(), ...changes, quote: null });
}

/** Note what a choice would cost, unless it has changed or got its price meanwhile. Its key makes it one order, however often it is sent. */
export function noteQuote(asked, reply) {
  if (bodyOf(choice()) === asked && !choice().quote) keep({ ...choice(), quote: { reply, key: newId(), at: Date.now() } });
}

/** Choose nothing. What is wanted of songs stays. */
export const clear = () => choose({ songs: [], playlist: "" });

/** Whether something is chosen, and not too much. */
export const isChosen = ({ songs, playlist }) => playlist !== "" || (songs.length > 0 && songs.length <= MOST_SONGS);

/** What an order wants of each song, as a choice has it. */
export const choiceOf = ({ stem_task: task, stem_name: part, audio_format: format }) => ({ task: part ? "part" : task, part, format: format ?? "" });

/** What is wanted of each song, as a request has it. */
export function wantedOf({ task, part, format }) {
  return {
    stem_task: task === "twelve" ? "twelve" : "two",
    ...(task === "part" ? { stem_name: part } : {}),
    ...(format ? { audio_format: format } : {}),
  };
}

/** The body of the request for the price, as text. */
export function bodyOf(chosen) {
  const { songs, playlist } = chosen;
  return JSON.stringify({ ...(playlist ? { playlist } : { songs }), ...wantedOf(chosen), quote: true });
}

/** Ask what a body would cost, which is free. */
export const askPrice = async (body, signal) => (await askJson("/api/orders", { body: JSON.parse(body), signal })).reply;

function keep(changed) {
  now = changed;
  sessionStorage.setItem(STORE, JSON.stringify(now));
  for (const listen of listeners) listen(now);
}
