// What can be saved of the stems on the desk: each file, all as one ZIP, the words, and mixes that the browser renders.

import { askJson, credentials, here } from "./api.js";
import { make, the } from "./dom.js";
import { fileName } from "./names.js";
import { gainOf } from "./rules.js";
import { save, saveBlob } from "./save.js";
import { current, isVoice, rows, say } from "./shown.js";

export const NO_WORDS = "Suno has no words in time for this song: it is an instrumental, or it is not aligned yet.";
const LEAD = /^(lead )?vocals?$/;
const IN_SESSIONS = new Set(["mp3", "wav"]);
const MIXES = ["karaoke", "lyrics", "mix"];

/** Hide what could be saved of the song before. */
export function clearSaving() {
  for (const id of ["all", "session", ...MIXES]) the(id).hidden = true;
  for (const id of ["all", "session"]) the(id).removeAttribute("href");
}

/** Offer a stem's file for download, in the chosen format. */
export function offer({ id, format, filename }) {
  const row = current.desk.rows.get(id);
  if (!row) return;
  row.taking.hidden = false;
  link(row.link, `/api/audio/${id}.${format}`, filename);
  nameLink(row.link, format);
}

function nameLink(element, format) {
  element.textContent = format.toUpperCase();
  element.setAttribute("aria-label", `Save ${format.toUpperCase()}`);
}

/** Offer a stem's file that this service may not keep: on a click, `find` returns Suno's own URL. */
export function offerAddress(id, format, find) {
  const row = current.desk.rows.get(id);
  row.taking.hidden = false;
  row.progress.hidden = true;
  const button = make("button", { type: "button" }, `Prepare ${format.toUpperCase()}`);
  button.addEventListener("click", async () => {
    button.disabled = true;
    const address = await find();
    button.disabled = false;
    if (!address) return;
    Object.assign(row.link, { href: address, target: "_blank", rel: "noreferrer", hidden: false });
    nameLink(row.link, format);
    button.replaceWith(row.link);
    row.link.focus();
  });
  row.taking.append(button);
}

/** Offer files of the song as one ZIP, and all its kept stems as a session. */
export function offerAll(format, ids) {
  const { song, title } = current.desk;
  const path = `/api/stems.zip?audio_id=${song.id}&format=${format}&ids=${ids.join()}`;
  link(the("all"), path, `${title} - Stems.zip`, () => signedZip(format, ids));
  link(the("session"), `/api/session.dawproject?audio_id=${song.id}&format=${format}`, `${title}.dawproject`);
  the("session").hidden = !IN_SESSIONS.has(format);
}

/** The address of a ZIP that needs no API key; null if this service signs none. */
async function signedZip(format, ids) {
  const { reply } = await askJson("/api/stems.zip", { body: { audio_id: current.desk.song.id, format, ids } });
  const { origin, href, searchParams } = new URL(reply.url, location.href);
  return origin === location.origin && searchParams.has("token") ? href : null;
}

function link(element, path, name, sign = null) {
  element.href = here(path);
  element.download = fileName(name);
  element.hidden = false;
  element.onclick = async (event) => {
    if (!Object.keys(credentials.headers).length) return say(`The browser saves ${name}: see its downloads.`);
    // The browser would follow the link without the API key.
    event.preventDefault();
    say(`Fetching ${name}…`);
    const signed = sign && (await sign().catch(() => null));
    if (signed) {
      // A signed address needs no key: the browser saves it to disk by itself, and resumes it.
      make("a", { href: signed, download: "" }).click();
      say(`${name} is being saved by the browser.`);
      return;
    }
    const failed = await save(path, name).catch((failure) => failure);
    say(failed?.message ?? `${name} is in your downloads.`);
  };
}

// Mixes

const heard = () => rows().filter(({ track }) => track);

/** Offer the mixes, once each stem is loaded or has failed. */
export function showMixes() {
  const settled = rows().every(({ track, isFailed }) => track || isFailed);
  const parts = heard();
  the("mix").hidden = the("lyrics").hidden = !settled || !parts.length;
  the("karaoke").hidden = !settled || !parts.some(({ part }) => LEAD.test(part)) || parts.every(isVoice);
}

/** Which stems are missing in a mix. */
function without() {
  const missing = rows().filter(({ track }) => !track).map(({ label }) => label);
  return missing.length ? ` It is without ${missing.join(", ")}, which could not be loaded.` : "";
}

/** All tracks without the voice, at full volume; only the first take of each part. */
function karaoke() {
  const parts = new Set();
  return heard().filter((row) => !isVoice(row) && !parts.has(row.part) && parts.add(row.part)).map(({ track }) => [track, 1]);
}

/** The mix as it is heard. */
function mix() {
  const { mixer } = current.desk;
  return mixer.tracks.map((track) => [track, mixer.levelInMix(track) * gainOf(mixer.volume)]);
}

async function render(button, name, levels, pans) {
  button.disabled = true;
  try {
    const { blob, clipped } = await current.desk.mixer.render(levels, (share) => say(`Making ${name}: ${Math.floor(share * 10)}0 %`), pans);
    saveBlob(blob, name);
    const loud = clipped ? " It was too loud in places, and is cut there: turn the volumes down a little." : "";
    say(`${name} is in your downloads.${without()}${loud}`);
  } catch (error) {
    say(error.message);
  } finally {
    button.disabled = false;
  }
}

async function saveLyrics(button) {
  const name = `${current.desk.title}.lrc`;
  button.disabled = true;
  const failed = await save(`/api/lyrics/${current.desk.song.id}.lrc`, name).catch((failure) => failure);
  button.disabled = false;
  if (!failed) say(`${name} is in your downloads.`);
  else say(failed.code === "no_lyrics" ? NO_WORDS : failed.message);
}

/** Connect the controls that the page always has. */
export function startSaving() {
  the("karaoke").addEventListener("click", ({ target }) => render(target, `${current.desk.title} - Karaoke.wav`, karaoke(), false));
  the("mix").addEventListener("click", ({ target }) => render(target, `${current.desk.title} - Mix.wav`, mix(), true));
  the("lyrics").addEventListener("click", ({ target }) => saveLyrics(target));
}
