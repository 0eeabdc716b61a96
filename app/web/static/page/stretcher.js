// Stretches the pieces of all tracks for one course: with the same cuts, so that they stay together to the sample.

import { PIECE } from "./course.js";
import { findCuts, stretched } from "./stretch.js";

const PATIENCE = 1500; // milliseconds for a track's samples: the cuts are then found without it

/** The pieces of tracks at a speed. Cuts are found once for each piece, from the tracks that are heard then. */
export class Stretcher {
  #found = new Map(); // by pass and piece

  /** `rate`: samples a second of the tracks. `heard` returns pairs of track and gain. */
  constructor({ rate, speed, heard }) {
    Object.assign(this, { rate, speed, heard });
  }

  /** The stretched piece of a track, as an AudioBuffer; null after its end. `within` says which piece, of which pass. */
  async piece(track, within) {
    const [around, { cuts }] = await Promise.all([track.around(within.piece), this.#cutsOf(within)]);
    if (!around) return null;
    const { rate } = track.source;
    const size = { rate, lead: track.leadOf(within.piece), count: this.#countOf(within.piece, rate) };
    const own = rate === this.rate ? cuts : scaled(cuts, rate / this.rate);
    const buffer = new AudioBuffer({ length: size.count, numberOfChannels: around.numberOfChannels, sampleRate: rate });
    for (let channel = 0; channel < around.numberOfChannels; channel++) {
      buffer.copyToChannel(stretched(around.getChannelData(channel), own, size), channel);
    }
    return buffer;
  }

  #countOf(piece, rate) {
    const until = (number) => Math.round((number * PIECE * rate) / this.speed);
    return until(piece + 1) - until(piece);
  }

  #cutsOf({ key, pass, piece }) {
    if (!this.#found.has(key)) this.#found.set(key, this.#find(piece, this.#found.get(`${pass}:${piece - 1}`)));
    return this.#found.get(key);
  }

  async #find(piece, before) {
    const { rate, speed } = this;
    const heard = this.heard().filter(([track]) => track.source.rate === rate);
    const reading = heard.map(([track]) => soon(track.around(piece)));
    const [ahead, ...buffers] = await Promise.all([before, ...reading]);
    const sum = new Float32Array(Math.max(1, ...buffers.map((buffer) => buffer?.length ?? 0)));
    buffers.forEach((buffer, number) => {
      for (let channel = 0; channel < (buffer?.numberOfChannels ?? 0); channel++) {
        const samples = buffer.getChannelData(channel);
        for (let i = 0; i < samples.length; i++) sum[i] += heard[number][1] * samples[i];
      }
    });
    const lead = heard[0]?.[0].leadOf(piece) ?? 0;
    const count = this.#countOf(piece, rate);
    return findCuts(sum, { rate, lead, count, length: PIECE * rate, speed, goesOn: ahead?.goesOn ?? null });
  }
}

/** What a promise resolves to, or null if it fails or is late. */
function soon(promise) {
  const late = new Promise((resolve) => setTimeout(() => resolve(null), PATIENCE));
  return Promise.race([promise.catch(() => null), late]);
}

/** Cuts for a track of another sample rate. */
function scaled(cuts, factor) {
  const place = (samples) => (samples === null ? null : Math.round(samples * factor));
  return cuts.map(({ at, from, old }) => ({ at: place(at), from: place(from), old: place(old) }));
}
