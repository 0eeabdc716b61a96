// Bars of a song, snapping to them, and loops between them; free of elements and requests.

const BARS = 4; // of a new loop
const ALONE = 8; // seconds of a new loop where no bars are known
const SHORTEST = 0.1; // seconds of a loop
const LINE_GAP = 7; // pixels between two lines, at least
const NAME_GAP = 36; // pixels between two numbers, at least

/** The lines of a song by GET /api/beats: its bars, or its beats if the bars are not known. `at`: seconds, in order. */
export function linesOf({ beats }) {
  const bars = beats.filter(([, place]) => place === 1);
  const kind = bars.length ? "bar" : "beat";
  return { kind, at: (bars.length ? bars : beats).map(([at]) => at) };
}

export const NO_LINES = { kind: "bar", at: [] };

/** The nearest line to a time; the song's start and end are lines too. Without lines, the time itself. */
export function snapped(seconds, { at }, end) {
  if (!at.length) return seconds;
  return [0, ...at, end].reduce((best, line) => (Math.abs(line - seconds) < Math.abs(best - seconds) ? line : best));
}

/** A loop of some bars that begins with the bar of a time. */
export function loopAt(seconds, { kind, at }, end) {
  if (!at.length) return loopOf(seconds, seconds + ALONE, end);
  const count = kind === "bar" ? BARS : 4 * BARS;
  const first = Math.max(0, at.findLastIndex((line) => line <= seconds + SHORTEST));
  return loopOf(at[first], at[first + count] ?? end, end);
}

/** A loop between two times in any order, within the song; null if it is too short. */
export function loopOf(one, other, end) {
  const from = Math.max(0, Math.min(one, other));
  const to = Math.min(end, Math.max(one, other));
  return to - from >= SHORTEST ? { from, to } : null;
}

/** How long a loop is, in words: "4 bars", "16 beats", "3.2 s". */
export function lengthOf({ from, to }, { kind, at }) {
  const near = (one) => at.some((line) => Math.abs(line - one) < 1e-3);
  const inside = at.filter((line) => line > from - 1e-3 && line < to - 1e-3).length;
  const isWhole = inside && near(from) && (near(to) || to > at.at(-1));
  return isWhole ? `${inside} ${kind}${inside === 1 ? "" : "s"}` : `${(to - from).toFixed(1)} s`;
}

/**
 * The lines to draw between two times on so many pixels: each, or where they are dense, every 2nd, 4th, 8th… as
 * {at, number, isNamed}. `number` counts from 1.
 */
export function shownLines({ at }, from, to, pixels) {
  if (at.length < 2) return at.map((each) => ({ at: each, number: 1, isNamed: true }));
  const gap = ((at.at(-1) - at[0]) / (at.length - 1) / (to - from)) * pixels;
  const every = (least) => 2 ** Math.max(0, Math.ceil(Math.log2(least / gap)));
  const [drawn, named] = [every(LINE_GAP), every(NAME_GAP)];
  return at
    .map((each, index) => ({ at: each, number: index + 1, isNamed: index % named === 0 }))
    .filter(({ at: each }, index) => index % drawn === 0 && each >= from && each <= to);
}

/** The tempo in words, at a speed: "132 BPM, 3 beats a bar"; "" if it is not known. */
export function tempoOf({ bpm, steady, beats_per_bar: perBar }, speed = 1) {
  if (!bpm) return "";
  const tempo = `${Math.round(bpm * speed)} BPM`;
  return [steady === false ? `about ${tempo}, it changes` : tempo, perBar ? `${perBar} beats a bar` : ""].filter(Boolean).join(", ");
}
