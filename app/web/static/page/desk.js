// The stems of a song on the page: status, waveform, mix and download of each.

import { Failure, askJson, credentials, here, save, saveBlob } from "./api.js";
import { make, say as announce, the } from "./dom.js";
import { Mixer, Track } from "./mixer.js";
import { Mp3Source } from "./mp3.js";
import { fileName } from "./names.js";
import { clock } from "./rules.js";
import { Scope } from "./scope.js";
import { drawWave } from "./wave.js";
import { WavSource } from "./wav.js";

const STEP = 5; // seconds per arrow key
const VOICE = /^((lead|backing) )?vocals?$/;
const LEAD = /^(lead )?vocals?$/;
const STAGES = ["submitted", "queued", "streaming", "complete", "fetching", "kept"];

let song = null;
let scope = new Scope(); // ends when these stems are removed
let rows = new Map(); // the elements and the track of each stem, by its id
let mixer = null;
let opensOriginal = false;
let frame = 0;

/** Announce a text in the live region of the stems, unless it is there already. */
function say(text) {
  announce("saving", text);
}

/** Remove all stems. */
export function clear() {
  cancelAnimationFrame(frame);
  scope.end();
  scope = new Scope();
  mixer?.close();
  mixer = null;
  rows = new Map();
  the("tracks").replaceChildren();
  the("desk").hidden = true;
}

/**
 * Show the stems of a song; nothing is fetched yet. `stems` are clips with `part` and `take`. Without `canPlay` they can
 * only be saved.
 */
export function show(clip, stems, { canPlay = true, title = `Stems of ${clip.title || clip.id}` } = {}) {
  clear();
  opensOriginal = false;
  mixer = new Mixer();
  mixer.expected = clip.duration ?? 0;
  mixer.addEventListener("change", onChange);
  mixer.addEventListener("failure", ({ error }) => {
    say(error instanceof Failure ? error.message : "Part of the audio could not be loaded. It is requested again.");
  });
  song = clip;
  const seen = new Set();
  rows = new Map(stems.map((stem) => [stem.id, row(stem, seen)]));
  the("tracks").replaceChildren(...[...rows.values()].map(({ item }) => item));
  the("desk-title").textContent = title;
  the("desk-title").dir = "auto";
  for (const id of ["all", "karaoke", "mix"]) the(id).hidden = true;
  the("all").removeAttribute("href");
  the("original").disabled = true;
  the("original").setAttribute("aria-pressed", "false");
  say("");
  the("play").disabled = true;
  the("transport").hidden = the("keys").hidden = !canPlay;
  for (const { wave } of rows.values()) wave.hidden = !canPlay;
  the("desk").hidden = false;
  onChange();
  // The pressed button may be gone.
  if (document.activeElement === document.body || document.activeElement.disabled) the("desk-title").focus();
}

/** Show the stage of a stem: Suno's status, or that of its file. `text` is shown instead of a known stage. */
export function tell(id, stage, text = stage) {
  const of = rows.get(id);
  if (!of || of.track || of.state.textContent === text) return;
  of.state.textContent = text;
  of.progress.hidden = !STAGES.includes(stage);
  of.progress.value = STAGES.indexOf(stage) + 1;
  of.failed = !STAGES.includes(stage);
  if (of.failed) say(`${of.group.getAttribute("aria-label")}: ${text}`);
  showRenders();
}

/** Keep a stem that Suno could not make in its row, with the reason; `again` is a button or null. */
export function fail(id, text, again) {
  const of = rows.get(id);
  of.wave.hidden = false;
  tell(id, "failed", text);
  of.group.classList.add("failed");
  if (again) of.about.append(again);
}

/** Make a kept file playable, with its waveform. `file` is from POST /api/audio; the song's own is the original. */
export async function add(file) {
  const of = rows.get(file.id);
  const mine = mixer;
  const isOriginal = file.id === song.id;
  if (isOriginal ? opensOriginal : !of || of.track || of.opening) return;
  if (isOriginal) opensOriginal = true;
  else of.opening = true;
  const source = await open(file).catch((error) => error);
  if (mine !== mixer) {
    source.close?.();
    return;
  }
  if (of) of.opening = false;
  if (source instanceof Error) {
    if (of) tell(file.id, "failed", `It cannot be played: ${source.message}`);
    else say(`The original cannot be played: ${source.message}`);
    return;
  }
  const track = new Track(source);
  if (isOriginal) {
    mixer.original = track;
    the("original").disabled = false;
  } else {
    of.track = track;
    track.muted = of.mute.getAttribute("aria-pressed") === "true";
    track.soloed = of.solo.getAttribute("aria-pressed") === "true";
    track.volume = of.volume.value / 100;
    mixer.tracks.push(track);
    of.group.classList.add("heard");
    of.about.hidden = true;
    of.hearing.hidden = of.taking.hidden = of.volume.parentElement.hidden = false;
    showWave(of, file.id);
  }
  the("play").disabled = false;
  showRenders();
  mixer.update();
  showLevels();
  showPosition();
}

