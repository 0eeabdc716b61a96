// Orders of many songs, free of elements and requests: addresses, sums, words.

import { capital, clock, count, day, plain } from "./rules.js";

export const MOST_SONGS = 200;

const LIST = "#/orders";
const NEW = "#/order";
const STATES = { running: "Running", paused: "Paused", finished: "Done", cancelled: "Stopped" };
const OUTLOOKS = { split: "split", has_stems: "has stems already", not_found: "not found" };
const SONG_STATES = { waiting: "waiting", running: "in progress", needs_person: "needs you", done: "done" };
const REASONS = {
  over_limit: "The next song needs more than this order may spend. Go on to see how much more.",
  over_budget: "Your budget allows no more now. Go on when it does again.",
  not_allowed: "You may not use this Suno account, or split like this, any more. Ask the operator of this service, then go on.",
  out_of_credits: "The Suno account has no credits left. Buy some at suno.com, then go on.",
  out_of_downloads: "The Suno account has no downloads left for the files. Go on when there are some again.",
  captcha_required: "Suno wants to see a person. Solve the captcha at suno.com, then go on.",
  price_changed: "The last song took more credits than expected. Look at the account at suno.com before you go on.",
  suno_session_expired: "This service is signed out at Suno. Its operator has to sign in again; then go on.",
  suno_cookie_missing: "This service has lost its Suno account. Its operator has to set it up again; then go on.",
  suno_failed: "Suno did not say what is left in the account. Look at it at suno.com, then go on.",
  audio_full: "This service cannot keep more files now. Its operator has to see to that; then go on.",
  internal_error: "This service failed again and again on this order. Its operator finds the reason in its log; then go on.",
};
const SONG_REASONS = {
  song_not_found: "Suno knows no such song on this account.",
  in_progress: "Another split of it has no result yet. Nothing was charged for it here. Open the song to see which stems it has.",
  outcome_unknown: "Suno's reply was lost, and it may have charged. Open the song to see which stems it has.",
  cancelled: "It was stopped before it began. Nothing was charged for it.",
};
const NO_REASON = "Suno gave no reason.";
const AT_SUNO = new Set(["out_of_credits", "captcha_required", "price_changed", "suno_failed"]);

/** Which view of orders an address means: {isList}, {isNew}, {id}; null if none. */
export function viewIn(hash) {
  if (hash === LIST) return { isList: true };
  if (hash === NEW) return { isNew: true };
  const id = /^#\/order\/([0-9A-Za-z_-]+)$/.exec(hash)?.[1];
  return id ? { id } : null;
}
export const addressOf = (id) => `${NEW}/${id}`;
export { LIST, NEW };

/** The kind of stems of an order or a request for one, in words. */
export function kindWords({ stem_task: task, stem_name: part }) {
  if (task === "twelve") return "every instrument";
  return part && part.toLowerCase() !== "lead vocal" ? `${part.toLowerCase()} and the rest` : "voice and music";
}

/** What may be ordered of a quote: {songs: ids, split, free: how many, credits, downloads, impossible, missing: how many are left out}. */
export function payable({ songs, does_not_fit: missing }) {
  const apart = new Set(missing);
  const fit = songs.filter((song) => isPossible(song) && !apart.has(song.song_id));
  const split = fit.filter(({ state }) => state === "split").length;
  return {
    songs: fit.map(({ song_id: id }) => id),
    split,
    free: fit.length - split,
    credits: sum(fit, "credits"),
    downloads: sum(fit, "downloads"),
    impossible: songs.filter((song) => !isPossible(song)).length,
    missing: songs.length - fit.length - songs.filter((song) => !isPossible(song)).length,
  };
}

const isPossible = ({ state }) => state === "split" || state === "has_stems";
const sum = (songs, name) => songs.reduce((total, song) => total + song[name], 0);

/** Credits and downloads, as far as there are some: "120 credits · 12 downloads"; "free". */
export function costWords(credits, downloads = 0) {
  return [credits ? count(credits, "credit") : "", downloads ? count(downloads, "download") : ""].filter(Boolean).join(" · ") || "free";
}

