// Opened stems: put on the desk, fetched, and remembered for a reload.

import { askJson, credentials } from "./api.js";
import { button, say, the } from "./dom.js";
import * as files from "./files.js";
import * as rules from "./rules.js";
import { attempt, desk, refresh } from "./session.js";
import { showButtons, showSong, usesDownload } from "./song.js";
import { noteSplit } from "./songs.js";

const OPEN = "suno-stems.open";
const AGREED = 3_600_000; // milliseconds in which a reload may continue a clicked download

/** Why a stem failed, in Suno's words. */
export const whyFailed = ({ error_message: why }) => `Failed. ${why || "Suno gave no reason."}`;

/** Put stems on the desk, fetch those that are complete; each can be played as soon as it is kept. */
export async function openStems(view, stems, lost = "") {
  const module = await desk();
  view.signal.throwIfAborted();
  view.opening.end();
  const { signal } = (view.opening = view.scope.child());
  const complete = stems.filter(({ status }) => status === "complete");
  view.shows = view.onDesk = stems;
  remember(view.clip, stems);
  module.show(view.clip, stems, { canPlay: files.areKept() });
  showSong(view);
  toDesk();
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
  noteSplit(view.clip.id, true);
  view.clip.download_unlocked = true;
  showSong(view);
  refresh().then(showButtons);
}

/** Scroll to the desk, if it begins below the middle of the window. */
export function toDesk() {
  if (the("desk").getBoundingClientRect().top > innerHeight / 2) the("desk").scrollIntoView({ block: "start" });
}

/** Play the song itself. */
export async function listen(view) {
  const module = await desk();
  view.signal.throwIfAborted();
  view.opening.end();
  const { signal } = (view.opening = view.scope.child());
  view.shows = view.onDesk = "original";
  view.files = null;
  module.show(view.clip, [], { title: `Original of ${view.clip.title || view.clip.id}` });
  await files.hearSong(module, view.clip, signal);
  view.clip.download_unlocked = true;
  showSong(view);
  refresh().then(showButtons);
}

/** Keep each failed stem in its row: why, whether it was charged, what can be done. */
async function showFailed(module, view, stems, lost, signal) {
  const failed = stems.filter(({ status }) => status === "error");
  if (!failed.length) return;
  const ids = failed.filter(({ error_message: why }) => !why).map(({ id }) => id);
  const seen = ids.length ? await askJson(`/api/get?ids=${ids.join()}`, { signal }).catch(() => null) : null;
  signal.throwIfAborted();
  const body = bodyOf(rules.kindOf(stems));
  for (const stem of failed) {
    const known = seen?.reply.find(({ id }) => id === stem.id) ?? stem;
    const charge = lost || "Suno charged for the split when it accepted it.";
    const again = body && button("Split again…", () => view.split(body));
    module.fail(stem.id, `${whyFailed(known)} ${charge} Keep the others, or split again.`, again);
  }
}

/** The body of a split of this kind; null if it is not one that the page offers. */
function bodyOf(kind) {
  if (kind === "two" || kind === "twelve") return { stem_task: kind };
  const part = [...the("part").options].find(({ value }) => value.toLowerCase() === kind);
  return part ? { stem_task: "two", stem_name: part.value } : null;
}

/** Store which stems are open, for a reload. */
function remember(clip, stems) {
  const { who } = credentials.read();
  sessionStorage.setItem(OPEN, JSON.stringify({ who, song: clip.id, stems: stems.map(({ id }) => id), at: Date.now() }));
}

/** Open the stems that were open before a reload, unless something else is on the desk. */
export async function reopen(view) {
  const open = JSON.parse(sessionStorage.getItem(OPEN) ?? "null");
  if (view.shows || !open || open.song !== view.id || open.who !== credentials.read().who) return;
  // After a long time, do not count a download without a click.
  if (usesDownload() && Date.now() - open.at > AGREED) return;
  const known = view.splits.find(({ stems, isComing }) => !isComing && stems.some((stem) => open.stems.includes(stem.id)));
  if (known) await openStems(view, known.stems);
}

/** Offer the opened stems in the format that was chosen now. */
export async function reformat(view) {
  if (!view.files || view.files.signal.aborted) return;
  if (view.files.isHeard) await files.offerFiles(await desk(), view.files.complete, view.files.signal);
  else await openStems(view, view.shows);
}