/** Offer a stem's file for download, in the chosen format. */
export function offer({ id, format, filename }) {
  const of = rows.get(id);
  if (!of) return;
  of.taking.hidden = false;
  of.volume.parentElement.hidden = !of.track;
  link(of.link, `/api/audio/${id}.${format}`, filename);
  of.link.textContent = `Save ${format.toUpperCase()}`;
}

/** Offer a stem's file that this service may not keep: on a click, `find` returns Suno's own URL. */
export function offerAddress(id, format, find) {
  const of = rows.get(id);
  of.taking.hidden = false;
  of.volume.parentElement.hidden = of.progress.hidden = true;
  const button = make("button", { type: "button" }, `Prepare ${format.toUpperCase()}`);
  button.addEventListener("click", async () => {
    button.disabled = true;
    const address = await find();
    button.disabled = false;
    if (!address) return;
    Object.assign(of.link, { href: address, target: "_blank", rel: "noreferrer", hidden: false });
    of.link.textContent = `Save ${format.toUpperCase()}`;
    button.replaceWith(of.link);
    of.link.focus();
  });
  of.taking.append(button);
}

/** Play the song itself: there are no stems on the desk. */
export function playOriginal() {
  mixer.hearsOriginal = true;
  the("original").setAttribute("aria-pressed", "true");
  mixer.play();
}

/** Offer files of the song as one ZIP. */
export function offerAll(format, ids) {
  const path = `/api/stems.zip?audio_id=${song.id}&format=${format}&ids=${ids.join()}`;
  link(the("all"), path, `${song.title ?? song.id} - Stems.zip`);
}

/** Whether every stem can be played. */
export const isWhole = () => [...rows.values()].every(({ track }) => track);

function link(element, path, name) {
  element.href = here(path);
  element.download = fileName(name);
  element.hidden = false;
  element.onclick = async (event) => {
    if (!Object.keys(credentials.headers).length) return;
    // The browser would follow the link without the API key.
    event.preventDefault();
    say(`Fetching ${name}…`);
    const failed = await save(path, name).catch((failure) => failure);
    say(failed?.message ?? `${name} is saved.`);
  };
}

async function open({ id, format }) {
  const source = format === "wav" ? WavSource : Mp3Source;
  return source.open(`/api/audio/${id}.${format}`);
}

async function showWave(of, id) {
  const { signal } = scope;
  const peaks = await askJson(`/api/audio/${id}.peaks.json`, { signal }).catch(() => null);
  if (peaks) drawWave(of.canvas, peaks.told, signal);
}

/** Make the row of a stem. Later takes of the same part start muted. */
function row(stem, seen) {
  const part = stem.part || stem.title || stem.id;
  const again = seen.has(part);
  seen.add(part);
  const name = part.length > 2 ? part[0].toUpperCase() + part.slice(1) : part.toUpperCase();
  const mute = toggle("Mute", again);
  const solo = toggle("Solo", false);
  const volume = make("input", { type: "range", min: 0, max: 100, value: 100 });
  const state = make("span", { className: "small", textContent: stem.status ?? "" });
  const progress = make("progress", { max: STAGES.length, value: 0, "aria-label": `${name}: progress` });
  const saved = make("a", { className: "button", hidden: true });
  const canvas = make("canvas", { "aria-hidden": "true" });
  const wave = make("div", { className: "wave" }, canvas);
  const hearing = make("div", { className: "controls", hidden: true }, mute, solo);
  const taking = make("div", { className: "controls taking", hidden: true }, make("label", {}, "Volume", volume), saved);
  const take = stem.take > 1 ? `take ${stem.take}` : "";
  const title = make("h3", { dir: "auto" }, name, make("small", {}, take));
  const label = again ? `${name}, take ${stem.take}` : name;
  const group = make("div", { role: "group", "aria-label": label }, title, wave, hearing, taking);
  const about = make("span", { className: "state" }, progress, state);
  wave.append(about);
  const of = { item: make("li", {}, group), group, wave, mute, solo, volume, state, progress, about, link: saved, canvas, hearing, taking, part };
  const change = () => {
    if (!of.track) return;
    of.track.muted = mute.getAttribute("aria-pressed") === "true";
    of.track.soloed = solo.getAttribute("aria-pressed") === "true";
    of.track.volume = volume.value / 100;
    mixer.update();
    showLevels();
  };
  for (const button of [mute, solo]) button.addEventListener("click", change);
  volume.addEventListener("input", change);
  wave.addEventListener("click", (event) => {
    const box = wave.getBoundingClientRect();
    seek(((event.clientX - box.left) / box.width) * mixer.seconds);
  });
  return of;
}

