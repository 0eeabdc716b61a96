// The desk: the stems of a song, heard together, mixed and saved.

import { Failure, askJson } from "./api.js";
import { make, the } from "./dom.js";
import { showSession, startKeys } from "./keys.js";
import { faultsOf } from "./measures.js";
import { mixOf, noteMix } from "./mixes.js";
import { Track } from "./mixer.js";
import { Mp3Source } from "./mp3.js";
import { Row, isPressed, labelOf, press } from "./row.js";
import { clock, count, decibels } from "./rules.js";
import { NO_WORDS, clearSaving, showMixes, startSaving } from "./saving.js";
import { Desk, current, rows, say } from "./shown.js";
import { loadBeats, showTiming, snap, startTiming } from "./timing.js";
import { drawWave } from "./wave.js";
import { WavSource } from "./wav.js";
import { drawMap, showMap } from "./zoom.js";

export { offer, offerAddress, offerAll } from "./saving.js";

const HEARING = ["playing", "timing", "keys", "view", "save"]; // what is shown once something can be heard
const WIDE = "(min-width: 60rem)";

let frame = 0;

/** Remove all stems. */
export function clear() {
  cancelAnimationFrame(frame);
  current.desk.scope.end();
  current.desk.mixer.close();
  current.desk = new Desk(null);
  the("tracks").replaceChildren();
  the("desk").hidden = true;
}

/**
 * Show the stems of a song; nothing is fetched yet. `stems` are clips with `part`, `take` and perhaps `silent`. Without
 * `canPlay` they can only be saved.
 */
export function show(clip, stems, { canPlay = true, title = `Stems of ${clip.title || clip.id}` } = {}) {
  clear();
  current.desk = new Desk(clip);
  const { mixer, zoom, scope } = current.desk;
  mixer.expected = clip.duration ?? 0;
  mixer.volume = the("master").value / 100;
  mixer.addEventListener("change", onChange);
  mixer.addEventListener("failure", ({ error }) => {
    say(error instanceof Failure ? error.message : "Part of the audio could not be loaded. It is requested again.");
  });
  zoom.addEventListener("change", showPosition);
  showMap(zoom, seekTo, scope.signal);
  placeRows(clip, stems, canPlay);
  the("desk-title").textContent = title;
  the("desk-title").dir = "auto";
  clearSaving();
  the("original").disabled = true;
  for (const id of ["original", "sing"]) press(the(id), false);
  say("");
  the("play").disabled = true;
  for (const id of HEARING) the(id).hidden = true;
  the("desk").hidden = false;
  onChange();
  showTiming(current.desk, seek);
  showSession(actions);
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
    const on = { change: onMix, solo: soloOnly, seek: (share, event) => seekTo(current.desk.zoom.at(share), event) };
    const row = new Row(stem, { label: labelOf(stem, isAgain), mix, on, signal: current.desk.scope.signal });
    row.wave.hidden = !canPlay;
    row.isAgain = isAgain;
    current.desk.rows.set(stem.id, row);
    const list = stem.status === "error" ? null : isAgain ? folded.take : stem.silent ? folded.silent : null;
    if (list) list.push(row);
    else the("tracks").append(row.item);
  }
  fold(folded.silent).textContent = count(folded.silent.length, "silent part");
  current.desk.takes = { rows: folded.take, summary: fold(folded.take) };
  showTakes();
}

/** Fold rows away; returns the element that says what is in the fold. */
function fold(rows) {
  const summary = make("summary");
  const items = rows.map(({ item }) => item);
  if (items.length) the("tracks").append(make("li", {}, make("details", {}, summary, make("ul", {}, ...items))));
  return summary;
}

/** Say how many of the second takes are muted: they are folded away. */
function showTakes() {
  const { rows, summary } = current.desk.takes;
  const muted = rows.filter(({ mute }) => isPressed(mute)).length;
  const state = muted === rows.length ? ", muted" : muted ? `, ${muted} muted` : "";
  summary.textContent = `${count(rows.length, "second take")}${state}`;
}

/** Show the stage of a stem: Suno's status, or that of its file. `text` is shown instead of a known stage. */
export function tell(id, stage, text) {
  const row = current.desk.rows.get(id);
  if (row?.tell(stage, text) && row.isFailed) say(`${row.label}: ${text}`);
  showMixes();
}

/** Keep a stem that Suno could not make in its row, with the reason; `again` is a button or null. */
export function fail(id, text, again) {
  const row = current.desk.rows.get(id);
  row.wave.hidden = false;
  row.tell("failed", text);
  say(`${row.label} failed.`);
  if (again) row.about.append(again);
  showMixes();
}

