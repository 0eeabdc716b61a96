// A new order: what is wanted of the chosen songs, what it would cost, and the one button that pays.

import { Failure } from "./api.js";
import { button, make, say, the } from "./dom.js";
import * as choices from "./order-choice.js";
import { fill } from "./order-pane.js";
import * as rules from "./order-rules.js";
import { orderOf, send } from "./order-sending.js";
import { count } from "./rules.js";
import { sentOrders } from "./sending.js";
import { attempt } from "./session.js";

const NO_PLAYLIST = { error: "Suno knows no such playlist, or it belongs to another account. Copy its link again.", code: "song_not_found" };
const TITLE = "Split several songs";

const KINDS = [["two", "Voice and music"], ["part", "One part and the rest"], ["twelve", "Every instrument"]];
const FILES = [["", "None now: open the stems later"], ["mp3", "MP3"], ["m4a", "M4A"], ["wav", "WAV: exact, large"]];

let sending = ""; // what is said while an order is sent
let draw = () => {}; // of the view that is shown

/** Show the choice and its price until the signal. `open` is called with the id of the order that was paid. */
export function show(pane, signal, open) {
  const chosen = choices.choice();
  const made = chosen.quote && orderOf(chosen.quote.key);
  if (made) return leaveFor(made, chosen, open); // another tab has sent it again
  const part = make("select", {}, ...[...the("part").options].map(({ value }) => make("option", { value }, value)));
  part.value = chosen.part || part.options[0].value;
  const kind = select(KINDS, chosen.task);
  const format = select(FILES, chosen.format);
  const ofPart = make("label", {}, "Part ", part);
  const look = button("Show the price", () => attempt(lookAt));
  for (const each of [kind, part, format]) {
    each.addEventListener("change", () => {
      choices.choose({ task: kind.value, part: kind.value === "part" ? part.value : "", format: format.value });
      attempt(lookAt);
    });
  }
  const about = make("p", {});
  const price = make("div", {});
  fill(
    pane,
    [TITLE],
    about,
    make("div", { className: "row" }, make("label", {}, "Stems ", kind), ofPart, make("label", {}, "Files ", format)),
    make("p", { className: "row" }, look),
    make("p", { id: "order-status", role: "status" }),
    price,
  );
  let asked = ""; // the price of this body is asked for
  let shown = null; // the quote that is shown
  draw = () => {
    if (signal.aborted) return;
    const now = choices.choice();
    const isAsked = asked === choices.bodyOf(now);
    about.textContent = aboutOf(now);
    ofPart.hidden = now.task !== "part";
    look.hidden = (now.quote !== null && payWords(now) !== "") || isAsked || !choices.isChosen(now);
    say("order-status", sending || (isAsked ? `Looking at ${now.playlist ? "the playlist" : count(now.songs.length, "song")}…` : ""));
    if (shown !== now.quote) price.replaceChildren(...(now.quote ? priceOf(now, () => order(now, open, signal)) : []));
    shown = now.quote;
    const pay = price.querySelector("button");
    if (pay) pay.disabled = sending !== "";
  };
  /** Ask what the choice would cost, which is free. */
  const lookAt = async () => {
    const now = choices.choice();
    const body = choices.bodyOf(now);
    if (!choices.isChosen(now) || asked === body) return;
    asked = body;
    choices.choose({}); // an older price is gone
    try {
      choices.noteQuote(body, await quoteOf(now, body, signal));
    } finally {
      if (asked === body) asked = "";
      draw();
    }
  };
  choices.onChange(draw, signal);
  draw();
  if (!chosen.quote) attempt(lookAt);
}

/** Send again what was being sent when the page was left, or is being sent in another tab: these are the same orders. */
export function resume(open) {
  for (const entry of sentOrders.interrupted) {
    attempt(async () => {
      const id = await send(entry);
      const chosen = choices.choice();
      const isShown = location.hash === rules.NEW && chosen.quote?.key === entry.key;
      if (isShown) leaveFor(id, chosen, open);
      else if (location.hash !== rules.addressOf(id)) link(id);
    });
  }
}

async function quoteOf({ playlist }, body, signal) {
  try {
    return await choices.askPrice(body, signal);
  } catch (failure) {
    throw playlist && failure.code === "song_not_found" ? new Failure(NO_PLAYLIST) : failure;
  }
}

/** Show an order in place of the choice that it was made from. */
function leaveFor(id, chosen, open) {
  if (choices.bodyOf(choices.choice()) === choices.bodyOf(chosen)) choices.clear();
  open(id);
}

/** Name an order, without leaving what is shown. */
function link(id) {
  the("elsewhere").append(make("span", {}, make("a", { href: rules.addressOf(id) }, "An order of several songs"), " has begun. "));
}

function aboutOf({ songs, playlist, quote }) {
  if (playlist) return quote ? `A playlist of ${count(quote.reply.songs.length, "song")}.` : "A playlist.";
  return songs.length ? `${count(songs.length, "song")} chosen.` : "Choose songs with Select, or paste the link of a playlist.";
}

/** The words of the button that pays; "" if there is nothing to order. */
const payWords = ({ quote, format }) => rules.buttonWords(rules.payable(quote.reply), format !== "");

function priceOf(chosen, pay) {
  const { reply } = chosen.quote;
  const withFiles = chosen.format !== "";
  const words = payWords(chosen);
  const sentences = rules.sumWords(reply, withFiles).map((sentence) => make("li", {}, sentence));
  const end = words ? button(words, () => attempt(pay), "main") : make("p", {}, rules.nothingWords(reply));
  return [tableOf(reply, withFiles), make("div", { className: "pay" }, make("ul", { className: "small" }, ...sentences), end)];
}

/** Pay at most what is shown. */
async function order(chosen, open, signal) {
  if (sending || choices.choice().quote !== chosen.quote) return;
  const tell = (words) => {
    sending = words;
    draw();
  };
  tell("Sending the order…");
  try {
    const sum = rules.payable(chosen.quote.reply);
    const question = { songs: sum.songs, ...choices.wantedOf(chosen), on_captcha: "wait", max_credits: sum.credits };
    if (chosen.format) question.max_downloads = sum.downloads;
    const { key, at } = chosen.quote;
    const id = await send({ question, key, at }, ({ message }) => tell(`${message} This page retries; nothing is charged twice.`));
    leaveFor(id, chosen, signal.aborted ? link : open);
  } catch (failure) {
    // The price may be another one now.
    if (!failure.isOrder && choices.choice().quote === chosen.quote) choices.choose({});
    throw failure;
  } finally {
    tell("");
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
