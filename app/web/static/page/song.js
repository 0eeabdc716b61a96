// The song that is shown: its details, and buttons whose words follow what it has and what goes on.

import { canAsk } from "./bell.js";
import { button, make, the } from "./dom.js";
import { areKept } from "./files.js";
import * as rules from "./rules.js";
import { runsOf } from "./runs.js";
import { limits, session } from "./session.js";
import * as songs from "./songs.js";

const USUAL = 60; // seconds of a split
const ALMOST = 0.97; // of the bar: longer than usual is not done
const WIDE = "(min-width: 60rem)";

/** Hold the place of a song until it is known: nothing else moves. */
export function holdPlace() {
  the("chosen").replaceChildren(make("span", { className: "cover" }), make("div", {}, make("h3", {}, "\u00a0"), make("span", { className: "small" }, "\u00a0")));
  the("chosen").hidden = false;
}

/** Show what is known of the song. */
export function showSong(view) {
  const { clip, splits } = view;
  const text = make("div", {}, make("h3", { dir: "auto" }, clip.title || clip.id), make("span", { className: "small" }, rules.aboutSong(clip)));
  the("chosen").replaceChildren(songs.cover(clip), text);
  the("chosen").hidden = false;
  the("listen").hidden = !areKept();
  if (splits.length && !view.isShown && !matchMedia(WIDE).matches) the("ways").open = false;
  view.isShown = true;
  if (splits.length) songs.noteSplit(clip.id);
  const [newest, ...earlier] = splits.filter(({ isComing }) => !isComing);
  const title = make("p", { className: "small" }, "Earlier splits of this song:");
  const older = earlier.map((split) => button(`Open ${nameOf(split)}`, () => view.open(split.stems)));
  const onDesk = view.shows?.stems ?? (Array.isArray(view.shows) ? view.shows : []); // of a run, or opened
  const isOpen = newest && onDesk.some(({ id }) => id === newest.stems[0].id);
  const shown = newest ? [isOpen ? "" : primary(view, newest), ...(older.length ? [title, ...older] : [])] : [];
  the("existing").replaceChildren(...shown);
  document.querySelector("[data-task=two]").classList.toggle("main", !newest);
  showButtons();
}

const nameOf = ({ stems, made }) => `${rules.partsIn(stems)}${rules.day(made) && `, ${rules.day(made)}`}`;

/** The button that opens the newest stems. */
function primary(view, split) {
  const about = [nameOf(split), split.canBeOpened && usesDownload() ? downloadWords() : ""].filter(Boolean).join(" · ");
  const open = button("Open the stems", () => view.open(split.stems), "main");
  open.append(" ", make("small", {}, about));
  return open;
}

/** Whether a split or opening stems counts as a download: the song is not unlocked. */
export const usesDownload = () => areKept() && session.view.clip?.download_unlocked !== true;

/** What a split costs, in words. */
export function price(task) {
  const { two, twelve } = document.body.dataset;
  const credits = Number(task === "twelve" ? twelve : two);
  const parts = [credits ? `about ${rules.count(credits, "credit")}` : "", usesDownload() ? downloadWords() : ""];
  return parts.filter(Boolean).join(" · ");
}

function downloadWords() {
  const left = limits.downloadsLeft;
  return `this song's download${left === null ? "" : `, ${left} left`}`;
}

/** The body of a split that a button asks for, without its song. */
export function wanted(task) {
  return { stem_task: task === "twelve" ? "twelve" : "two", ...(task === "part" ? { stem_name: the("part").value } : {}) };
}

const elapsed = (run) => (Date.now() - run.began) / 1000;
const progressOf = (run) => (run.person ? "Splitting… waits for you" : `Splitting… ${rules.clock(elapsed(run))}`);

/** Show on each split button what it does now: a split that goes on is shown by its own button. */
export function showButtons() {
  clearTimeout(session.timer);
  const { clip, asked } = session.view;
  const going = clip ? runsOf(clip.id) : [];
  const shown = new Set(); // two buttons may be for one kind: the first shows its progress
  for (const element of document.querySelectorAll("[data-task]")) {
    const { task } = element.dataset;
    const kind = rules.kindAsked(wanted(task));
    const run = going.find((one) => one.kind === kind);
    element.disabled = !!run || asked.has(kind);
    const [label, about] = element.children;
    const isShown = run && !shown.has(run);
    if (isShown) shown.add(run);
    label.textContent = isShown ? progressOf(run) : element.dataset.label;
    about.textContent = isShown ? "" : price(task);
  }
  the("listen").lastElementChild.textContent = usesDownload() ? downloadWords() : "";
  const name = clip ? `${clip.title || clip.id} · Suno Stems` : "Suno Stems";
  document.title = going.length ? `${rules.clock(elapsed(going[0]))} Splitting… ${name}` : name;
  const run = going.find(({ person }) => !person);
  the("bar").hidden = !run;
  if (run) the("bar").value = Math.min(elapsed(run) / USUAL, ALMOST);
  the("notify").hidden = !going.length || !canAsk();
  if (going.length) session.timer = setTimeout(showButtons, 1000);
}
