// A waveform on a canvas.

import { shownLines } from "./bars.js";

const LINE = 0.3; // opacity of a bar line

/** A sample's share of the height, on a curve: quiet stems are visible, and louder ones still higher. */
const height = (sample, full) => Math.sign(sample) * (Math.abs(sample) / full) ** 0.6;

/** Which pair of samples a share of the shown part is: a file that is shorter than the song ends before it. */
export function pairOf({ data, length, sample_rate: rate, samples_per_pixel: samples }, zoom, share) {
  const pairs = data.length / 2;
  const place = zoom.from + share * (zoom.to - zoom.from);
  const seconds = (length * samples) / rate;
  return Math.floor(zoom.seconds ? (place * zoom.seconds * pairs) / seconds : place * pairs);
}

/**
 * Draw audiowaveform's `data` (lowest and highest sample, alternating) in the canvas's CSS colour, until `signal` ends.
 * `zoom` says which part of it is shown, from 0 to 1, and the lines of its bars; it dispatches "change".
 */
export function drawWave(canvas, peaks, signal, zoom) {
  const { data, bits } = peaks;
  const draw = () => {
    const width = Math.round(canvas.clientWidth * devicePixelRatio);
    const half = Math.round(canvas.clientHeight * devicePixelRatio) / 2;
    if (!width || !half) return;
    Object.assign(canvas, { width, height: 2 * half });
    const context = canvas.getContext("2d");
    context.fillStyle = getComputedStyle(canvas).color;
    const pairs = data.length / 2;
    const full = 2 ** (bits - 1);
    const pairAt = (x) => pairOf(peaks, zoom, x / width);
    for (let x = 0; x < width; x++) {
      let low = 0;
      let high = 0;
      const to = Math.min(pairs, Math.max(pairAt(x) + 1, pairAt(x + 1)));
      for (let pair = pairAt(x); pair < to; pair++) {
        low = Math.min(low, data[2 * pair]);
        high = Math.max(high, data[2 * pair + 1]);
      }
      const top = half * (1 - height(high, full));
      context.fillRect(x, top, 1, Math.max(1, half * (1 - height(low, full)) - top));
    }
    drawLines(context, zoom, width);
  };
  if (signal.aborted) return;
  const sizes = new ResizeObserver(draw);
  sizes.observe(canvas);
  signal.addEventListener("abort", () => sizes.disconnect(), { once: true });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw, { signal });
  zoom.addEventListener("change", draw, { signal });
  draw();
}

function drawLines(context, { from, to, lines, seconds }, width) {
  if (!lines || !seconds) return;
  context.fillStyle = getComputedStyle(document.body).color;
  context.globalAlpha = LINE;
  for (const { at } of shownLines(lines, from * seconds, to * seconds, width / devicePixelRatio)) {
    const x = Math.round(((at / seconds - from) / (to - from)) * width);
    context.fillRect(x, 0, Math.ceil(devicePixelRatio), context.canvas.height);
  }
}
