// Earlier splits: what the service still knows of this account's, newest first. In any browser, also a new one.

import { askJson, isStopped } from "./api.js";
import { SIGN_IN, button, make, the } from "./dom.js";
import * as rules from "./rules.js";
import * as runs from "./runs.js";
import * as songs from "./songs.js";

const MOST = 100; // the service lists no more
const FEW = 3; // are shown at first
const IDS_AT_ONCE = 50;
const LOOK_EVERY = 2000; // milliseconds, while files are being fetched: it makes no call to Suno
const NONE = "Songs that you split are listed here, also in another browser.";
const FOLLOWED_FOR = 600_000; // milliseconds after its start in which a split is followed

let scope = null; // the account's
let splits = [];
let areAllShown = false;
let isRead = false;
let timers = [];
let onChoose = () => {};
const clips = new Map(); // songs that the list of songs has not loaded, by id
const nameless = new Map(); // what stands for songs that are not read yet, by id
const followed = new Set(); // request ids: each is followed once
const final = new Set(); // ids of stems that were followed to their end: the list may not have it yet
let items = new Map(); // list items by request id

/** Connect the list; `choose` is called with a split. */
export function start(choose) {
  onChoose = choose;
  document.addEventListener("visibilitychange", () => document.hidden || reload());
}

/** Show the splits of an account, as long as its scope lasts. */
export function show(account) {
  scope = account;
  splits = [];
  areAllShown = isRead = false;
  for (const known of [clips, nameless, followed, final]) known.clear();
  draw();
  return reload();
}

/** Read the list again. Splits that another browser has begun go on here. */
export async function reload() {
  const mine = scope;
  try {
    const { reply } = await askJson(`/api/requests?limit=${MOST}`, { signal: mine.signal });
    splits = reply;
  } catch (failure) {
    if (isStopped(failure) || mine !== scope) return;
    the("earlier").hidden = SIGN_IN.has(failure.code); // the form for that is open
    the("earlier-more").replaceChildren("They cannot be read now. ", button("Try again", reload));
    return;
  }
  the("earlier").hidden = false;
  if (!isRead) the("earlier").open = splits.length > 0; // later it must not push the songs down
  isRead = true;
  for (const split of splits) goOn(split);
  for (const { audio_id: id } of splits) songs.mark(id);
  draw();
  await readSongs(mine);
}

/** Whether the service keeps files of a song's stems. */
export const isKept = (songId) => splits.some(({ audio_id: id, kept }) => id === songId && kept);

/** Whether Suno may have charged for such a split of a song, without a reply. */
export const isInDoubt = (songId, kind) =>
  splits.some((split) => split.audio_id === songId && split.state === "in_doubt" && rules.kindAsked(split) === kind);

/** Show a run that has changed. */
export function note(run) {
  if (run.stage === "ended") for (const { id } of run.stems.filter(rules.isFinal)) final.add(id);
  if (["person", "making", "ended"].includes(run.stage) && run.listedAt !== run.stage) {
    run.listedAt = run.stage;
    reload();
  } else draw();
}

const isYoung = ({ created_at: began }) => Date.now() - Date.parse(began) < FOLLOWED_FOR;
/** Whether a split goes on. Without a job nobody notes that its stems are final: then its run knows. */
const isOpen = (split) => {
  const { state, ready, audio_format: format, request_id: id } = split;
  if (state === "needs_person") return true;
  const mayGoOn = state === "started" || (state === "done" && !ready && (format || runOf(split) || !followed.has(id)));
  return Boolean(mayGoOn && isYoung(split));
};
const runOf = (split) => (split.ready ? null : runs.runsOf(split.audio_id).find(({ kind }) => kind === rules.kindAsked(split)));
const titleOf = (id) => songOf(id).title ?? null;
const songOf = (id) => songs.clipOf(id) ?? clips.get(id) ?? unknown(id);

