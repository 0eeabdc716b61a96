// The desk: the stems of a song, heard together, mixed and saved.

import { Failure, askJson, credentials, here, save, saveBlob } from "./api.js";
import { make, say as announce, the } from "./dom.js";
import { mixOf, noteMix } from "./mixes.js";
import { Mixer, Track } from "./mixer.js";
import { Mp3Source } from "./mp3.js";
import { fileName } from "./names.js";
import { question } from "./question.js";
import { Row, isPressed, labelOf, press } from "./row.js";
import { clock, count, decibels, gainOf } from "./rules.js";
import { Scope } from "./scope.js";
import { drawWave } from "./wave.js";
import { WavSource } from "./wav.js";
import { Zoom, drawMap, showMap } from "./zoom.js";

const STEP = 5; // seconds per arrow key
const VOICE = /^((lead|backing) )?vocals?$/;
const LEAD = /^(lead )?vocals?$/;
const HEARING = ["playing", "keys", "view", "save"]; // what is shown once something can be heard
const WIDE = "(min-width: 60rem)";
const KEYS =
  "Space plays and pauses. The left and right arrow keys go 5 seconds back and forth. On a stem's row, M mutes it and S " +
  "plays only soloed stems; Shift with Solo plays only this one. Double-click a volume or pan to reset it.";

/** Stems of one song on the desk. */
class Desk {
  rows = new Map(); // by the stem's id
  scope = new Scope(); // ends when they are removed
  zoom = new Zoom();
  mixer = new Mixer();
  opensOriginal = false;
  hasMap = false;

  constructor(song) {
    this.song = song;
  }
}

let shown = new Desk(null);
let frame = 0;

/** Announce a text in the live region of the stems. */
const say = (text) => announce("saving", text);
const rows = () => [...shown.rows.values()];

/** Remove all stems. */
export function clear() {
  cancelAnimationFrame(frame);
  shown.scope.end();
  shown.mixer.close();
  shown = new Desk(null);
  the("tracks").replaceChildren();
  the("desk").hidden = true;
}

/**
 * Show the stems of a song; nothing is fetched yet. `stems` are clips with `part`, `take` and perhaps `silent`. Without
 * `canPlay` they can only be saved.
 */
export function show(clip, stems, { canPlay = true, title = `Stems of ${clip.title || clip.id}` } = {}) {
  clear();
  shown = new Desk(clip);
  const { mixer, zoom, scope } = shown;
  mixer.expected = clip.duration ?? 0;
  mixer.volume = the("master").value / 100;
  mixer.addEventListener("change", onChange);
  mixer.addEventListener("failure", ({ error }) => {
    say(error instanceof Failure ? error.message : "Part of the audio could not be loaded. It is requested again.");
  });
  zoom.addEventListener("change", showPosition);
  showMap(zoom, (place) => seek(place * mixer.seconds), scope.signal);
  placeRows(clip, stems, canPlay);
  the("desk-title").textContent = title;
  the("desk-title").dir = "auto";
  for (const id of ["all", "karaoke", "mix"]) the(id).hidden = true;
  the("all").removeAttribute("href");
  the("original").disabled = true;
  press(the("original"), false);
  say("");
  the("play").disabled = true;
  for (const id of HEARING) the(id).hidden = true;
  the("desk").hidden = false;
  onChange();
  showSession();
  // The pressed button may be gone.
  if (document.activeElement === document.body || document.activeElement.disabled) the("desk-title").focus();
}

/** One row a stem. Later takes of a part are muted and folded away, and so are silent parts. */
function placeRows(clip, stems, canPlay) {
  const seen = new Set();
  const folded = { take: [], silent: [] };
  const mixes = mixOf(clip.id);
  for (const stem of stems) {
    const isAgain = seen.has(stem.part || stem.title || stem.id);
    seen.add(stem.part || stem.title || stem.id);
    const mix = { muted: isAgain, volume: 100, pan: 0, ...mixes[stem.id] };
    const on = { change: onMix, solo: soloOnly, seek: (share) => seek(shown.zoom.at(share) * shown.mixer.seconds) };
    const row = new Row(stem, { label: labelOf(stem, isAgain), mix, on, signal: shown.scope.signal });
    row.wave.hidden = !canPlay;
    shown.rows.set(stem.id, row);
    const list = stem.status === "error" ? null : isAgain ? folded.take : stem.silent ? folded.silent : null;
    if (list) list.push(row.item);
    else the("tracks").append(row.item);
  }
  fold(folded.silent, count(folded.silent.length, "silent part"));
  fold(folded.take, `${count(folded.take.length, "second take")}, muted`);
}

function fold(items, name) {
  if (!items.length) return;
  the("tracks").append(make("li", {}, make("details", {}, make("summary", {}, name), make("ul", {}, ...items))));
}