/** Make a kept file playable, with its waveform. `file` is from POST /api/audio; the song's own is the original. */
export async function add(file) {
  const { desk } = current;
  const row = desk.rows.get(file.id);
  const isOriginal = file.id === desk.song.id;
  if (isOriginal ? desk.opensOriginal : !row || row.track || row.opening) return;
  if (isOriginal) desk.opensOriginal = true;
  else row.opening = true;
  const source = await open(file).catch((error) => error);
  if (desk !== current.desk) {
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
  showMixes();
  desk.mixer.update();
  showLevels();
  showPosition();
  loadBeats(desk);
}

/** Show what is wrong with the files, by their measures. */
export function measured(files) {
  const song = files.find(({ id }) => id === current.desk.song.id);
  for (const file of files) current.desk.rows.get(file.id)?.showFaults(faultsOf(file, song));
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
  if (row) drawWave(row.canvas, peaks.reply, signal, desk.zoom);
  if (!row || !desk.hasMap) drawMap(peaks.reply, signal);
  desk.hasMap = true;
}

// Mixing

function onMix(row) {
  noteMix(current.desk.song.id, row.id, row.mix);
  showTakes();
  current.desk.mixer.update();
  showLevels();
  current.desk.stage?.showVoice();
}

/** Shift: solo this one only. The click has toggled it already. */
function soloOnly(row) {
  for (const other of rows()) press(other.solo, other === row);
  for (const other of rows()) other.apply();
}

function showLevels() {
  for (const { group, track } of rows()) group.classList.toggle("silent", !!track && current.desk.mixer.level(track) === 0);
}

function showPosition() {
  const { position, seconds } = current.desk.mixer;
  current.desk.zoom.mark(undefined, seconds);
  const slider = the("position");
  slider.max = seconds || 1;
  slider.value = position;
  const text = `${clock(position)} of ${clock(seconds)}`;
  if (slider.getAttribute("aria-valuetext") !== text) slider.setAttribute("aria-valuetext", text);
  the("time").value = `${clock(position)} / ${clock(seconds)}`;
  const place = seconds ? position / seconds : 0;
  the("map").style.setProperty("--at", place);
  the("tracks").style.setProperty("--at", current.desk.zoom.within(place));
  current.desk.stage?.show();
}

function onChange() {
  const { mixer, zoom } = current.desk;
  the("play").textContent = mixer.playing ? "Pause" : "Play";
  if ("mediaSession" in navigator) navigator.mediaSession.playbackState = mixer.playing ? "playing" : "paused";
  cancelAnimationFrame(frame);
  const follow = () => {
    if (mixer !== current.desk.mixer) return;
    if (mixer.playing && mixer.seconds) zoom.follow(mixer.position / mixer.seconds);
    showPosition();
    the("meter").style.setProperty("--peak", mixer.peak);
    if (mixer.playing) frame = requestAnimationFrame(follow);
  };
  follow();
}

/** Go to a place of the song, from 0 to 1: to its nearest bar line, without Shift. */
const seekTo = (place, event) => seek(snap(place * current.desk.mixer.seconds, event));

function seek(seconds) {
  current.desk.mixer.seek(seconds);
  showPosition();
}

async function toggleMixer() {
  if (the("play").disabled) return;
  if (current.desk.mixer.playing) current.desk.mixer.pause();
  else await current.desk.mixer.play().catch((error) => say(error.message));
}

/** Play the song itself: there are no stems on the desk. */
export function playOriginal() {
  current.desk.mixer.hearsOriginal = true;
  press(the("original"), true);
  toggleMixer();
}

/** Whether every stem can be played. */
export const isWhole = () => rows().every(({ track }) => track);

// Karaoke

async function openKaraoke() {
  const { desk } = current;
  const isOpening = the("sing").disabled;
  if (isOpening || the("playing").hidden) return;
  the("sing").disabled = true;
  try {
    const module = await import("./karaoke.js");
    desk.stage = await module.openKaraoke(desk, { ...actions, change: onRow, close: closeKaraoke });
    press(the("sing"), true);
    desk.stage.element.scrollIntoView({ block: "start" });
  } catch (error) {
    if (desk === current.desk) say(error.code === "no_lyrics" ? NO_WORDS : wordsOf(error));
  } finally {
    the("sing").disabled = false;
  }
}

const wordsOf = (error) => (error instanceof Failure ? error.message : "Karaoke could not be loaded. Check your connection.");

function closeKaraoke() {
  const hadFocus = current.desk.stage.element.contains(document.activeElement);
  current.desk.stage.close();
  current.desk.stage = null;
  press(the("sing"), false);
  if (hadFocus) the("sing").focus();
}

const toggleKaraoke = () => (current.desk.stage ? closeKaraoke() : openKaraoke());

/** A row's controls were moved by other means than a click. */
function onRow(row) {
  row.apply();
  onMix(row);
}

const actions = {
  toggle: toggleMixer,
  seek,
  "key k": toggleKaraoke,
  "key f": () => current.desk.stage?.toggleFull(),
  "key v": () => current.desk.stage?.nextVoice(),
};

/** Connect the controls that the page always has. */
export function start() {
  the("play").addEventListener("click", toggleMixer);
  the("position").addEventListener("input", ({ target }) => seek(Number(target.value)));
  the("original").addEventListener("click", ({ target }) => {
    press(target, !isPressed(target));
    current.desk.mixer.hearsOriginal = isPressed(target);
    current.desk.mixer.update();
    showLevels();
  });
  the("sing").addEventListener("click", toggleKaraoke);
  const master = the("master");
  const setMaster = () => {
    current.desk.mixer.volume = master.value / 100;
    master.setAttribute("aria-valuetext", decibels(current.desk.mixer.volume));
    the("master-level").value = decibels(current.desk.mixer.volume);
    current.desk.mixer.update();
  };
  master.addEventListener("input", setMaster);
  master.addEventListener("dblclick", () => {
    master.value = 100;
    setMaster();
  });
  setMaster();
  the("save").open = matchMedia(WIDE).matches;
  startSaving();
  for (const [key, act] of Object.entries(startTiming(seek))) actions[`key ${key}`] = act;
  startKeys(actions);
}
