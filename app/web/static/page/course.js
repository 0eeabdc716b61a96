// When each moment of the song sounds: the arithmetic of the mixer's clock, free of Web Audio.

export const PIECE = 2; // seconds of the song: a whole number of samples at every sample rate
const SEAM = 0.005; // seconds: a loop's end fades into its beginning

/**
 * How a song runs from a moment on: at a speed, once to its end, or around a loop. Times of the clock are whole
 * samples. Every pass of a loop is counted from the first one: rounding never adds up.
 */
export class Course {
  /** From the clock's sample `begins`, at `at` seconds of the song. `rate`: samples a second. `loop`: {from, to}. */
  constructor({ begins, at, rate, speed = 1, loop = null }) {
    Object.assign(this, { begins, at, rate, speed });
    this.loop = loop && at < loop.to ? loop : null; // behind its end, the song goes on
    this.step = rate / speed; // samples of the clock for a second of the song
    this.origin = begins - Math.round(at * this.step); // where the song begins, or would have begun
  }

  /** Where the song would have begun for this pass of the loop; 0 is the first. */
  originOf(pass) {
    return this.origin + (pass ? Math.round(pass * (this.loop.to - this.loop.from) * this.step) : 0);
  }

  /** The sample at which a pass begins. */
  startOf(pass) {
    return pass ? this.originOf(pass) + Math.round(this.loop.from * this.step) : this.begins;
  }

  /** The sample at which a pass ends, and the next one begins. */
  endOf(pass) {
    return this.loop ? this.startOf(pass + 1) : Infinity;
  }

  /** The pass at a sample. */
  passAt(sample) {
    if (sample < this.endOf(0)) return 0;
    const pass = Math.round((sample - this.endOf(0)) / ((this.loop.to - this.loop.from) * this.step)) + 1;
    return sample < this.startOf(pass) ? pass - 1 : pass;
  }

  /** The song's position at a sample, in seconds. */
  position(sample) {
    const pass = this.passAt(sample);
    return Math.max(pass ? 0 : this.at, (sample - this.originOf(pass)) / this.step);
  }

  /** The samples of the clock from the song's beginning to a piece: its neighbours meet without a gap. */
  lengthTo(piece) {
    return Math.round(piece * PIECE * this.step);
  }

  /**
   * The pieces that sound between two samples, in order. `due`: the sample at which the piece begins; `from` and `to`:
   * the samples between which it sounds in this pass; `key` names it.
   */
  pieces(first, last) {
    const found = [];
    for (let pass = this.passAt(first); pass <= this.passAt(last); pass++) {
      const origin = this.originOf(pass);
      const from = pass ? this.startOf(pass) - this.seam : this.begins;
      const to = this.endOf(pass);
      const until = Math.min(last, to - 1);
      for (let piece = this.#pieceAt(Math.max(first, from), origin); origin + this.lengthTo(piece) <= until; piece++) {
        found.push({ key: `${pass}:${piece}`, pass, piece, due: origin + this.lengthTo(piece), from, to });
      }
    }
    return found;
  }

  /** The samples of the seam: none if the loop begins with the song. */
  get seam() {
    return this.loop ? Math.min(Math.round(SEAM * this.rate), Math.round(this.loop.from * this.step)) : 0;
  }

  #pieceAt(sample, origin) {
    return Math.max(0, Math.floor((sample - origin) / this.step / PIECE));
  }
}