/** The words of the button that pays, with the sum; "" if there is nothing to order. */
export function buttonWords({ songs, split, credits, downloads }, withFiles) {
  if (!songs.length || (!split && !withFiles)) return "";
  const what = split ? `Split ${count(split, "song")}` : `Fetch the stems of ${count(songs.length, "song")}`;
  return `${what} · ${costWords(credits, downloads)}`;
}

/** What would happen to a song of a quote. */
export function outlookWords({ song_id: id, state, error }, missing) {
  if (missing.includes(id)) return "does not fit: too little is left";
  if (state === "refused") return `refused: ${plain(error?.error ?? NO_REASON)}`;
  return OUTLOOKS[state] ?? state;
}

/** What a song of a quote costs; "–" if it is not ordered. */
export const amountWords = (song, name, missing) => (isPossible(song) && !missing.includes(song.song_id) ? String(song[name]) : "–");

/** Why there is nothing to order. */
export function nothingWords(quote) {
  const { missing, free } = payable(quote);
  if (missing) return "Too little is left for a split. Show the price again when there is more.";
  return free ? "There is nothing to split: open these songs, and hear their stems." : "There is nothing to split.";
}

/** The sums of a quote, in sentences. */
export function sumWords(quote, withFiles) {
  const { split, free, credits, downloads, impossible, missing } = payable(quote);
  const { credits_left: creditsLeft, downloads_left: downloadsLeft } = quote;
  const left = [
    creditsLeft === null ? "" : count(creditsLeft, "credit"),
    downloadsLeft === null ? "" : count(downloadsLeft, "download"),
  ].filter(Boolean);
  return [
    split ? `${count(split, "song")} to split: ${costWords(credits)}.` : "No song is split.",
    free ? `${count(free, "song")} ${have(free)} such stems already.` : "",
    withFiles ? `The files use ${count(downloads, "download")}.` : "",
    left.length ? `Left to spend: ${left.join(" and ")}.` : "",
    missing ? `${count(missing, "song")} ${missing === 1 ? "does" : "do"} not fit, and ${are(missing)} left out.` : "",
    impossible ? `${count(impossible, "song")} cannot be split, and ${are(impossible)} left out.` : "",
  ].filter(Boolean);
}

const have = (number) => (number === 1 ? "has" : "have");
const are = (number) => (number === 1 ? "is" : "are");

/** How many songs of an order are in each state. */
export function tally({ songs }) {
  const of = (state) => songs.filter((song) => song.state === state).length;
  const [done, failed, running, waiting, person] = ["done", "failed", "running", "waiting", "needs_person"].map(of);
  return { done, failed, running, waiting, person, all: songs.length };
}

/** Whether something may still change by itself; whether nothing changes any more. */
export const isMoving = (order) => order.state === "running" || tally(order).running > 0;
export const isOver = (order) => !isMoving(order) && order.state !== "paused";

/** The songs of an order, in words: ["Ocean Wanderer", " and 11 more"]. A title may be written from right to left. */
export function nameParts({ songs: [first, ...others] }) {
  return [first?.title || first?.song_id || "", others.length ? ` and ${others.length} more` : ""];
}
export const nameOf = (order) => nameParts(order).join("");

/** The songs that an order has left, and could be ordered again: those that never began, and those that cost nothing. */
export function restOf({ state, songs }) {
  if (state !== "cancelled" && state !== "finished") return [];
  return songs.filter((song) => song.state === "waiting" || song.state === "needs_person" || (song.state === "failed" && !song.credits)).map(({ song_id: id }) => id);
}

/** "Running: 7 of 12 songs are done, 1 failed." */
export function stateWords(order) {
  const { done, failed, running, all } = tally(order);
  const parts = [`${done} of ${count(all, "song")} ${are(done)} done`, failed ? `${failed} failed` : ""];
  const goesOn = order.state !== "running" && running ? ` ${count(running, "song")} that ${have(running)} begun ${running === 1 ? "goes" : "go"} on.` : "";
  const name = songOfPerson(order) ? "Waits for you" : STATES[order.state];
  return `${name}: ${parts.filter(Boolean).join(", ")}.${goesOn}`;
}

