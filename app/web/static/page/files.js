// The audio of opened stems: fetched by the service, heard on the desk, offered to be saved.

import { Failure, askJson, credentials, here, patiently, sleep } from "./api.js";
import { say, the } from "./dom.js";
import { areCompared } from "./measures.js";
import { plain } from "./rules.js";

const FORMAT = "suno-stems.format";
const LOOK_AT_FILES = 1; // seconds: it makes no call to Suno
const COMPARED_WITHIN = [0.2, 1, 3]; // seconds between looks
const LOOKS_WITHOUT_A_NEW_FILE = 10; // in a row, until a problem is shown

/** The chosen format of saved files, and the one that is played for it. */
export const format = () => the("format").value;
/** Choose the format that was chosen last; `change` is called for another. */
export function rememberFormat(change) {
  const known = localStorage.getItem(FORMAT);
  if (known) the("format").value = known;
  the("format").addEventListener("change", () => {
    localStorage.setItem(FORMAT, format());
    change();
  });
}

const heardFor = (wanted) => (wanted === "m4a" ? "mp3" : wanted);

/** Fetch the files of stems and of their song; each can be played as soon as it is kept. */
export async function hear(desk, song, stems, signal) {
  const heard = heardFor(format());
  const ids = stems.map(({ id }) => id);
  const files = await fetchFiles(desk, [...ids, song.id], heard, { signal, hears: true });
  if (format() !== heard) await offerFiles(desk, stems, signal);
  else offerKept(desk, heard, files.filter(({ id }) => id !== song.id));
  await showFaults(desk, song, files, signal);
}

/** Show what is wrong with the files. They are compared with the song a moment after the last one is kept. */
async function showFaults(desk, song, files, signal) {
  const kept = files.filter(({ status }) => status === "kept");
  const body = { ids: kept.map(({ id }) => id), format: kept[0]?.format };
  for (const pause of COMPARED_WITHIN) {
    desk.measured(kept);
    if (kept.length < files.length || areCompared(kept, song.id)) return;
    await sleep(pause, signal);
    const { reply } = await patiently("/api/audio", { body, signal });
    kept.splice(0, kept.length, ...reply);
  }
  desk.measured(kept);
}

/** Fetch the song itself, and play it as soon as it is kept. */
export async function hearSong(desk, song, signal) {
  const [file] = await fetchFiles(desk, [song.id], "mp3", { signal, hears: true });
  signal.throwIfAborted();
  say("progress", file.status === "kept" ? "" : `The song could not be fetched: ${plain(file.error)}`);
  if (file.status === "kept") desk.playOriginal();
}

/** Offer opened stems in the chosen format. */
export async function offerFiles(desk, stems, signal) {
  const wanted = format();
  offerKept(desk, wanted, await fetchFiles(desk, stems.map(({ id }) => id), wanted, { signal }));
}

/** Offer the kept files as one ZIP, and say if one is missing. */
function offerKept(desk, wanted, files) {
  const kept = files.filter(({ status }) => status === "kept");
  const missing = files.find(({ status }) => status !== "kept");
  if (kept.length) desk.offerAll(wanted, kept.map(({ id }) => id));
  say("progress", missing ? `Not every file could be fetched: ${missing.filename}: ${plain(missing.error)}` : "");
}

async function fetchFiles(desk, ids, wanted, { signal, hears = false }) {
  const files = new Map();
  const opening = [];
  let left = ids;
  let quiet = 0; // polls since the last new file
  for (;;) {
    const { reply } = await patiently("/api/audio", { body: { ids: left, format: wanted }, signal });
    signal.throwIfAborted();
    for (const file of reply) {
      files.set(file.id, file);
      if (file.status === "kept" && hears) opening.push(desk.add(file));
      else if (hears) desk.tell(file.id, file.status, file.status === "failed" ? plain(file.error) : "fetching the audio");
      if (file.status === "kept" && wanted === format()) desk.offer(file);
    }
    // Do not request failed files again: that would restart them.
    const fetching = reply.filter(({ status }) => status === "fetching").map(({ id }) => id);
    quiet = fetching.length === left.length ? quiet + 1 : 0;
    left = fetching;
    if (!left.length) break;
    if (!(quiet >= LOOKS_WITHOUT_A_NEW_FILE && (await saysWhyItWaits()))) {
      say("progress", `Fetching the audio: ${ids.length - left.length} of ${ids.length}`);
    }
    await sleep(LOOK_AT_FILES, signal);
  }
  await Promise.all(opening);
  return ids.map((id) => files.get(id));
}

/** Say if no process fetches the files; returns whether it did. */
async function saysWhyItWaits() {
  const ready = await fetch(here("/readyz")).then((response) => response.json()).catch(() => null);
  if ((ready?.checks?.jobs ?? "ok") === "ok") return false;
  say("progress", "The audio is waiting: the part of this service that fetches it does not run. Its operator can help; the stems are safe.");
  return true;
}

/** With the user's own cookie, nothing is kept here: a click requests Suno's URL. */
export function offerAddresses(desk, stems, signal, attempt) {
  const wanted = format();
  say("progress", "With a cookie of your own the stems cannot be heard here. Each can be saved: the first counts as this song's download.");
  for (const { id } of stems) {
    desk.offerAddress(id, wanted, () =>
      attempt(async () => {
        say("progress", "Suno is preparing the file…");
        const { reply } = await askJson("/api/download", { body: { id, format: wanted, wait: true }, signal });
        if (!reply.download_url) throw new Failure({ error: "Suno is still preparing it: try again in a minute.", code: "" });
        say("progress", "");
        return reply.download_url;
      }),
    );
  }
}

/** Whether the service may keep files: not of an account that only this request names. */
export const areKept = () => !credentials.read().cookie;