/** Show the stage of a stem: Suno's status, or that of its file. `text` is shown instead of a known stage. */
export function tell(id, stage, text) {
  const row = shown.rows.get(id);
  if (row?.tell(stage, text) && row.isFailed) say(`${row.label}: ${text}`);
  showRenders();
}

/** Keep a stem that Suno could not make in its row, with the reason; `again` is a button or null. */
export function fail(id, text, again) {
  const row = shown.rows.get(id);
  row.wave.hidden = false;
  row.tell("failed", text);
  say(`${row.label} failed.`);
  if (again) row.about.append(again);
  showRenders();
}

/** Make a kept file playable, with its waveform. `file` is from POST /api/audio; the song's own is the original. */
export async function add(file) {
  const desk = shown;
  const row = desk.rows.get(file.id);
  const isOriginal = file.id === desk.song.id;
  if (isOriginal ? desk.opensOriginal : !row || row.track || row.opening) return;
  if (isOriginal) desk.opensOriginal = true;
  else row.opening = true;
  const source = await open(file).catch((error) => error);
  if (desk !== shown) {
    source.close?.();
    return;
  }
  if (row) row.opening = false;
  if (source instanceof Error) {
    if (row) tell(file.id, "failed", `It cannot be played: ${source.message}`);
    else say(`The original cannot be played: ${source.message}`);
    return;
  }
  const track = new Track(source);
  if (isOriginal) {
    desk.mixer.original = track;
    the("original").disabled = false;
  } else {
    row.play(track);
    desk.mixer.tracks.push(track);
  }
  showWave(desk, row, file.id);
  the("play").disabled = false;
  for (const id of HEARING) the(id).hidden = id === "save" && !desk.rows.size;
  showRenders();
  desk.mixer.update();
  showLevels();
  showPosition();
}

async function open({ id, format }) {
  const source = format === "wav" ? WavSource : Mp3Source;
  return source.open(`/api/audio/${id}.${format}`);
}

/** Draw a waveform in its row; that of the song, or of the first stem, in the map. */
async function showWave(desk, row, id) {
  const { signal } = desk.scope;
  const peaks = await askJson(`/api/audio/${id}.peaks.json`, { signal }).catch(() => null);
  if (!peaks) return;
  if (row) drawWave(row.canvas, peaks.told, signal, desk.zoom);
  if (!row || !desk.hasMap) drawMap(peaks.told, signal);
  desk.hasMap = true;
}

// Files

