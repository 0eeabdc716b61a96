// The account's songs: loaded page by page while scrolling, with marks, a filter, and a search in the loaded ones.

import { ask, askJson } from "./api.js";
import { SIGN_IN, button, make, the } from "./dom.js";
import { clock, count, day } from "./rules.js";

const NOT_NOW = "Your songs cannot be listed: see above.";
const AT_ONCE = 2; // covers fetched at the same time: the rest of the page needs connections too

/** The list that is shown. Replies for an older list are dropped. */
class Library {
  page = 0;
  isWhole = false;
  isLoading = false;
  hasFailed = false; // what is said of it stays, with its button
  known = new Map(); // list items by song id
}

let list = new Library();
let pointed = ""; // the id of the song that is shown
let onChoose = () => {};
let marksOf = () => [];

const covers = { waiting: [], active: 0 };
const inSight = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    inSight.unobserve(target);
    covers.waiting.push(target);
  }
  fetchCovers();
});
let atTheEnd = null;

/** Show the songs of the account. `choose` is called with a clip, `marks` gives the marks of a song: "split", …. */
export function start(choose, marks) {
  onChoose = choose;
  marksOf = marks;
  the("search").addEventListener("input", filter);
  the("which").addEventListener("change", filter);
  const options = { root: the("library"), rootMargin: "300px" };
  atTheEnd = new IntersectionObserver((seen) => seen.at(-1).isIntersecting && more(), options);
  atTheEnd.observe(the("more"));
}

/** Start over, for another account. */
export function reload() {
  list = new Library();
  the("songs").replaceChildren();
  return more();
}

/** Show a song's marks anew, and whether it is the one that is shown. */
export function mark(id) {
  const item = list.known.get(id);
  if (!item) return;
  showMarks(item);
  filter();
}

function showMarks(item) {
  const marks = marksOf(item.clip);
  item.dataset.which = marks.includes("split") ? "split" : "whole";
  item.querySelector(".marks").replaceChildren(...marks.map((text) => make("span", { className: "mark" }, text)));
}

/** Mark the song that is shown. */
export function point(id) {
  pointed = id;
  for (const [known, item] of list.known) {
    if (known === id) item.firstElementChild.setAttribute("aria-current", "true");
    else item.firstElementChild.removeAttribute("aria-current");
  }
}

/** A song that is loaded. */
export const clipOf = (id) => list.known.get(id)?.clip;

/** Note that a song has stems now, and perhaps that the service keeps their files. */
export function noteSplit(id, isKept = false) {
  const clip = clipOf(id);
  if (clip) Object.assign(clip, { has_stems: true, isKept: clip.isKept || isKept });
  mark(id);
}

/** A song's cover, fetched once it is visible; a plain square until then, or if there is none. */
export function cover(clip) {
  const image = make("img", { alt: "", className: "cover", "data-id": clip.id, width: 56, height: 56 });
  image.src = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E";
  if (clip.image_url) inSight.observe(image);
  return image;
}

async function fetchCovers() {
  while (covers.active < AT_ONCE && covers.waiting.length) {
    const image = covers.waiting.shift();
    covers.active++;
    showCover(image).finally(() => {
      covers.active--;
      fetchCovers();
    });
  }
}

async function showCover(image) {
  const response = await ask(`/api/cover/${image.dataset.id}`).catch(() => null);
  if (response?.status !== 200) return;
  const reader = new FileReader();
  reader.onload = () => (image.src = reader.result);
  reader.readAsDataURL(await response.blob());
}

async function more() {
  const mine = list;
  if (mine.isLoading || mine.isWhole) return;
  mine.isLoading = true;
  mine.hasFailed = false;
  the("more").textContent = "Loading songs…";
  try {
    const { reply } = await askJson(`/api/get?page=${mine.page}`);
    if (mine !== list) return;
    mine.page++;
    mine.isWhole = reply.length === 0;
    // A song that was made meanwhile moves the others to the next page: none is shown twice.
    the("songs").append(...reply.filter(({ id }) => !mine.known.has(id)).map(item));
    filter();
  } catch (failure) {
    mine.hasFailed = true;
    if (mine === list) the("more").replaceChildren(make("span", {}, SIGN_IN.has(failure.code) ? NOT_NOW : failure.message), " ", button("Try again", more));
    return;
  } finally {
    mine.isLoading = false;
  }
  // If the whole list is visible, no scrolling would load the next page.
  if (!mine.isWhole) {
    atTheEnd.unobserve(the("more"));
    atTheEnd.observe(the("more"));
  }
}

function item(clip) {
  const about = [clock(clip.duration), day(clip.created_at)].filter(Boolean).join(", ");
  const line = make("span", { className: "small" }, about, make("span", { className: "marks" }));
  const text = make("span", {}, make("b", { dir: "auto" }, clip.title || clip.id), line);
  const choose = make("button", { type: "button", onclick: () => onChoose(clip) }, cover(clip), text);
  if (clip.id === pointed) choose.setAttribute("aria-current", "true");
  const made = make("li", { "data-title": (clip.title ?? "").toLowerCase() }, choose);
  made.clip = clip;
  list.known.set(clip.id, made);
  showMarks(made);
  return made;
}

/** Show the songs that the search and the filter want, and say if there are none. */
function filter() {
  const words = the("search").value.trim();
  const which = the("which").value;
  let shown = 0;
  for (const song of the("songs").children) {
    const { title, which: is } = song.dataset;
    song.hidden = !title.includes(words.toLowerCase()) || (which !== "" && is !== which);
    if (!song.hidden) shown++;
  }
  if (list.hasFailed) return;
  const none = list.page === 1 && list.known.size === 0 ? "This account has no songs yet." : nothing(words, which);
  the("more").textContent = shown ? "" : list.isWhole ? none : "Loading songs…";
}

function nothing(words, which) {
  const kind = { split: "split song", whole: "song that is not split" }[which] ?? "song";
  return `No ${kind}${words ? ` has “${words}” in its title` : ""}. There ${list.known.size === 1 ? "is" : "are"} ${count(list.known.size, "song")}.`;
}
