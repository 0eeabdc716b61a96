// The pane of a song: which song is shown, what a click on it does, and what goes on meanwhile.

import { Failure, askJson, patiently } from "./api.js";
import { askPermission, ring } from "./bell.js";
import { make, say, sentence, the } from "./dom.js";
import * as earlier from "./earlier.js";
import * as files from "./files.js";
import { listen, openStems, reformat, reopen, toDesk, whyFailed } from "./opening.js";
import { showPerson } from "./person.js";
import { question } from "./question.js";
import * as rules from "./rules.js";
import * as runs from "./runs.js";
import { sentOrders } from "./sending.js";
import { View, attempt, desk, refresh, session } from "./session.js";
import { holdPlace, price, showButtons, showSong, usesDownload, wanted } from "./song.js";
import * as songs from "./songs.js";
import { splitFor } from "./split.js";

export { showButtons } from "./song.js";

const NO_SONG = { error: "Which song? Paste its link, or choose one of yours.", code: "no_song" };
const NOT_A_SONG = { error: "This is no link or id of a song. Copy the address of the song's page at suno.com.", code: "" };
const SHORT_LINK = {
  error: "This is a short link, which does not contain the song. Open it, and copy the address that the browser then shows.",
  code: "",
};

// Song

/** Show a song in place of the one before; its work ends, but not its splits. Returns its View. */
export function show(id) {
  session.view.scope.end();
  const view = new View(id, session.account.child(), {
    open: (stems) => openSplit(view, stems),
    split: (body) => attempt(() => split(view, body)),
  });
  session.view = view;
  document.body.dataset.pane = id ? "song" : "library";
  songs.point(id);
  the("chosen").hidden = true;
  if (id) holdPlace();
  else the("listen").hidden = true;
  showPerson(null);
  the("existing").replaceChildren();
  say("progress", "");
  say("elsewhere", "");
  session.desk?.then((module) => module.clear());
  view.ready = id ? lookUp(view) : Promise.resolve();
  view.ready.catch(() => {}); // whoever waits for it shows the failure
  showButtons();
  return view;
}

/** Show the song of a text, at an address of its own. With `anew`, also if it is shown already. */
export async function go(text, anew = false) {
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
    if (session.view === view) {
      view.id = ""; // asked again, it is looked up again
      the("chosen").hidden = the("listen").hidden = true;
    }
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
  const [clip] = clips.value.reply;
  if (!clip) throw new Failure({ error: "Suno knows no such song on this account.", code: "song_not_found" });
  say("progress", "");
  view.clip = clip;
  take(view, stems.value.reply);
  for (const run of runs.runsOf(clip.id)) showRun(run);
}

/** Ask again which stems the song has. */
async function relist(view) {
  const { reply } = await patiently(`/api/stems?audio_id=${encodeURIComponent(view.clip.id)}`, { signal: view.signal });
  view.signal.throwIfAborted();
  take(view, reply);
}

/** Take a list of the song's stems, and follow those that are being made. */
function take(view, stems) {
  view.splits = rules.splitsOf(stems);
  runs.restore(view.clip.id);
  for (const split of view.splits) if (split.isComing) runs.adopt(view.clip, split.stems, split.kind, Date.parse(split.made));
  showSong(view);
}

const openSplit = (view, stems) => attempt(() => openStems(view, stems), () => openSplit(view, stems));

// Splits

/** Split the entered song as a button asks. */
export async function onSplit(task) {
  await split(await go(the("song").value.trim()), wanted(task));
}

/** Look for stems of this kind, which is free; ask if there are some; look again, as another tab may have paid meanwhile; then pay. */
async function split(view, body) {
  const { clip } = view;
  const kind = rules.kindAsked(body);
  const goesOn = () => runs.runsOf(clip.id).some((run) => run.kind === kind);
  if (view.asked.has(kind) || goesOn()) return;
  view.asked.add(kind);
  showButtons();
  try {
    for (let agreed = ""; ; ) {
      // The desk is loaded before paying.
      const [before] = await Promise.all([runs.credits(), relist(view), earlier.reload(), desk()]);
      view.signal.throwIfAborted();
      runs.restore(clip.id);
      if (goesOn()) return; // another tab or device has begun it: it is shown
      const format = files.areKept() ? { audio_format: files.format(), on_captcha: "wait" } : {};
      const entry = splitFor({ audio_id: clip.id, ...body, ...format });
      const isSame = entry.inDoubt || entry.underWay; // not a new split: its key finds out
      const seen = isSame ? agreed : alreadyThere(view, kind);
      if (seen === agreed) {
        view.opening.end();
        view.shows = runs.start(clip, entry, before);
        return void showRun(view.shows);
      }
      if (seen && !(await agrees(view, kind, body))) return;
      view.signal.throwIfAborted();
      agreed = seen;
    }
  } finally {
    view.asked.delete(kind);
    showButtons();
  }
}

/** What a new split of this kind might pay for again, as text: the ids of stems, or a split in doubt. "" if nothing. */
function alreadyThere(view, kind) {
  const stems = rules.sameKind(view.splits, kind).flatMap((split) => split.stems);
  return stems.map(({ id }) => id).join() || (earlier.isInDoubt(view.clip.id, kind) ? "in doubt" : "");
}