/** Offer a stem's file for download, in the chosen format. */
export function offer({ id, format, filename }) {
  const row = shown.rows.get(id);
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
  const row = shown.rows.get(id);
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

/** Offer files of the song as one ZIP. */
export function offerAll(format, ids) {
  const path = `/api/stems.zip?audio_id=${shown.song.id}&format=${format}&ids=${ids.join()}`;
  link(the("all"), path, `${shown.song.title ?? shown.song.id} - Stems.zip`, () => signedZip(format, ids));
}

/** The address of a ZIP that needs no API key; null if this service signs none. */
async function signedZip(format, ids) {
  const { told } = await askJson("/api/stems.zip", { body: { audio_id: shown.song.id, format, ids } });
  const { origin, href, searchParams } = new URL(told.url, location.href);
  return origin === location.origin && searchParams.has("token") ? href : null;
}

function link(element, path, name, sign = null) {
  element.href = here(path);
  element.download = fileName(name);
  element.hidden = false;
  element.onclick = async (event) => {
    if (!Object.keys(credentials.headers).length) return;
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

// Mixing

function onMix(row) {
  noteMix(shown.song.id, row.id, row.mix);
  shown.mixer.update();
  showLevels();
}

/** Shift: solo this one only. The click has toggled it already. */
function soloOnly(row) {
  for (const other of rows()) press(other.solo, other === row);
  for (const other of rows()) other.apply();
}

function showLevels() {
  for (const { group, track } of rows()) group.classList.toggle("silent", !!track && shown.mixer.level(track) === 0);
}

function showPosition() {
  const { position, seconds } = shown.mixer;
  const slider = the("position");
  slider.max = seconds || 1;
  slider.value = position;
  const text = `${clock(position)} of ${clock(seconds)}`;
  if (slider.getAttribute("aria-valuetext") !== text) slider.setAttribute("aria-valuetext", text);
  the("time").value = `${clock(position)} / ${clock(seconds)}`;
  const place = seconds ? position / seconds : 0;
  the("map").style.setProperty("--at", place);
  the("tracks").style.setProperty("--at", shown.zoom.within(place));
}

function onChange() {
  const { mixer, zoom } = shown;
  the("play").textContent = mixer.playing ? "Pause" : "Play";
  if ("mediaSession" in navigator) navigator.mediaSession.playbackState = mixer.playing ? "playing" : "paused";
  cancelAnimationFrame(frame);
  const follow = () => {
    if (mixer !== shown.mixer) return;
    if (mixer.playing && mixer.seconds) zoom.follow(mixer.position / mixer.seconds);
    showPosition();
    the("meter").style.setProperty("--peak", mixer.peak);
    if (mixer.playing) frame = requestAnimationFrame(follow);
  };
  follow();
}

function seek(seconds) {
  shown.mixer.seek(seconds);
  showPosition();
}

async function toggleMixer() {
  if (the("play").disabled) return;
  if (shown.mixer.playing) shown.mixer.pause();
  else await shown.mixer.play().catch((error) => say(error.message));
}

/** Play the song itself: there are no stems on the desk. */
export function playOriginal() {
  shown.mixer.hearsOriginal = true;
  press(the("original"), true);
  toggleMixer();
}

/** Whether every stem can be played. */
export const isWhole = () => rows().every(({ track }) => track);

// The keys of keyboards, headsets and lock screens

function showSession() {
  if (!("mediaSession" in navigator)) return;
  navigator.mediaSession.metadata = new MediaMetadata({ title: shown.song.title || shown.song.id, artist: "Suno Stems" });
  const { mixer } = shown;
  const actions = {
    play: () => mixer.playing || toggleMixer(),
    pause: () => mixer.playing && toggleMixer(),
    seekbackward: () => seek(mixer.position - STEP),
    seekforward: () => seek(mixer.position + STEP),
    seekto: ({ seekTime }) => seek(seekTime),
  };
  for (const [action, act] of Object.entries(actions)) navigator.mediaSession.setActionHandler(action, act);
}

function onKey(event) {
  const { target, key } = event;
  if (the("desk").hidden || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const slides = target.type === "range";
  if (!slides && target.closest("input, select, textarea")) return;
  if (key === " " && !target.closest("button, a, summary")) {
    event.preventDefault();
    toggleMixer();
  }
  const way = { ArrowLeft: -STEP, ArrowRight: STEP }[key];
  if (way && (!slides || target.id === "position")) {
    event.preventDefault();
    seek(shown.mixer.position + way);
  }
  const row = rows().find(({ group }) => group.contains(target));
  if (row && key.toLowerCase() === "m") row.mute.click();
  if (row && key.toLowerCase() === "s") row.solo.click();
  if (key === "?") showKeys();
}

const showKeys = () => question("Keys", KEYS, [], new AbortController().signal, "Close");

// Renders

const isVoice = ({ part }) => VOICE.test(part);
const heard = () => rows().filter(({ track }) => track);

/** Offer the mixes, once each stem is loaded or has failed. */
function showRenders() {
  const settled = rows().every(({ track, isFailed }) => track || isFailed);
  const parts = heard();
  the("mix").hidden = !settled || !parts.length;
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
  const { mixer } = shown;
  return mixer.tracks.map((track) => [track, mixer.levelInMix(track) * gainOf(mixer.volume)]);
}

async function render(button, name, levels, pans) {
  button.disabled = true;
  try {
    const { blob, clipped } = await shown.mixer.render(levels, (share) => say(`Making ${name}: ${Math.floor(share * 10)}0 %`), pans);
    saveBlob(blob, name);
    const loud = clipped ? " It was too loud in places, and is cut there: turn the volumes down a little." : "";
    say(`${name} is in your downloads.${without()}${loud}`);
  } catch (error) {
    say(error.message);
  } finally {
    button.disabled = false;
  }
}

/** Connect the controls that the page always has. */
export function start() {
  the("play").addEventListener("click", toggleMixer);
  the("position").addEventListener("input", ({ target }) => seek(Number(target.value)));
  the("original").addEventListener("click", ({ target }) => {
    press(target, !isPressed(target));
    shown.mixer.hearsOriginal = isPressed(target);
    shown.mixer.update();
    showLevels();
  });
  const master = the("master");
  const setMaster = () => {
    shown.mixer.volume = master.value / 100;
    master.setAttribute("aria-valuetext", decibels(shown.mixer.volume));
    the("master-level").value = decibels(shown.mixer.volume);
    shown.mixer.update();
  };
  master.addEventListener("input", setMaster);
  master.addEventListener("dblclick", () => {
    master.value = 100;
    setMaster();
  });
  setMaster();
  const title = () => shown.song.title || shown.song.id;
  the("karaoke").addEventListener("click", ({ target }) => render(target, `${title()} - Karaoke.wav`, karaoke(), false));
  the("mix").addEventListener("click", ({ target }) => render(target, `${title()} - Mix.wav`, mix(), true));
  the("show-keys").addEventListener("click", showKeys);
  the("save").open = matchMedia(WIDE).matches;
  document.addEventListener("keydown", onKey);
}
