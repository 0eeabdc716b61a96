// One stem, or the original: its samples, and its nodes in the mixer.

import { PIECE } from "./course.js";
import { MARGIN } from "./stretch.js";

const FADE = 0.01; // seconds: without it, a change clicks
const KEPT = 2; // decoded pieces

/** A source has `rate`, `channels`, `length`, `seconds` and `read(first, count)`. */
export class Track {
  volume = 1;
  pan = 0; // from -1, left, to 1
  muted = false;
  soloed = false;
  pieces = new Map(); // scheduled nodes, by the key of their piece
  gain = null;
  #panner = null;
  #output = null;
  #decoded = new Map();
  #passes = new Map(); // GainNodes, by the pass of a loop

  constructor(source) {
    this.source = source;
  }

  /** Connect it to a node. Without pan the sound passes unchanged. */
  connect(context, level, output) {
    this.gain = new GainNode(context, { gain: level });
    this.#output = output;
    this.gain.connect(output);
    this.place();
  }

  /** Apply the pan. */
  place() {
    if (!this.gain || (!this.#panner && !this.pan)) return;
    if (!this.#panner) {
      this.#panner = pannerOf(this.gain.context, this.pan);
      this.gain.disconnect();
      this.gain.connect(this.#panner).connect(this.#output);
    }
    this.#panner.pan.setTargetAtTime(this.pan, this.gain.context.currentTime, FADE);
  }

  /** The node for the pieces of a pass of a course: each pass of a loop fades into the next. */
  inputOf(course, pass) {
    if (!course.loop) return this.gain;
    const known = this.#passes.get(pass);
    if (known) return known;
    const { context } = this.gain;
    const [start, end, seam] = [course.startOf(pass), course.endOf(pass), course.seam].map((samples) => samples / course.rate);
    const input = new GainNode(context, { gain: pass && seam ? 0 : 1 });
    if (pass && seam) {
      input.gain.setValueAtTime(0, start - seam);
      input.gain.linearRampToValueAtTime(1, start);
    }
    if (seam && end - seam > start) {
      input.gain.setValueAtTime(1, end - seam);
      input.gain.linearRampToValueAtTime(0, end);
    }
    input.connect(this.gain);
    this.#passes.set(pass, input);
    this.#passes.delete(pass - 2);
    return input;
  }

  /** Stop what is scheduled, at a time of the context; without one, now. */
  silence(at = 0) {
    for (const node of this.pieces.values()) node?.stop(at);
    this.pieces.clear();
    this.#passes.clear();
  }

  /** Forget the nodes of a context that is gone. */
  disconnect() {
    this.gain = this.#panner = this.#output = null;
    this.pieces.clear();
    this.#passes.clear();
  }

  /** The decoded piece of this number; the last few are cached. */
  piece(number) {
    const { rate } = this.source;
    return this.#read(String(number), number * PIECE * rate, PIECE * rate);
  }

  /** The same with the samples around it, from `leadOf(number)` samples before it on. */
  around(number) {
    const { rate } = this.source;
    const lead = this.leadOf(number);
    return this.#read(`around ${number}`, number * PIECE * rate - lead, lead + PIECE * rate + Math.round(MARGIN * rate));
  }

  leadOf(number) {
    return number ? Math.round(MARGIN * this.source.rate) : 0;
  }

  #read(key, first, count) {
    const known = this.#decoded.get(key);
    if (known) return known;
    const reading = this.source.read(first, count);
    this.#decoded.set(key, reading);
    if (this.#decoded.size > KEPT) this.#decoded.delete(this.#decoded.keys().next().value);
    reading.catch(() => this.#decoded.delete(key));
    return reading;
  }
}

/** A panner that leaves the middle as loud as it was, for one channel too. */
export const pannerOf = (context, pan) => new StereoPannerNode(context, { pan, channelCount: 2, channelCountMode: "explicit" });
