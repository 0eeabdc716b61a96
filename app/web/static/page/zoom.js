// Which part of the song the waveforms show, and the small map of the whole song above them.

import { the } from "./dom.js";
import { drawWave } from "./wave.js";

const CLOSEST = 32; // times
const DRAG_EDGE = 0.001; // of the song: a part is never empty

/** The shown part, from 0 to 1 of the song. Dispatches "change". */
export class Zoom extends EventTarget {
  from = 0;
  to = 1;
  lines = null; // of the song's bars
  seconds = 0; // of the song

  get times() {
    return Math.round(1 / (this.to - this.from));
  }

  /** Show the song so many times as wide, with `middle` in the middle as far as it can be. */
  set(times, middle = (this.from + this.to) / 2) {
    const width = Math.max(DRAG_EDGE, 1 / Math.min(CLOSEST, Math.max(1, times)));
    const from = Math.max(0, Math.min(1 - width, middle - width / 2));
    if (from === this.from && from + width === this.to) return;
    Object.assign(this, { from, to: from + width });
    this.dispatchEvent(new Event("change"));
  }

  /** Take the song's length, and the lines of its bars if they are known. */
  mark(lines = this.lines, seconds = this.seconds) {
    if (lines === this.lines && seconds === this.seconds) return;
    Object.assign(this, { lines, seconds });
    this.dispatchEvent(new Event("change"));
  }

  /** Turn the page if a place is not shown. */
  follow(place) {
    if (this.times > 1 && (place < this.from || place >= this.to)) this.set(this.times, place + (this.to - this.from) * 0.4);
  }

  /** Where a place of the song is in the shown part: from 0 to 1 if it is in it. */
  within(place) {
    return (place - this.from) / (this.to - this.from);
  }

  /** Which place of the song a share of the shown part is. */
  at(share) {
    return this.from + Math.max(0, Math.min(1, share)) * (this.to - this.from);
  }
}

/** Connect the map and the zoom buttons to a Zoom; `seek` gets a place of the song, and the event. Ends with `signal`. */
export function showMap(zoom, seek, signal) {
  const map = the("map");
  const show = () => {
    map.style.setProperty("--from", zoom.from);
    map.style.setProperty("--width", zoom.to - zoom.from);
    the("zoom-out").disabled = zoom.times <= 1;
    the("zoom-in").disabled = zoom.times >= CLOSEST;
    the("zoom").value = `${zoom.times}×`;
  };
  zoom.addEventListener("change", show, { signal });
  the("zoom-in").addEventListener("click", () => zoom.set(zoom.times * 2), { signal });
  the("zoom-out").addEventListener("click", () => zoom.set(zoom.times / 2), { signal });
  drag(map, (share, event) => {
    zoom.set(zoom.times, share);
    seek(share, event);
  }, signal);
  show();
}

/** Draw a waveform in the map. */
export const drawMap = (peaks, signal) => drawWave(the("map").querySelector("canvas"), peaks, signal, new Zoom());

/** Call `move` with the share of the width, from 0 to 1, and the event, at a press and while it is dragged. */
export function drag(element, move, signal) {
  const onMove = (event) => {
    if (event.type === "pointermove" && !element.hasPointerCapture(event.pointerId)) return;
    if (event.target.closest("button, a")) return;
    const box = element.getBoundingClientRect();
    move(Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)), event);
  };
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.target.closest("button, a")) return;
    element.setPointerCapture(event.pointerId);
    onMove(event);
  }, { signal });
  element.addEventListener("pointermove", onMove, { signal });
}
