// The page: which song is shown, what a click does, and what goes on meanwhile.

import * as account from "./account.js";
import { Failure, askJson, credentials, patiently } from "./api.js";
import { button, make, say, the } from "./dom.js";
import * as files from "./files.js";
import { SIGN_IN, clearProblem, showProblem } from "./problem.js";
import { question } from "./question.js";
import * as rules from "./rules.js";
import * as runs from "./runs.js";
import { Scope, isStopped } from "./scope.js";
import * as songs from "./songs.js";
import { splitFor } from "./split.js";

const OPEN = "suno-stems.open";
const AGREED = 3_600_000; // milliseconds in which a reload may continue a clicked download
const NO_SONG = { error: "Which song? Paste its link, or choose one of yours.", code: "no_song" };
const NOT_A_SONG = { error: "This is no link or id of a song. Copy the address of the song's page at suno.com.", code: "" };
const SHORT_LINK = {
  error: "This is a short link, which does not contain the song. Open it, and copy the address that the browser then shows.",
  code: "",
};

/** A song that is shown, until its scope ends: with another song, or another account. */
class View {
  clip = null;
  splits = [];
  asked = new Set(); // kinds that a click has asked for, and that are not paid yet
  opening = new Scope(); // what plays on the desk
  shows = null; // the run or the stems on the desk

  constructor(id, scope) {
    Object.assign(this, { id, scope, signal: scope.signal });
  }
}

const session = { account: new Scope(), view: new View("", new Scope()), desk: null, timer: 0 };

/** The desk of stems, loaded on first use. */
function desk() {
  session.desk ??= import("./desk.js").then(
    (module) => {
      module.start();
      return module;
    },
    () => {
      session.desk = null;
      throw new Failure({ error: "A part of this page could not be loaded. Check your connection.", code: "unreachable" });
    },
  );
  return session.desk;
}

/** Run `what` and show an error; `again` is then offered. Work that was stopped is no error. */
async function attempt(what, again) {
  clearProblem();
  try {
    return await what();
  } catch (failure) {
    if (isStopped(failure)) return null;
    say("progress", "");
    showProblem(failure, again);
    if (SIGN_IN.has(failure.code)) account.askFor(failure.code);
    return null;
  }
}

// Account

async function showAll() {
  showButtons();
  songs.reload();
  await account.showAccount(session.account.signal);
  showButtons();
}

const refreshAccount = () => account.showAccount(session.account.signal).then(showButtons, () => {});

/** Remove everything of the previous account, and show the new one. */
async function changeAccount() {
  session.account.end();
  session.account = new Scope();
  runs.stopAll();
  account.clearAccount();
  history.replaceState(null, "", location.pathname);
  the("song").value = "";
  show("");
  account.openForm(false);
  await attempt(showAll);
  runs.restore();
}

// Song

/** Show a song in place of the one before; its work ends, but not its splits. Returns its View. */
function show(id) {
  session.view.scope.end();
  const view = new View(id, session.account.child());
  session.view = view;
  the("chosen").hidden = true;
  the("existing").replaceChildren();
  say("progress", "");
  session.desk?.then((module) => module.clear());
  view.ready = id ? lookUp(view) : Promise.resolve();
  view.ready.catch(() => {}); // whoever waits for it shows the failure
  showButtons();
  return view;
}