/** What is not certain: a song without a reply may have been charged, and counts as if it was. */
const upTo = ({ songs }) => (songs.some(({ error, credits, downloads }) => error?.code === "outcome_unknown" && credits + downloads > 0) ? "up to " : "");

/** What an order has spent, and may spend. */
export function spentWords(order) {
  const { state, credits, downloads, max_credits: most, max_downloads: mostDownloads } = order;
  const isOpen = state === "running" || state === "paused";
  const spent = `${upTo(order)}${count(credits, "credit")}${mostDownloads === null ? "" : ` and ${count(downloads, "download")}`}`;
  if (!isOpen) return `It has spent ${spent}.`;
  const limit = `${most}${mostDownloads === null ? "" : ` and ${mostDownloads}`}`;
  return `Spent so far: ${spent}, of at most ${limit}.`;
}

/** The song that waits for a person; null if none does, or the order has ended. */
export const songOfPerson = ({ state, songs }) => (state === "running" && songs.find((song) => song.state === "needs_person")) || null;

/** What comes next in an order, around the title of a song: {before, title, after}; null if nothing is known. */
export function nextOf(order) {
  const { songs, next_song: id, next_in: seconds } = order;
  const titled = (song, before, after) => ({ before, title: song.title || song.song_id, after });
  const person = songOfPerson(order);
  if (person) return titled(person, "", " waits for you, and the songs behind it wait too.");
  const next = songs.find((song) => song.song_id === id);
  if (!next) return null;
  const isSoon = seconds === null || seconds < 1;
  return titled(next, "Next: ", isSoon ? "." : seconds < 60 ? `, in about ${count(Math.ceil(seconds), "second")}.` : `, in about ${clock(seconds)}.`);
}

/** The state of a song of an order, in words. */
export function songWords({ state, error }, order) {
  if (order.state === "cancelled" && (state === "waiting" || state === "needs_person")) return "not begun";
  if (state === "failed") return `failed: ${SONG_REASONS[error?.code] ?? plain(error?.error ?? NO_REASON)}`;
  return SONG_STATES[state] ?? state;
}

/** What a song of an order has cost, in words; "" if it has not begun. */
export function songCost({ state, credits, downloads }) {
  return state === "waiting" || state === "needs_person" || (state === "failed" && !credits && !downloads) ? "" : costWords(credits, downloads);
}

/** Why an order is paused, and whether its owner can do something at suno.com. */
export const reasonWords = ({ code, error }) => REASONS[code] ?? plain(error);
export const leadsToSuno = ({ code }) => AT_SUNO.has(code);

/**
 * The limits with which an order does the songs that wait, from a quote of these. Suno may take as much for each as it took for the dearest.
 * Returns {credits, downloads: more than was agreed, caps: the body of the request}.
 */
export function capsFor(order, quote) {
  const dearest = Math.max(0, ...order.songs.map(({ credits }) => credits));
  const costs = quote.songs.filter(({ state }) => state === "split").map(({ credits }) => Math.max(credits, dearest));
  const credits = order.credits + costs.reduce((total, cost) => total + cost, 0);
  const caps = { max_credits: Math.max(order.max_credits, credits) };
  const isLimited = order.max_downloads !== null;
  if (isLimited) caps.max_downloads = Math.max(order.max_downloads, order.downloads + quote.downloads);
  return { credits: caps.max_credits - order.max_credits, downloads: isLimited ? caps.max_downloads - order.max_downloads : 0, caps };
}

/** An order in a list: what, when, how far. */
export function aboutOrder(order) {
  const spent = order.credits || order.downloads ? `${upTo(order)}${costWords(order.credits, order.downloads)}` : "nothing spent";
  return [capital(kindWords(order)), day(order.created_at), spent, STATES[order.state].toLowerCase()].join(" · ");
}