function toggle(name, pressed) {
  const button = make("button", { type: "button", "aria-pressed": String(pressed) }, name);
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
  });
  return button;
}

function showLevels() {
  for (const { group, track } of rows.values()) group.classList.toggle("silent", !!track && mixer.level(track) === 0);
}

function showPosition() {
  const { position, seconds } = mixer;
  const slider = the("position");
  slider.max = seconds || 1;
  slider.value = position;
  const text = `${clock(position)} of ${clock(seconds)}`;
  if (slider.getAttribute("aria-valuetext") !== text) slider.setAttribute("aria-valuetext", text);
  the("time").value = `${clock(position)} / ${clock(seconds)}`;
  the("tracks").style.setProperty("--at", seconds ? position / seconds : 0);
}

function onChange() {
  the("play").textContent = mixer.playing ? "Pause" : "Play";
  cancelAnimationFrame(frame);
  const follow = () => {
    showPosition();
    if (mixer.playing) frame = requestAnimationFrame(follow);
  };
  follow();
}

function seek(seconds) {
  mixer.seek(seconds);
  showPosition();
}

function toggleMixer() {
  if (the("play").disabled) return;
  if (mixer.playing) mixer.pause();
  else mixer.play();
}

const isVoice = ({ part }) => VOICE.test(part);
const opened = () => [...rows.values()].filter(({ track }) => track);

/** Offer the mixes, once each stem is loaded or has failed. */
function showRenders() {
  const settled = [...rows.values()].every(({ track, failed }) => track || failed);
  const parts = opened();
  the("mix").hidden = !settled || !parts.length;
  the("karaoke").hidden = !settled || !parts.some(({ part }) => LEAD.test(part)) || parts.every(isVoice);
}

/** Which stems are missing in a mix. */
function without() {
  const missing = [...rows.values()].filter(({ track }) => !track).map(({ group }) => group.getAttribute("aria-label"));
  return missing.length ? ` It is without ${missing.join(", ")}, which could not be loaded.` : "";
}

/** All tracks without the voice, at full volume; only the first take of each part. */
function karaoke() {
  const parts = new Set();
  const heard = opened().filter((of) => !isVoice(of) && !parts.has(of.part) && parts.add(of.part));
  return heard.map(({ track }) => [track, 1]);
}

async function render(button, name, levels) {
  button.disabled = true;
  try {
    const { blob, clipped } = await mixer.render(levels, (share) => say(`Making ${name}: ${Math.floor(share * 10)}0 %`));
    saveBlob(blob, name);
    const loud = clipped ? " It was too loud in places, and is cut there: turn the volumes down a little." : "";
    say(`${name} is saved.${without()}${loud}`);
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
    mixer.hearsOriginal = !mixer.hearsOriginal;
    target.setAttribute("aria-pressed", String(mixer.hearsOriginal));
    mixer.update();
    showLevels();
  });
  const title = () => song.title || song.id;
  the("karaoke").addEventListener("click", ({ target }) => render(target, `${title()} - Karaoke.wav`, karaoke()));
  the("mix").addEventListener("click", ({ target }) => {
    render(target, `${title()} - Mix.wav`, mixer.tracks.map((track) => [track, mixer.levelInMix(track)]));
  });
  document.addEventListener("keydown", onKey);
}

function onKey(event) {
  const { target, key } = event;
  if (the("desk").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  const slides = target.type === "range";
  if (!slides && target.closest("input, select, textarea")) return;
  if (key === " " && !target.closest("button, a, summary")) {
    event.preventDefault();
    toggleMixer();
  }
  const way = { ArrowLeft: -STEP, ArrowRight: STEP }[key];
  if (way && (!slides || target.id === "position")) {
    event.preventDefault();
    seek(mixer.position + way);
  }
}