/** Show the song of a text, at an address of its own. With `anew`, also if it is shown already. */
async function go(text, anew = false) {
  if (!text) throw new Failure(NO_SONG);
  const id = rules.idIn(text);
  if (/suno\.com\/s\//i.test(id)) throw new Failure(SHORT_LINK);
  if (!rules.canBeId(id)) throw new Failure(NOT_A_SONG);
  if (rules.songIn(location.hash) !== id) history.pushState(null, "", rules.addressOf(id));
  const isShown = session.view.id === id && !(anew && session.view.clip);
  const view = isShown ? session.view : show(id);
  try {
    await view.ready;
  } catch (failure) {
    if (session.view === view) view.id = ""; // asked again, it is looked up again
    throw failure;
  }
  view.signal.throwIfAborted();
  return view;
}

async function lookUp(view) {
  say("progress", "Looking for the song…");
  const { signal } = view;
  const [stems, clips] = await Promise.allSettled([
    askJson(`/api/stems?audio_id=${encodeURIComponent(view.id)}`, { signal }),
    askJson(`/api/get?ids=${encodeURIComponent(view.id)}`, { signal }),
  ]);
  for (const { reason } of [stems, clips]) if (reason) throw reason;
  view.signal.throwIfAborted();
  const [clip] = clips.value.told;
  if (!clip) throw new Failure({ error: "Suno knows no such song on this account.", code: "song_not_found" });
  say("progress", "");
  view.clip = clip;
  take(view, stems.value.told);
  for (const run of runs.runsOf(clip.id)) showRun(run);
}

/** Ask again which stems the song has. */
async function relist(view) {
  const { told } = await patiently(`/api/stems?audio_id=${encodeURIComponent(view.clip.id)}`, { signal: view.signal });
  view.signal.throwIfAborted();
  take(view, told);
}

/** Take a list of the song's stems, and follow those that are being made. */
function take(view, stems) {
  view.splits = rules.splitsOf(stems);
  runs.restore(view.clip.id);
  for (const split of view.splits) if (split.isComing) runs.adopt(view.clip, split.stems, split.kind, Date.parse(split.made));
  showSong(view);
}

function showSong(view) {
  const { clip, splits } = view;
  const about = [rules.clock(clip.duration), rules.day(clip.created_at)].filter(Boolean).join(", ");
  const text = make("div", {}, make("h3", { dir: "auto" }, clip.title || clip.id), make("span", { className: "small" }, about));
  the("chosen").replaceChildren(songs.cover(clip), text);
  the("chosen").hidden = false;
  const offers = splits.filter(({ isComing }) => !isComing).map((split) => offerOf(view, split));
  const title = make("p", {}, "Already split: free of credits");
  the("existing").replaceChildren(...(offers.length ? [title, make("div", { className: "row" }, ...offers)] : []));
  showButtons();
}

function offerOf(view, split) {
  const price = split.canBeOpened && usesDownload() ? ": this song's download" : "";
  const name = `Open ${rules.partsIn(split.stems)}${rules.day(split.made) && `, ${rules.day(split.made)}`}${price}`;
  return button(name, () => openSplit(view, split.stems));
}

const openSplit = (view, stems) => attempt(() => openStems(view, stems), () => openSplit(view, stems));

// Buttons and prices

/** Whether a split or opening stems counts as a download: the song is not unlocked. */
const usesDownload = () => files.areKept() && session.view.clip?.download_unlocked !== true;

function price(task) {
  const { two, twelve } = document.body.dataset;
  const credits = Number(task === "twelve" ? twelve : two);
  const left = account.limits.downloadsLeft;
  const parts = [credits ? `about ${rules.count(credits, "credit")}` : ""];
  if (usesDownload()) parts.push(`this song's download${left === null ? "" : `, ${left} left`}`);
  return parts.filter(Boolean).join(" · ");
}

/** The body of a split that a button asks for, without its song. */
function wanted(task) {
  return { stem_task: task === "twelve" ? "twelve" : "two", ...(task === "part" ? { stem_name: the("part").value } : {}) };
}

/** Show on each split button what it does now: a split that goes on is shown by its own button. */
function showButtons() {
  clearTimeout(session.timer);
  const { clip, asked } = session.view;
  const going = clip ? runs.runsOf(clip.id) : [];
  for (const element of document.querySelectorAll("[data-task]")) {
    const { task } = element.dataset;
    const kind = rules.kindAsked(wanted(task));
    const run = going.find((one) => one.kind === kind);
    element.disabled = !!run || asked.has(kind);
    const [label, about] = element.children;
    label.textContent = run ? `Splitting… ${rules.clock((Date.now() - run.began) / 1000)}` : element.dataset.label;
    about.textContent = run ? "" : price(task);
  }
  if (going.length) session.timer = setTimeout(showButtons, 1000);
}

// Splits

async function onSplit(task) {
  await attempt(async () => {
    const view = await go(the("song").value.trim());
    await split(view, wanted(task));
  });
}

/** Look for stems of this kind, which is free; ask if there are some; then pay. */
async function split(view, body) {
  const { clip } = view;
  const kind = rules.kindAsked(body);
  const goesOn = () => runs.runsOf(clip.id).some((run) => run.kind === kind);
  if (view.asked.has(kind) || goesOn()) return;
  view.asked.add(kind);
  showButtons();
  try {
    const [before] = await Promise.all([runs.credits(), relist(view), desk()]); // the desk is loaded before paying
    const format = files.areKept() ? { audio_format: files.format() } : {};
    const entry = splitFor({ audio_id: clip.id, ...body, ...format });
    const isSame = entry.inDoubt || entry.underWay; // not a new split: its key finds out
    if (!isSame && !(await agrees(view, kind, body))) return;
    view.signal.throwIfAborted();
    view.opening.end();
    view.shows = runs.start(clip, entry, before);
    showRun(view.shows);
  } finally {
    view.asked.delete(kind);
    showButtons();
  }
}

/** Whether the person wants to pay although the song has such stems. Asks nothing if it has none. */
async function agrees(view, kind, body) {
  const there = rules.sameKind(view.splits, kind);
  if (!there.length) return true;
  const [{ stems, made, isComing, canBeOpened }] = there;
  const name = rules.partsIn(stems);
  const state = isComing ? `${rules.capital(name)} of this song are being made now` : `This song has ${name} already`;
  const costs = `Splitting it again costs ${price(body.stem_task) || "credits"}.`;
  const answers = canBeOpened ? [["open", "Open them"]] : isComing ? [["", "Wait for them"]] : [];
  const date = isComing || !rules.day(made) ? "" : `, made on ${rules.day(made)}`;
  const answer = await question("Split this song again?", `${state}${date}. ${costs}`, [...answers, ["again", "Split again"]], view.signal);
  if (answer === "open") await openStems(view, stems);
  return answer === "again";
}

/** Show a run whose song is shown: on the desk, unless other stems were opened meanwhile. */
async function showRun(run) {
  const { view } = session;
  if (view.clip?.id !== run.song.id) return;
  showButtons();
  view.shows ??= run;
  if (view.shows !== run) return;
  if (run.stage !== "ended") say("progress", run.note);
  if (run.stage !== "making" || !run.stems.length) return;
  const module = await desk();
  if (view.signal.aborted || view.shows !== run || run.stage !== "making") return;
  if (view.onDesk !== run) module.show(view.clip, run.stems);
  view.onDesk = run;
  for (const stem of run.stems) module.tell(stem.id, stem.status, stem.status === "error" ? whyFailed(stem) : stem.status);
}

/** Open what a run has made, if its song is shown; say where it is if not. */
function onEnd(run) {
  refreshAccount();
  const { view } = session;
  if (view.clip?.id !== run.song.id) {
    if (!run.failure) say("elsewhere", `The stems of ${run.song.title || run.song.id} are ready.`);
    return;
  }
  const again = run.stems.length ? () => runs.again(run) : null;
  attempt(async () => {
    if (run.failure) throw run.failure;
    await relist(view);
    if (view.shows !== run) return;
    const listed = view.splits.flatMap(({ stems }) => stems);
    // A list may be late, and may leave out what failed.
    const ours = run.stems.map((stem) => ({ ...stem, ...listed.find(({ id }) => id === stem.id), error_message: stem.error_message }));
    await openStems(view, ours, run.lost);
  }, again);
}

const whyFailed = ({ error_message: why }) => `Failed. ${why || "Suno gave no reason."}`;

/** Put stems on the desk, fetch those that are complete; each can be played as soon as it is kept. */
async function openStems(view, stems, lost = "") {
  const module = await desk();
  view.signal.throwIfAborted();
  view.opening.end();
  const { signal } = (view.opening = view.scope.child());
  const complete = stems.filter(({ status }) => status === "complete");
  view.shows = view.onDesk = stems;
  remember(view.clip, stems);
  module.show(view.clip, stems, { canPlay: files.areKept() });
  await showFailed(module, view, stems, lost, signal);
  say("progress", complete.length ? "" : "Suno could not make any of these stems.");
  if (!complete.length) return;
  if (!files.areKept()) {
    files.offerAddresses(module, complete, signal, attempt);
    return;
  }
  view.files = { complete, signal, isHeard: false };
  await files.hear(module, view.clip, complete, signal);
  view.files.isHeard = true;
  view.clip.download_unlocked = true;
  showSong(view);
  refreshAccount();
}

/** Keep each failed stem in its row: why, whether it was charged, what can be done. */
async function showFailed(module, view, stems, lost, signal) {
  const failed = stems.filter(({ status }) => status === "error");
  if (!failed.length) return;
  const ids = failed.filter(({ error_message: why }) => !why).map(({ id }) => id);
  const seen = ids.length ? await askJson(`/api/get?ids=${ids.join()}`, { signal }).catch(() => null) : null;
  signal.throwIfAborted();
  const body = bodyOf(rules.kindOf(stems.map(({ part, title }) => part ?? title)));
  for (const stem of failed) {
    const known = seen?.told.find(({ id }) => id === stem.id) ?? stem;
    const charge = lost || "Suno charged for the split when it accepted it.";
    const again = body && button("Split again…", () => attempt(() => split(view, body)));
    module.fail(stem.id, `${whyFailed(known)} ${charge} Keep the others, or split again.`, again);
  }
}

/** The body of a split of this kind; null if it is not one that the page offers. */
function bodyOf(kind) {
  if (kind === "two" || kind === "twelve") return { stem_task: kind };
  const part = [...the("part").options].find(({ value }) => value.toLowerCase() === kind);
  return part ? { stem_task: "two", stem_name: part.value } : null;
}

// Reload

/** Store which stems are open, for a reload. */
function remember(clip, stems) {
  const { who } = credentials.read();
  sessionStorage.setItem(OPEN, JSON.stringify({ who, song: clip.id, stems: stems.map(({ id }) => id), at: Date.now() }));
}

/** Show the song of the address, and open the stems that were open before a reload. */
async function restore() {
  runs.restore();
  const id = rules.songIn(location.hash);
  if (!id) return;
  the("song").value = id;
  await attempt(async () => {
    const view = await go(id);
    const open = JSON.parse(sessionStorage.getItem(OPEN) ?? "null");
    if (view.shows || !open || open.song !== id || open.who !== credentials.read().who) return;
    // After a long time, do not count a download without a click.
    if (usesDownload() && Date.now() - open.at > AGREED) return;
    const known = view.splits.find(({ stems, isComing }) => !isComing && stems.some((stem) => open.stems.includes(stem.id)));
    if (known) await openStems(view, known.stems);
  });
}

// Events

/** Show the entered song. */
function onSong(anew) {
  const text = the("song").value.trim();
  if (text) attempt(() => go(text, anew));
}

the("find").addEventListener("submit", (event) => {
  event.preventDefault();
  onSong(true);
});
the("song").addEventListener("change", () => onSong(false));
the("song").addEventListener("input", ({ target: { value }, inputType }) => {
  // Not at each typed letter of an id.
  if (inputType === "insertFromPaste" || rules.isWholeId(value)) onSong(false);
});
addEventListener("popstate", () => {
  const id = rules.songIn(location.hash);
  the("song").value = id;
  if (session.view.id === id) return;
  if (id) attempt(() => go(id));
  else show("");
});
for (const element of document.querySelectorAll("[data-task]")) {
  element.dataset.label = element.firstElementChild.textContent;
  element.addEventListener("click", () => onSplit(element.dataset.task));
}
the("part").addEventListener("change", showButtons);
the("format").addEventListener("change", () => {
  const { view } = session;
  if (!view.files || view.files.signal.aborted) return;
  if (view.files.isHeard) attempt(async () => files.offerFiles(await desk(), view.files.complete, view.files.signal));
  else openSplit(view, view.shows);
});
runs.onChange((run) => (run.stage === "ended" ? onEnd(run) : showRun(run)));
account.start(changeAccount);
songs.start((clip) => {
  the("song").value = clip.id;
  the("song").scrollIntoView({ block: "nearest" });
  onSong(true);
});
showButtons();
await attempt(showAll);
if (!session.view.id) await restore();
