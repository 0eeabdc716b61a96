// Choosing several songs in the library: each song is a checkbox meanwhile.

import { button, make, say, the } from "./dom.js";
import { choice, choose, isChosen, onChange } from "./order-choice.js";
import { MOST_SONGS, NEW } from "./order-rules.js";
import { count } from "./rules.js";
import { Scope } from "./session.js";

let mode = null; // the Scope of the select mode; null if it is off
let last = null; // the checkbox that was clicked last: Shift chooses from there

/** Begin to choose songs, or end it. With another account, it ends. */
export function toggle(account) {
  if (mode) {
    mode.end();
    return;
  }
  mode = account.child();
  const { signal } = mode;
  signal.addEventListener("abort", end, { once: true });
  the("songs").addEventListener("click", onClick, { capture: true, signal });
  const observer = new MutationObserver(show); // songs are added while the list is scrolled
  observer.observe(the("songs"), { childList: true });
  signal.addEventListener("abort", () => observer.disconnect(), { once: true });
  onChange(show, signal);
  const all = button("All shown", () => add(boxes()));
  const none = button("None", () => choose({ songs: [] }));
  const price = button("See the price", () => (location.hash = NEW), "main");
  the("choosing").replaceChildren(make("p", { id: "chosen-count", role: "status" }), make("p", { className: "row" }, price, all, none));
  the("choosing").hidden = false;
  the("select").setAttribute("aria-pressed", "true");
  the("songs").classList.add("choosing");
  show();
}

/** End choosing. */
export const stop = () => mode?.end();

function end() {
  mode = last = null;
  the("choosing").hidden = true;
  the("choosing").replaceChildren();
  the("select").setAttribute("aria-pressed", "false");
  the("songs").classList.remove("choosing");
  for (const box of the("songs").querySelectorAll("[role=checkbox]")) {
    box.removeAttribute("role");
    box.removeAttribute("aria-checked");
  }
}

/** The checkboxes of the songs that the search and the filter show. */
const boxes = () => [...the("songs").querySelectorAll("li:not([hidden]) > button")];
const idOf = (box) => box.parentElement.clip.id;

function show() {
  const chosen = choice();
  const ids = new Set(chosen.songs);
  for (const box of the("songs").querySelectorAll("li > button")) {
    box.setAttribute("role", "checkbox");
    box.setAttribute("aria-checked", String(ids.has(idOf(box))));
  }
  const { length } = chosen.songs;
  const most = length === MOST_SONGS ? ", the most of one order" : length > MOST_SONGS ? `: at most ${MOST_SONGS} fit into one order` : "";
  say("chosen-count", length ? `${count(length, "song")} chosen${most}` : "Choose songs, or paste the link of a playlist above.");
  the("choosing").querySelector(".main").disabled = !isChosen(chosen) || chosen.playlist !== "";
}

function onClick(event) {
  const box = event.target.closest("#songs > li > button");
  if (!box) return;
  event.stopPropagation();
  event.preventDefault();
  if (box.getAttribute("aria-checked") === "true") {
    choose({ songs: choice().songs.filter((id) => id !== idOf(box)) });
  } else {
    const shown = boxes();
    const [from, to] = [shown.indexOf(event.shiftKey && last ? last : box), shown.indexOf(box)];
    add(from < 0 ? [box] : shown.slice(Math.min(from, to), Math.max(from, to) + 1));
  }
  last = box;
}

/** Add songs to the choice, in the order of the list, as many as fit. */
function add(chosen) {
  const { songs } = choice();
  choose({ playlist: "", songs: [...new Set([...songs, ...chosen.map(idOf)])].slice(0, Math.max(songs.length, MOST_SONGS)) });
}
