// The account's songs: loaded page by page while scrolling, with a search in the loaded ones.

import { ask, askJson } from "./api.js";
import { make, the } from "./dom.js";
import { clock, day } from "./rules.js";

const AT_ONCE = 2; // covers fetched at the same time: the rest of the page needs connections too

let page = 0;
let done = false;
let loading = false;
let shown = 0; // the number of the current list: replies for older lists are dropped
let onChoose = () => {};

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

/** Show the songs of the account; `choose` is called with a clip. */
export function start(choose) {
  onChoose = choose;
  the("search").addEventListener("input", filter);
  const options = { root: the("library"), rootMargin: "300px" };
  atTheEnd = new IntersectionObserver((seen) => seen.at(-1).isIntersecting && more(), options);
  atTheEnd.observe(the("more"));
}

/** Start over, for another account. */
export function reload() {
  shown++;
  page = 0;
  done = loading = false;
  the("songs").replaceChildren();
  return more();
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
  if (loading || done || page > 49) return;
  loading = true;
  const of = shown;
  the("more").textContent = "Loading songs…";
  try {
    const { told } = await askJson(`/api/get?page=${page}`);
    if (of !== shown) return;
    page++;
    done = told.length === 0;
    the("songs").append(...told.map(item));
    filter();
    the("more").textContent = done ? (page === 1 ? "This account has no songs yet." : "") : "";
  } catch (failure) {
    if (of !== shown) return;
    const again = make("button", { type: "button", onclick: more }, "Try again");
    the("more").replaceChildren(make("span", {}, failure.message), " ", again);
    return;
  } finally {
    if (of === shown) loading = false;
  }
  // If the whole list is visible, no scrolling would load the next page.
  if (!done) {
    atTheEnd.unobserve(the("more"));
    atTheEnd.observe(the("more"));
  }
}

function item(clip) {
  const about = [clock(clip.duration), day(clip.created_at)].filter(Boolean).join(", ");
  const text = make("span", {}, make("b", { dir: "auto" }, clip.title || clip.id), make("span", { className: "small" }, about));
  const button = make("button", { type: "button", onclick: () => onChoose(clip) }, cover(clip), text);
  return make("li", { "data-title": (clip.title ?? "").toLowerCase() }, button);
}

function filter() {
  const words = the("search").value.trim().toLowerCase();
  for (const song of the("songs").children) song.hidden = !song.dataset.title.includes(words);
}
