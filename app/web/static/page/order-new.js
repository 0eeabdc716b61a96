// A new order: what is wanted of the chosen songs, what it would cost, and the one button that pays.

import { Failure, askJson } from "./api.js";
import { button, make, say, the } from "./dom.js";
import * as choices from "./order-choice.js";
import { fill } from "./order-pane.js";
import * as rules from "./order-rules.js";
import { interrupted, send } from "./order-sending.js";
import { count } from "./rules.js";
import { attempt } from "./session.js";

const NO_PLAYLIST = { error: "Suno knows no such playlist, or it belongs to another account. Copy its link again.", code: "song_not_found" };
const TITLE = "Split several songs";

const KINDS = [["two", "Voice and music"], ["part", "One part and the rest"], ["twelve", "Every instrument"]];
const FILES = [["", "None now: open the stems later"], ["mp3", "MP3"], ["m4a", "M4A"], ["wav", "WAV: exact, large"]];

let looking = false; // whether the price is asked for
let paying = false;

/** Show the choice and its price until the signal. `open` is called with the id of the order that was paid. */
export function show(pane, signal, open) {
  const chosen = choices.choice();
  const part = make("select", {}, ...[...the("part").options].map(({ value }) => make("option", { value }, value)));
  part.value = chosen.part || part.options[0].value;
  const kind = select(KINDS, chosen.task);
  const format = select(FILES, chosen.format);
  const ofPart = make("label", {}, "Part ", part);
  const look = button("Show the price", () => attempt(() => lookAt(signal)));
  const want = () => {
    choices.choose({ task: kind.value, part: kind.value === "part" ? part.value : "", format: format.value });
    attempt(() => lookAt(signal));
  };
  for (const each of [kind, part, format]) each.addEventListener("change", want);
  const about = make("p", {});
  const status = make("p", { id: "order-status", role: "status" });
  const price = make("div", {});
  fill(
    pane,
    [TITLE],
    about,
    make("div", { className: "row" }, make("label", {}, "Stems ", kind), ofPart, make("label", {}, "Files ", format)),
    make("p", { className: "row" }, look),
    status,
    price,
  );
  const draw = () => {
    const now = choices.choice();
    about.textContent = aboutOf(now);
    ofPart.hidden = now.task !== "part";
    look.hidden = now.quote !== null || looking || !choices.isChosen(now);
    if (now.quote) say("order-status", "");
    price.replaceChildren(...(now.quote ? priceOf(now, signal, open) : []));
  };
  choices.onChange(draw, signal);
  draw();
  if (!chosen.quote) attempt(() => lookAt(signal));
}

/** Send again what was being sent when the page was left: it is the same order. */
export async function resume(open) {
  for (const entry of interrupted()) open(await send(entry));
}

/** Ask what the choice would cost, which is free. */
async function lookAt(signal) {
  const chosen = choices.choice();
  if (!choices.isChosen(chosen)) return;
  const asked = choices.bodyOf(chosen);
  looking = true;
  say("order-status", chosen.playlist ? "Looking at the playlist…" : `Looking at ${count(chosen.songs.length, "song")}…`);
  try {
    const { reply } = await askJson("/api/orders", { body: JSON.parse(asked), signal });
    looking = false;
    choices.noteQuote(asked, reply);
  } catch (failure) {
    if (chosen.playlist && failure.code === "song_not_found") throw new Failure(NO_PLAYLIST);
    throw failure;
  } finally {
    looking = false;
    if (!signal.aborted) say("order-status", "");
  }
}

function aboutOf({ songs, playlist, quote }) {
  if (playlist) return quote ? `A playlist of ${count(quote.reply.songs.length, "song")}.` : "A playlist.";
  return songs.length ? `${count(songs.length, "song")} chosen.` : "Choose songs with Select, or paste the link of a playlist.";
}

function priceOf(chosen, signal, open) {
  const { reply } = chosen.quote;
  const withFiles = chosen.format !== "";
  const sum = rules.payable(reply);
  const words = rules.buttonWords(sum, withFiles);
  const pay = button(words, () => attempt(() => order(pay, chosen, sum, open, signal)), "main");
  const sentences = rules.sumWords(reply, withFiles).map((sentence) => make("li", {}, sentence));
  return [
    tableOf(reply, withFiles),
    make("div", { className: "pay" }, make("ul", { className: "small" }, ...sentences), words ? pay : make("p", {}, rules.nothingWords(reply))),
  ];
}

/** Pay at most what is shown. */
async function order(pay, chosen, sum, open, signal) {
  if (paying || choices.choice().quote !== chosen.quote) return;
  paying = pay.disabled = true;
  say("order-status", "Sending the order…");
  try {
    const body = { songs: sum.songs, ...choices.wantedOf(chosen), on_captcha: "wait", max_credits: sum.credits };
    if (chosen.format) body.max_downloads = sum.downloads;
    const { key, at } = chosen.quote;
    const wait = ({ message }) => !signal.aborted && say("order-status", `${message} This page retries; nothing is charged twice.`);
    const id = await send({ body, key, at }, wait);
    if (choices.choice().quote?.key === key) choices.clear();
    if (signal.aborted) the("elsewhere").replaceChildren(make("a", { href: rules.addressOf(id) }, "The order"), " has begun.");
    else open(id);
  } finally {
    paying = pay.disabled = false;
    if (!signal.aborted) say("order-status", "");
  }
}

function tableOf({ songs, does_not_fit: missing }, withFiles) {
  const names = ["Song", "What happens", "Credits", ...(withFiles ? ["Downloads"] : [])];
  const head = make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name)));
  const rows = songs.map((song) => {
    const title = make("th", { scope: "row" }, make("bdi", {}, song.title || song.song_id));
    const numbers = ["credits", ...(withFiles ? ["downloads"] : [])].map((name) => make("td", { className: "number" }, rules.amountWords(song, name, missing)));
    return make("tr", { className: missing.includes(song.song_id) ? "apart" : song.state }, title, make("td", {}, rules.outlookWords(song, missing)), ...numbers);
  });
  return make("table", { className: "quote" }, make("caption", { className: "unseen" }, "What would happen"), make("thead", {}, head), make("tbody", {}, ...rows));
}

function select(options, chosen) {
  const made = make("select", {}, ...options.map(([value, name]) => make("option", { value }, name)));
  made.value = chosen;
  return made;
}
