// Plays all stems on one clock: pieces of a few seconds are scheduled one after the other, exact to the sample.

import { gainOf } from "./rules.js";
import { to16Bits, wavHeader } from "./wav.js";

const PIECE = 2; // seconds: a whole number of samples at every sample rate
const AHEAD = 3; // seconds that are decoded in advance
const LOOK_EVERY = 250; // milliseconds
const SOON = 0.05; // seconds: too close to schedule anything
const REST = 150; // milliseconds from a seek to playback: a dragged slider sends many seeks
const KEPT = 2; // decoded pieces to keep per track
const RETRY = 2000; // milliseconds until a failed piece is requested again
const PATIENCE = 1500; // milliseconds that play() waits for the first pieces
const WAKES_WITHIN = 1000; // milliseconds
const FADE = 0.01; // seconds: without it, a volume change clicks

/** One stem, or the original. A source has `rate`, `channels`, `length`, `seconds` and `read(first, count)`. */
export class Track {
  volume = 1;
  pan = 0; // from -1, left, to 1
  muted = false;
  soloed = false;
  pieces = new Map(); // scheduled nodes, by piece number
  gain = null;
  #panner = null;
  #output = null;
  #decoded = new Map();

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

  /** Forget the nodes of a context that is gone. */
  disconnect() {
    this.gain = this.#panner = this.#output = null;
    this.pieces.clear();
  }

  /** The decoded piece of this number; the last few are cached. */
  piece(number) {
    const known = this.#decoded.get(number);
    if (known) return known;
    const reading = this.source.read(number * PIECE * this.source.rate, PIECE * this.source.rate);
    this.#decoded.set(number, reading);
    if (this.#decoded.size > KEPT) this.#decoded.delete(this.#decoded.keys().next().value);
    reading.catch(() => this.#decoded.delete(number));
    return reading;
  }
}

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
  #zero = 0; // the context's time, in samples, at which the song starts or would have started
  #at = 0; // seconds: the position while paused
  #run = 0; // the number of the current start: pieces of older ones are dropped
  #timer = 0;
  #rest = 0;

  get rate() {
    return this.tracks[0]?.source.rate ?? this.original?.source.rate ?? 48_000;
  }

  get seconds() {
    const lengths = this.#all.map((track) => track.source.seconds);
    return Math.max(this.#knowsItsEnd ? 0 : this.expected, ...lengths.filter(Number.isFinite), 0);
  }

  get position() {
    if (!this.playing || this.#rest) return this.#at;
    const at = Math.max(this.#at, this.#context.currentTime - this.#zero / this.#context.sampleRate);
    return this.#knowsItsEnd ? Math.min(this.seconds, at) : at;
  }

  /** The position that reaches the ears now: headphones without a cable are late. */
  get heard() {
    return this.playing && !this.#rest ? Math.max(0, this.position - (this.#context.outputLatency || 0)) : this.#at;
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
    const first = Math.floor(this.#at / PIECE);
    const needed = this.#audible.map((track) => track.piece(first).catch(() => null));
    await Promise.race([Promise.all(needed), new Promise((resolve) => setTimeout(resolve, PATIENCE))]);
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

  #begin() {
    const { sampleRate, currentTime } = this.#context;
    this.#zero = Math.ceil((currentTime + 2 * SOON) * sampleRate) - Math.round(this.#at * sampleRate);
    this.#schedule();
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
    const first = Math.floor(this.position / PIECE);
    const until = this.position + AHEAD;
    const last = Math.floor((this.#knowsItsEnd ? Math.min(until, this.seconds) : until) / PIECE);
    for (const track of this.#audible) {
      for (const piece of track.pieces.keys()) if (piece < first) track.pieces.delete(piece);
      for (let piece = first; piece <= last; piece++) {
        if (!track.pieces.has(piece)) this.#start(track, piece, this.#run);
      }
    }
  }

  async #start(track, piece, run) {
    track.pieces.set(piece, null);
    let buffer;
    try {
      buffer = await track.piece(piece);
    } catch (error) {
      if (run !== this.#run) return;
      setTimeout(() => run === this.#run && track.pieces.delete(piece), RETRY);
      this.dispatchEvent(Object.assign(new Event("failure"), { error }));
      return;
    }
    if (!buffer || run !== this.#run || !this.playing) return;
    const context = this.#context;
    const { sampleRate } = context;
    if (!track.gain) track.connect(context, this.level(track), this.#output);
    const node = new AudioBufferSourceNode(context, { buffer });
    node.connect(track.gain);
    const due = this.#zero + piece * PIECE * sampleRate;
    // A piece that is late, or starts in its middle, joins where the others are by then.
    const soonest = Math.max(Math.ceil((context.currentTime + SOON) * sampleRate), this.#zero + Math.round(this.#at * sampleRate));
    const when = Math.max(due, soonest);
    if ((when - due) / sampleRate < buffer.duration) {
      node.start(when / sampleRate, (when - due) / sampleRate);
      track.pieces.set(piece, node);
    }
  }

  #silence() {
    for (const track of this.#all) {
      for (const node of track.pieces.values()) node?.stop();
      track.pieces.clear();
    }
  }

  #stop() {
    this.#run++;
    clearInterval(this.#timer);
    clearTimeout(this.#rest);
    this.#rest = 0;
    this.playing = false;
    this.#silence();
  }

  #tell(what) {
    this.dispatchEvent(new Event(what));
  }
}

/** A panner that leaves the middle as loud as it was, for one channel too. */
const pannerOf = (context, pan) => new StereoPannerNode(context, { pan, channelCount: 2, channelCountMode: "explicit" });

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
