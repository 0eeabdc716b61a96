// The song's bars on the desk: tempo, snapping, the A–B loop, and the speed.

import { askJson } from "./api.js";
import * as bars from "./bars.js";
import { the } from "./dom.js";
import { press } from "./row.js";
import { showRuler } from "./ruler.js";
import { current, say } from "./shown.js";

const SPEEDS = { least: 50, most: 125, step: 5, own: 100 }; // percent
const ROOMY = "(min-width: 60rem) and (min-height: 60rem)";

/** What a desk knows of its song's time. */
export class Timing {
  beats = null; // of GET /api/beats
  lines = bars.NO_LINES;
  loop = null; // {from, to} in seconds, also while it is off
  isLooping = false;
}

/** Show the timing of a new desk, in which nothing is known yet. `seek` gets seconds. */
export function showTiming(desk, seek) {
  the("speed").value = SPEEDS.own;
  the("tempo").textContent = tempoWords(desk);
  showRuler(desk, { seek: (seconds, event) => seek(snap(seconds, event)), loop: (one, other, event) => drawLoop(one, other, event, seek) });
  setSpeed();
  showLoop();
}

/** Ask for the beats of the song, once; a song without them has no bars. */
export async function loadBeats(desk) {
  if (desk.timing.beats) return;
  desk.timing.beats = {};
  const beats = await askJson(`/api/beats?audio_id=${desk.song.id}`, { signal: desk.scope.signal }).catch(() => null);
  if (!beats || desk !== current.desk) return;
  Object.assign(desk.timing, { beats: beats.reply, lines: bars.linesOf(beats.reply) });
  the("tempo").textContent = tempoWords(desk);
  desk.zoom.mark(desk.timing.lines);
  setSpeed();
}

function tempoWords({ song, timing }) {
  return [bars.tempoOf(timing.beats ?? {}), (song?.key ?? "").replace("_", " ")].filter(Boolean).join(" · ");
}

/** The time of the nearest bar line; with Shift, the time itself. */
export function snap(seconds, { shiftKey = false } = {}) {
  const { timing, mixer } = current.desk;
  return shiftKey ? seconds : bars.snapped(seconds, timing.lines, mixer.seconds);
}

// Loop

function drawLoop(one, other, event, seek) {
  const loop = bars.loopOf(snap(one, event), snap(other, event), current.desk.mixer.seconds);
  if (loop) setLoop(loop, true, seek);
}

function setLoop(loop, isLooping, seek) {
  const { timing, mixer, zoom } = current.desk;
  Object.assign(timing, { loop, isLooping });
  if (isLooping) zoom.follow(loop.from / mixer.seconds);
  mixer.loop = isLooping ? loop : null;
  showLoop();
  if (isLooping && !(mixer.position >= loop.from && mixer.position < loop.to)) seek(loop.from);
}

/** Begin or end the loop; the first one has four bars from the current position on. */
function toggleLoop(seek) {
  const { timing, mixer } = current.desk;
  const loop = timing.loop ?? bars.loopAt(mixer.position, timing.lines, mixer.seconds);
  if (loop) setLoop(loop, !timing.isLooping, seek);
  else say("The song is too short for a loop here.");
}

/** Put an edge of the loop at the current position. */
function setEdge(edge, event, seek) {
  const { timing, mixer } = current.desk;
  const at = snap(mixer.position, event);
  const opposite = edge === "from" ? timing.loop?.to : timing.loop?.from;
  const isRight = opposite !== undefined && (edge === "from" ? at < opposite : at > opposite);
  const alone = edge === "from" ? bars.loopAt(at, timing.lines, mixer.seconds) : bars.loopOf(0, at, mixer.seconds);
  const loop = isRight ? bars.loopOf(at, opposite, mixer.seconds) : alone;
  if (loop) setLoop(loop, true, seek);
}

function showLoop() {
  const { timing, zoom } = current.desk;
  press(the("loop"), timing.isLooping);
  the("loop-length").value = timing.loop && timing.isLooping ? bars.lengthOf(timing.loop, timing.lines) : "";
  zoom.dispatchEvent(new Event("loop"));
}

// Speed

function setSpeed() {
  const slider = the("speed");
  const { mixer, timing } = current.desk;
  const speed = slider.value / 100;
  if (mixer.speed !== speed) mixer.speed = speed;
  const tempo = timing.beats?.bpm ? ` · ${Math.round(timing.beats.bpm * speed)} BPM` : "";
  the("speed-now").value = `${slider.value} %${tempo}`;
  slider.setAttribute("aria-valuetext", the("speed-now").value);
}

function changeSpeed(by) {
  const slider = the("speed");
  slider.value = Math.max(SPEEDS.least, Math.min(SPEEDS.most, Number(slider.value) + by));
  setSpeed();
}

/** Connect the controls that the page always has; `seek` gets seconds. Returns what keys do. */
export function startTiming(seek) {
  const isShown = () => !the("timing").hidden;
  const on = {
    loop: () => isShown() && toggleLoop(seek),
    from: (event) => isShown() && setEdge("from", event, seek),
    to: (event) => isShown() && setEdge("to", event, seek),
  };
  the("loop").addEventListener("click", on.loop);
  the("loop-from").addEventListener("click", on.from);
  the("loop-to").addEventListener("click", on.to);
  the("speed").addEventListener("input", setSpeed);
  the("speed").addEventListener("dblclick", () => changeSpeed(SPEEDS.own - the("speed").value));
  the("timing").open = matchMedia(ROOMY).matches;
  const slower = () => isShown() && changeSpeed(-SPEEDS.step);
  const faster = () => isShown() && changeSpeed(SPEEDS.step);
  return { l: on.loop, i: on.from, o: on.to, "-": slower, "+": faster, "=": faster };
}