/** Whether the person wants to pay although the song has such stems, or an earlier split of it is in doubt. */
async function agrees(view, kind, body) {
  const there = rules.sameKind(view.splits, kind);
  if (!there.length) return mayPayAgain(view, body);
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

/** Whether the person wants to pay although an earlier split may have been charged. */
async function mayPayAgain(view, body) {
  const text = "An earlier split of this song got no reply from Suno. It may have been charged, and its stems may still come: look again in a minute.";
  const costs = `Splitting now costs ${price(body.stem_task) || "credits"}.`;
  return (await question("Split this song again?", `${text} ${costs}`, [["", "Wait"], ["again", "Split again"]], view.signal)) === "again";
}

/** Show a run whose song is shown: on the desk, unless other stems were opened meanwhile. */
async function showRun(run) {
  const { view } = session;
  if (view.clip?.id !== run.song.id) return;
  showButtons();
  view.shows ??= run;
  if (view.shows !== run) return;
  if (run.stage !== "ended") say("progress", run.note);
  const act = (what) => () => attempt(() => what(run));
  showPerson(run.stage === "person" ? run : null, act(runs.tryAgain), act(runs.cancel));
  if (run.stage !== "making" || !run.stems.length) return;
  const module = await desk();
  if (view.signal.aborted || view.shows !== run || run.stage !== "making") return;
  if (view.onDesk !== run) {
    module.show(view.clip, run.stems);
    toDesk();
  }
  view.onDesk = run;
  for (const stem of run.stems) module.tell(stem.id, stem.status, stem.status === "error" ? whyFailed(stem) : undefined);
}

/** Open what a run has made, if its song is shown; say where it is if not. */
function onEnd(run) {
  const name = run.song.title || songs.clipOf(run.song.id)?.title || run.song.id; // a reload may not have known it
  ring(run.failure ? `${name} could not be split.` : `The stems of ${name} are ready.`);
  refresh().then(showButtons);
  const { view } = session;
  if (view.shows === run) {
    showPerson(null);
    say("progress", "");
    showButtons();
  }
  if (view.clip?.id !== run.song.id) {
    const link = make("a", { href: rules.addressOf(run.song.id), dir: "auto" }, name);
    if (!run.failure) songs.noteSplit(run.song.id);
    the("elsewhere").replaceChildren(...(run.failure ? [link, ` could not be split. ${sentence(run.failure)}`] : ["The stems of ", link, " are ready."]));
    return;
  }
  const again = run.stems.length ? () => runs.again(run) : null;
  attempt(async () => {
    if (run.failure) throw run.failure;
    say("elsewhere", run.lost);
    await relist(view);
    if (view.shows !== run) return;
    const listed = view.splits.flatMap(({ stems }) => stems);
    // A list may be late, and may leave out what failed.
    const ours = run.stems.map((stem) => ({ ...stem, ...listed.find(({ id }) => id === stem.id), error_message: stem.error_message }));
    await openStems(view, ours, run.lost);
  }, again);
}

// Start

/** Go on with the splits of this account that a reload or another tab has begun. */
export const restoreRuns = () => runs.restore();

/** Whether an order was being sent when the page was left. */
export const hasInterruptedOrders = () => sentOrders.interrupted.length > 0;

/** Open the stems of a song that were open before a reload. */
export const goBackTo = async (id) => reopen(await go(id));

/** Show the earlier splits of the account. */
export const showEarlier = () => earlier.show(session.account);

/** Remove everything of the account, which is replaced by another. */
export function leave() {
  runs.stopAll();
  show("");
}

/** Show the song that was chosen in a list. */
export function choose(id, what = () => go(id, true)) {
  the("song").value = id;
  attempt(what);
  if (!the("library-pane").checkVisibility()) the("back").firstElementChild.focus();
  scrollTo(0, 0);
}

/** What goes on with a song of the list, and whether the service keeps its stems. */
export const marksOf = ({ id }) => [runs.runsOf(id).length ? "splitting…" : "", earlier.isKept(id) ? "kept here" : ""];

/** Connect the pane, and show the earlier splits. */
export function start() {
  for (const element of document.querySelectorAll("[data-task]")) element.dataset.label = element.firstElementChild.textContent;
  the("part").addEventListener("change", showButtons);
  the("notify").addEventListener("click", () => askPermission().then(showButtons));
  // Another tab may have spent something meanwhile.
  document.addEventListener("visibilitychange", () => document.hidden || !the("account").textContent.trim() || refresh().then(showButtons));
  the("listen").addEventListener("click", () => attempt(() => listen(session.view)));
  files.rememberFormat(() => attempt(() => reformat(session.view)));
  runs.onChange((run) => {
    songs.mark(run.song.id);
    earlier.note(run);
    if (run.stage === "ended") onEnd(run);
    else showRun(run);
  });
  earlier.start(({ audio_id: id, clips, kept }) =>
    choose(id, async () => {
      const view = await go(id, true);
      const known = view.splits.find(({ stems, isComing }) => !isComing && stems.some((stem) => clips.some((clip) => clip.id === stem.id)));
      if (known && kept && !usesDownload()) await openSplit(view, known.stems);
    }),
  );
  showButtons();
  showEarlier();
}
