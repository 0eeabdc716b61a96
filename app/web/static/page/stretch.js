// Another speed at the same pitch, by WSOLA: the sound is cut into segments, which are put together again closer or
// further apart, each at the place near its own where it fits best to the one before.
//
// The places are found once, for the sum of all tracks that are heard. Every track is then cut at the same places: as
// cutting and fading are linear, the sum of the stretched tracks is the stretched sum, and no stem moves against
// another by a sample. Free of Web Audio.

export const MARGIN = 0.15; // seconds around a piece that its segments may reach into
const SEGMENT = 0.04; // seconds
const FADE = 0.016; // seconds in which a segment fades into the next
const REACH = 0.015; // seconds between a segment and its own place, at most
const COARSE = 8; // samples that are one in the first search

/** The lengths of the algorithm in samples. */
function lengthsAt(rate) {
  const whole = (seconds) => Math.round(seconds * rate);
  return { segment: whole(SEGMENT), fade: whole(FADE), reach: whole(REACH) };
}

/**
 * Find the cuts of a piece. `sum`: the samples of all tracks, from `lead` samples before the piece on. `count`: the
 * samples of the stretched piece, `length`: of the piece. `goesOn`: where the segment before would go on, or null. All
 * places are samples from the piece's beginning. Returns {cuts, goesOn}: the second is for the next piece. Each cut has
 * `at` (in the stretched piece), `from` (the segment's first sample), `old` (where the one before would go on, or null).
 */
export function findCuts(sum, { rate, lead, count, length, speed, goesOn = null }) {
  const { segment, fade, reach } = lengthsAt(rate);
  const cuts = [];
  let old = goesOn;
  for (let at = 0; at < count; at += segment) {
    const own = Math.round(at * speed);
    const from = old === null ? own : bestPlace(sum, lead + old, lead + own, fade, reach) - lead;
    cuts.push({ at, from, old });
    old = from + Math.min(segment, count - at);
  }
  return { cuts, goesOn: old - length };
}

/** The place within `reach` of `own` from which the samples are most like those from `old` on. */
function bestPlace(sum, old, own, fade, reach) {
  const inside = (place) => Math.max(0, Math.min(sum.length - fade, place));
  const target = inside(old);
  const search = (from, to, by) => {
    let best = inside(own);
    let most = -Infinity;
    for (let place = inside(from); place <= inside(to); place += by) {
      let product = 0;
      let energy = 1e-9;
      for (let i = 0; i < fade; i += by) {
        product += sum[target + i] * sum[place + i];
        energy += sum[place + i] * sum[place + i];
      }
      const likeness = product / Math.sqrt(energy);
      if (likeness > most) [best, most] = [place, likeness];
    }
    return best;
  };
  const near = search(own - reach, own + reach, COARSE);
  return search(near - COARSE, near + COARSE, 1);
}

/**
 * The samples of one channel of a stretched piece. `samples` begin `lead` samples before the piece; `cuts` are of
 * findCuts, `count` is the length.
 */
export function stretched(samples, cuts, { rate, lead, count }) {
  const { fade } = lengthsAt(rate);
  const out = new Float32Array(count);
  cuts.forEach(({ at, from, old }, number) => {
    const end = cuts[number + 1]?.at ?? count;
    for (let i = at; i < end; i++) out[i] = samples[lead + from + i - at] ?? 0;
    if (old === null) return;
    for (let i = 0; i < Math.min(fade, end - at); i++) {
      const share = (i + 0.5) / fade;
      out[at + i] = share * out[at + i] + (1 - share) * (samples[lead + old + i] ?? 0);
    }
  });
  return out;
}
