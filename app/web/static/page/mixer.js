// Plays all stems on one clock: pieces of a few seconds are scheduled one after the other, exact to the sample.

import { Course, PIECE } from "./course.js";
import { gainOf } from "./rules.js";
import { Stretcher } from "./stretcher.js";
import { pannerOf } from "./track.js";
import { to16Bits, wavHeader } from "./wav.js";

export { Track } from "./track.js";

const AHEAD = 3; // seconds that are decoded in advance
const LOOK_EVERY = 250; // milliseconds
const SOON = 0.05; // seconds: too close to schedule anything
const REST = 150; // milliseconds from a seek to playback: a dragged slider sends many seeks
const RETRY = 2000; // milliseconds until a failed piece is requested again
const PATIENCE = 1500; // milliseconds to wait for the first pieces
const SETTLES = 120; // milliseconds without a further change of speed or loop until it is made
const WAKES_WITHIN = 1000; // milliseconds
const FADE = 0.01; // seconds: without it, a volume change clicks

/** Plays tracks together. Dispatches "change" when it starts, stops or ends, and "failure" with an `error`. */
export class Mixer extends EventTarget {
  tracks = [];
  original = null; // a Track outside of the mix, for comparison
  hearsOriginal = false;
  volume = 1; // of the whole mix
  expected = 0; // seconds: the length, until all files know theirs
  playing = false;
  #context = null;
  #output = null;
  #meter = null;
  #speed = 1;
  #loop = null;
  #course = null; // how the song runs on the context's clock
  #stretcher = null; // at another speed than 1
  #at = 0; // seconds: the position while paused
  #run = 0; // the number of the current start: pieces of older ones are dropped
  #timer = 0;
  #rest = 0;
  #change = 0;

  get rate() {
    return this.tracks[0]?.source.rate ?? this.original?.source.rate ?? 48_000;
  }

