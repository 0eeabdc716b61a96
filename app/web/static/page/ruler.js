// The ruler above the waveforms: the numbers of the bars, and the loop, which is drawn with the pointer.

import { shownLines } from "./bars.js";
import { make, the } from "./dom.js";

const EDGE = 8; // pixels: a press so close to an edge of the loop moves this edge
const CLICK = 4; // pixels that a click may move

/** Show the ruler of a desk. `on` has `seek` (seconds, event) and `loop` (seconds, seconds, event). */
export function showRuler(desk, on) {
  const { zoom, scope, mixer, timing } = desk;
  const { signal } = scope;
  const ruler = the("ruler");
  const timeAt = ({ clientX }) => {
    const { left, width } = ruler.getBoundingClientRect();
    return zoom.at((clientX - left) / width) * mixer.seconds;
  };
  const draw = () => {
    align(ruler);
    const seconds = mixer.seconds || 1;
    const lines = shownLines(timing.lines, zoom.from * seconds, zoom.to * seconds, ruler.clientWidth);
    ruler.replaceChildren(...lines.map(({ at, number, isNamed }) => markOf(zoom.within(at / seconds), isNamed ? number : "", at)));
    showLoop(desk, seconds);
  };
  let anchor = null; // the edge that stays while the other is drawn
  let pressed = 0;
  let hasMoved = false;
  ruler.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    ruler.setPointerCapture(event.pointerId);
    const edge = edgeNear(event, desk, ruler);
    hasMoved = edge !== null;
    anchor = edge ?? timeAt(event);
    pressed = event.clientX;
  }, { signal });
  ruler.addEventListener("pointermove", (event) => {
    if (!ruler.hasPointerCapture(event.pointerId)) return;
    hasMoved ||= Math.abs(event.clientX - pressed) > CLICK;
    if (hasMoved) on.loop(anchor, timeAt(event), event);
  }, { signal });
  ruler.addEventListener("pointerup", (event) => !hasMoved && on.seek(timeAt(event), event), { signal });
  zoom.addEventListener("change", draw, { signal });
  zoom.addEventListener("loop", () => showLoop(desk, mixer.seconds || 1), { signal });
  const sizes = new ResizeObserver(draw);
  sizes.observe(the("tracks"));
  signal.addEventListener("abort", () => sizes.disconnect(), { once: true });
  draw();
}

/** Put the ruler right above the waveforms. */
function align(ruler) {
  const wave = [...document.querySelectorAll("#tracks .heard .wave")].find((each) => each.checkVisibility());
  ruler.hidden = !wave;
  if (!wave) return;
  const around = ruler.parentElement.getBoundingClientRect();
  const { left, width } = wave.getBoundingClientRect();
  ruler.style.setProperty("--left", `${left - around.left}px`);
  ruler.style.setProperty("--across", `${width}px`);
}

function markOf(place, number, at) {
  const mark = make("span", { className: number ? "named" : "", "data-at": at }, String(number));
  mark.style.setProperty("left", `${place * 100}%`);
  return mark;
}

/** The other edge of the loop, if the pointer is on one; otherwise null. */
function edgeNear({ clientX }, { timing, zoom, mixer }, ruler) {
  if (!timing.isLooping) return null;
  const { left, width } = ruler.getBoundingClientRect();
  const distance = (seconds) => Math.abs(left + zoom.within(seconds / mixer.seconds) * width - clientX);
  const { from, to } = timing.loop;
  const [near, opposite] = distance(from) < distance(to) ? [from, to] : [to, from];
  return distance(near) <= EDGE ? opposite : null;
}

/** Show the loop on the map, the ruler and the waveforms. */
function showLoop({ timing, zoom }, seconds) {
  the("desk").classList.toggle("looped", timing.isLooping);
  if (!timing.loop) return;
  const { from, to } = timing.loop;
  for (const [name, at] of [["--loop-from", from], ["--loop-to", to]]) {
    the("map").style.setProperty(name, at / seconds);
    for (const id of ["ruler", "tracks"]) the(id).style.setProperty(name, Math.max(0, Math.min(1, zoom.within(at / seconds))));
  }
}