/** Stands for a song until it is read: the same object each time. */
function unknown(id) {
  if (!nameless.has(id)) nameless.set(id, { id });
  return nameless.get(id);
}

function goOn(split) {
  if (!isOpen(split) || followed.has(split.request_id)) return;
  followed.add(split.request_id);
  runs.goOn(split, titleOf(split.audio_id));
}

/** Read the titles and covers of shown songs that are not in the loaded part of the list of songs. */
async function readSongs(mine) {
  const ids = [...new Set(shown().map(({ audio_id: id }) => id))].filter((id) => !songs.clipOf(id) && !clips.has(id)).slice(0, IDS_AT_ONCE);
  if (!ids.length) return;
  const seen = await askJson(`/api/get?ids=${ids.join()}`, { signal: mine.signal }).catch(() => null);
  if (mine !== scope || !seen) return;
  for (const id of ids) clips.set(id, seen.reply.find((clip) => clip.id === id) ?? { id });
  draw();
  await readSongs(mine);
}

const shown = () => (areAllShown ? splits : splits.filter((split, i) => i < FEW || isOpen(split)));

function draw() {
  timers.forEach(clearTimeout);
  timers = [];
  const old = items;
  items = new Map(shown().map((split) => [split.request_id, itemOf(split, old.get(split.request_id))]));
  const isSame = the("splits").childElementCount === items.size && [...items.values()].every((one, i) => the("splits").children[i] === one);
  if (!isSame) the("splits").replaceChildren(...items.values()); // otherwise the focus stays where it is
  const left = splits.length - shown().length;
  if (isRead) the("earlier-more").replaceChildren(left ? button(`Show all ${splits.length}`, showAll) : splits.length ? "" : NONE);
  if (splits.some(runOf)) timers.push(setTimeout(tick, 1000));
  if (splits.some((split) => isOpen(split) && !runOf(split))) timers.push(setTimeout(() => document.hidden || reload(), LOOK_EVERY));
}

function showAll() {
  areAllShown = true;
  draw();
  the("splits").children[FEW]?.firstElementChild.focus();
  readSongs(scope);
}

/** Show how long splits have been running. */
function tick() {
  for (const split of splits) {
    const state = items.get(split.request_id)?.querySelector(".now");
    if (state && runOf(split)) state.textContent = stateOf(split);
  }
  if (splits.some(runOf)) timers.push(setTimeout(tick, 1000));
}

/** The list item of a split: the one that is shown, unless its song was not known then. */
function itemOf(split, known) {
  const song = songOf(split.audio_id);
  const made = known?.song === song ? known : newItem(song);
  made.split = split;
  const state = stateOf(split);
  const marks = [state && make("span", { className: "mark now" }, state), split.kept && make("span", { className: "mark" }, "kept here")];
  const words = `${rules.kindInWords(rules.kindAsked(split))}, ${rules.when(split.created_at)}`;
  made.querySelector(".small").replaceChildren(words, ...marks.filter(Boolean));
  return made;
}

function newItem(song) {
  const text = make("span", {}, make("b", { dir: "auto" }, song.title || song.id), make("span", { className: "small" }));
  const made = make("li", {}, make("button", { type: "button", onclick: () => onChoose(made.split) }, songs.cover(song), text));
  made.song = song;
  return made;
}

/** The state of a split in words; "" if it is done. */
function stateOf(split) {
  const run = runOf(split);
  if (split.state === "needs_person") return "waits for you";
  if (run) return `splitting… ${rules.clock((Date.now() - run.began) / 1000)}`;
  if (split.state === "failed") return "failed";
  if (split.state === "in_doubt") return "no reply from Suno";
  if (split.complete === false) return `${rules.count(split.failed.length, "stem")} failed`;
  return isOpen(split) ? (split.clips.every((clip) => rules.isFinal(clip) || final.has(clip.id)) ? "fetching the audio" : "splitting…") : "";
}