  get seconds() {
    const lengths = this.#all.map((track) => track.source.seconds);
    return Math.max(this.#knowsItsEnd ? 0 : this.expected, ...lengths.filter(Number.isFinite), 0);
  }

  get position() {
    if (!this.playing || this.#rest) return this.#at;
    const at = this.#course.position(this.#now);
    return this.#knowsItsEnd ? Math.min(this.seconds, at) : at;
  }

  /** The position that reaches the ears now: headphones without a cable are late. */
  get heard() {
    if (!this.playing || this.#rest) return this.#at;
    return this.#course.position(this.#now - (this.#context.outputLatency || 0) * this.#context.sampleRate);
  }

  /** How fast the song runs, at the same pitch: 1 is its own tempo. */
  get speed() {
    return this.#speed;
  }

  set speed(speed) {
    this.#speed = speed;
    this.#turnSoon();
  }

  /** What is played over and over: {from, to} in seconds, or null. */
  get loop() {
    return this.#loop;
  }

  set loop(loop) {
    this.#loop = loop;
    this.#turnSoon();
  }

  /** The current sample of the context's clock. */
  get #now() {
    return Math.round(this.#context.currentTime * this.#context.sampleRate);
  }

  /** The first sample for which something can be scheduled in peace. */
  get #soon() {
    return this.#now + Math.ceil(2 * SOON * this.#context.sampleRate);
  }

  /** The current gain of a track, from 0 to 1. */
  level(track) {
    if (track === this.original) return this.hearsOriginal ? 1 : 0;
    return this.hearsOriginal ? 0 : this.levelInMix(track);
  }

  /** The gain of a track in the mix. */
  levelInMix(track) {
    const soloing = this.tracks.some(({ soloed }) => soloed);
    return track.muted || (soloing && !track.soloed) ? 0 : gainOf(track.volume);
  }

  async play() {
    if (this.playing || !this.#all.length) return;
    const run = ++this.#run;
    await this.#wake();
    if (run !== this.#run) return;
    if (this.#knowsItsEnd && this.#at >= this.seconds - SOON) this.#at = 0;
    await this.#read(this.#at);
    if (run !== this.#run) return;
    this.playing = true;
    this.#begin();
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY);
    this.#tell("change");
  }

  /** Have a context that runs: a phone call or a locked screen may have stopped the one there was, for good. */
  async #wake() {
    if (this.#context && !(await runs(this.#context))) this.#leave();
    if (this.#context) return;
    const context = newContext(this.rate);
    this.#context = context;
    this.#output = new GainNode(context, { gain: gainOf(this.volume) });
    this.#meter = new AnalyserNode(context, { fftSize: 2048 });
    this.#output.connect(context.destination);
    this.#output.connect(this.#meter);
    context.addEventListener("statechange", () => {
      if (this.#context === context && context.state !== "running" && this.playing) this.pause();
    });
    if (await runs(context)) return;
    this.#leave();
    throw new Error("The browser does not start the sound now. End calls and other sounds, and press Play again.");
  }

  #leave() {
    for (const track of this.#all) track.disconnect();
    this.#context?.close().catch(() => {});
    this.#context = this.#output = this.#meter = null;
  }

  /** The loudest sample of the last moment, from 0 to 1. */
  get peak() {
    if (!this.playing || !this.#meter) return 0;
    const heard = new Float32Array(this.#meter.fftSize);
    this.#meter.getFloatTimeDomainData(heard);
    return heard.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
  }

  pause() {
    this.#at = this.position;
    this.#stop();
    this.#tell("change");
  }

  seek(seconds) {
    const at = Math.max(0, this.#knowsItsEnd ? Math.min(seconds, this.seconds) : seconds);
    this.#at = at;
    if (!this.playing) return;
    this.#silence();
    this.#run++;
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => {
      this.#rest = 0;
      this.#begin();
    }, REST);
  }

  /** Call this after a change of tracks, of hearsOriginal, or of a track's volume, muted or soloed. */
  update() {
    if (!this.#context) return;
    this.#output.gain.setTargetAtTime(gainOf(this.volume), this.#context.currentTime, FADE);
    for (const track of this.#all) {
      track.gain?.gain.setTargetAtTime(this.level(track), this.#context.currentTime, FADE);
      track.place();
    }
    if (this.playing && !this.#rest) this.#schedule();
  }

  /** The node that all sound passes through: for measurements. */
  get output() {
    return this.#output;
  }

  close() {
    this.#stop();
    for (const track of this.#all) track.source.close?.();
    this.#leave();
  }

  /**
   * Render tracks to a 16-bit WAV file, piece by piece. `levels` are pairs of track and gain; `onProgress` gets the
   * share that is done, from 0 to 1. With `pans`, each track is where its pan says. Returns {blob, clipped}; `clipped` counts the samples that were too loud and cut.
   */
  async render(levels, onProgress = () => {}, pans = true) {
    const heard = [...levels].filter(([, level]) => level !== 0);
    if (!heard.length) throw new Error("Nothing can be heard in this mix.");
    await Promise.all(heard.map(([track]) => track.source.whole?.()));
    const { rate } = heard[0][0].source;
    const channels = Math.max(...heard.map(([track]) => (pans && track.pan ? 2 : track.source.channels)));
    const length = Math.max(...heard.map(([track]) => Math.ceil(track.source.seconds * rate)));
    const parts = [wavHeader({ rate, channels, length })];
    let clipped = 0;
    for (let first = 0; first < length; first += PIECE * rate) {
      const context = new OfflineAudioContext(channels, Math.min(PIECE * rate, length - first), rate);
      for (const [track, level] of heard) {
        const { source } = track;
        const buffer = await source.read(Math.round((first / rate) * source.rate), PIECE * source.rate);
        if (!buffer) continue;
        const node = new AudioBufferSourceNode(context, { buffer });
        const gain = node.connect(new GainNode(context, { gain: level }));
        (pans && track.pan ? gain.connect(pannerOf(context, track.pan)) : gain).connect(context.destination);
        node.start();
      }
      const piece = to16Bits(await context.startRendering());
      clipped += piece.clipped;
      parts.push(new Blob([piece.bytes]));
      onProgress(Math.min(1, (first + PIECE * rate) / length));
    }
    return { blob: new Blob(parts, { type: "audio/wav" }), clipped };
  }

  get #all() {
    return this.original ? [...this.tracks, this.original] : this.tracks;
  }

  get #knowsItsEnd() {
    return this.#all.every((track) => Number.isFinite(track.source.seconds));
  }

  get #audible() {
    return this.#all.filter((track) => this.level(track) !== 0);
  }

  /** Wait for the pieces at a position, but not for long. */
  async #read(at) {
    const piece = Math.floor(at / PIECE);
    const read = (track) => (this.#speed === 1 ? track.piece(piece) : track.around(piece));
    const needed = this.#audible.map((track) => read(track).catch(() => null));
    await Promise.race([Promise.all(needed), new Promise((resolve) => setTimeout(resolve, PATIENCE))]);
  }

  #begin() {
    this.#run++;
    clearTimeout(this.#change);
    this.#steer(this.#soon, this.#at);
  }

  /** Play from a position on, from a sample of the clock on. */
  #steer(begins, at) {
    const { rate, speed, loop } = { rate: this.#context.sampleRate, speed: this.#speed, loop: this.#loop };
    this.#course = new Course({ begins, at, rate, speed, loop });
    const heard = () => this.#audible.map((track) => [track, this.level(track)]);
    this.#stretcher = speed === 1 ? null : new Stretcher({ rate: this.rate, speed, heard });
    this.#schedule();
  }

  /** Change speed or loop while the song plays, without a gap, once nothing more is changed. */
  #turnSoon() {
    clearTimeout(this.#change);
    this.#change = setTimeout(() => this.#turn(), SETTLES);
  }

  async #turn() {
    if (!this.playing || this.#rest) return;
    const run = this.#run;
    await this.#read(this.position);
    if (run !== this.#run || !this.playing || this.#rest) return;
    this.#run++;
    const begins = this.#soon;
    for (const track of this.#all) track.silence(begins / this.#context.sampleRate);
    this.#steer(begins, this.#course.position(begins));
  }

  #look() {
    if (this.#rest) return;
    if (this.#knowsItsEnd && this.position >= this.seconds) {
      this.#stop();
      this.#at = 0;
      this.#tell("change");
      return;
    }
    this.#schedule();
  }

  #schedule() {
    const now = this.#now;
    const end = this.#knowsItsEnd ? this.seconds : Infinity;
    const due = this.#course.pieces(now, now + AHEAD * this.#context.sampleRate).filter(({ piece }) => piece * PIECE <= end);
    const keys = new Set(due.map(({ key }) => key));
    for (const track of this.#audible) {
      for (const key of track.pieces.keys()) if (!keys.has(key)) track.pieces.delete(key);
      for (const part of due) if (!track.pieces.has(part.key)) this.#start(track, part, this.#run);
    }
  }

  async #start(track, part, run) {
    track.pieces.set(part.key, null);
    let buffer;
    try {
      buffer = await (this.#stretcher ? this.#stretcher.piece(track, part) : track.piece(part.piece));
    } catch (error) {
      if (run !== this.#run) return;
      setTimeout(() => run === this.#run && track.pieces.delete(part.key), RETRY);
      this.dispatchEvent(Object.assign(new Event("failure"), { error }));
      return;
    }
    if (!buffer || run !== this.#run || !this.playing) return;
    const context = this.#context;
    const { sampleRate } = context;
    if (!track.gain) track.connect(context, this.level(track), this.#output);
    // A piece that is late, or starts in its middle, joins where the others are by then.
    const when = Math.max(part.due, part.from, Math.ceil((context.currentTime + SOON) * sampleRate));
    if (when >= part.to || (when - part.due) / sampleRate >= buffer.duration) return;
    const node = new AudioBufferSourceNode(context, { buffer });
    node.connect(track.inputOf(this.#course, part.pass));
    node.start(when / sampleRate, (when - part.due) / sampleRate);
    if (part.to !== Infinity) node.stop(part.to / sampleRate);
    track.pieces.set(part.key, node);
  }

  #silence() {
    for (const track of this.#all) track.silence();
  }

  #stop() {
    this.#run++;
    clearInterval(this.#timer);
    for (const timer of [this.#rest, this.#change]) clearTimeout(timer);
    this.#rest = this.#change = 0;
    this.playing = false;
    this.#silence();
  }

  #tell(what) {
    this.dispatchEvent(new Event(what));
  }
}

/** Whether a context runs, after a second at most: a phone may never answer. */
async function runs(context) {
  const late = new Promise((resolve) => setTimeout(resolve, WAKES_WITHIN));
  await Promise.race([context.resume().catch(() => {}), late]);
  return context.state === "running";
}

function newContext(sampleRate) {
  try {
    return new AudioContext({ sampleRate });
  } catch {
    return new AudioContext(); // this browser does not support the rate
  }
}
