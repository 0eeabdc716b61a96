// WAV files: read in pieces on demand, and written.

import { ask } from "./api.js";

const HEADER = 65_536; // bytes: the samples begin within these

/** A WAV file of the service; only the parts that are played are fetched. */
export class WavSource {
  /** Read the header of the file at a path. */
  static async open(path) {
    const response = await ask(path, { headers: { Range: `bytes=0-${HEADER - 1}` } });
    const view = new DataView(await response.arrayBuffer());
    const size = /\/(\d+)$/.exec(response.headers.get("Content-Range") ?? "");
    return new WavSource(path, view, size ? Number(size[1]) : view.byteLength);
  }

  /** `size`: the bytes of the file. Its header may not know the length: then it states 0, or the greatest number. */
  constructor(path, view, size) {
    this.path = path;
    const name = (at) => String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));
    let at = 12;
    while (at + 8 <= view.byteLength && name(at) !== "data") {
      if (name(at) === "fmt ") {
        const extensible = view.getUint16(at + 8, true) === 0xfffe;
        this.isFloat = view.getUint16(at + (extensible ? 32 : 8), true) === 3;
        this.channels = view.getUint16(at + 10, true);
        this.rate = view.getUint32(at + 12, true);
        this.width = view.getUint16(at + 22, true) / 8;
      }
      at += 8 + view.getUint32(at + 4, true) + (view.getUint32(at + 4, true) & 1);
    }
    if (!this.rate || at + 8 > view.byteLength) throw new Error("This WAV file cannot be read.");
    this.start = at + 8;
    const rest = size - this.start;
    this.length = Math.floor(Math.min(view.getUint32(at + 4, true) || rest, rest) / (this.channels * this.width));
  }

  get seconds() {
    return this.length / this.rate;
  }

  /** An AudioBuffer of `count` samples from `first` on; fewer at the end, null after it. */
  async read(first, count) {
    count = Math.min(count, this.length - first);
    if (count <= 0) return null;
    const frame = this.channels * this.width;
    const from = this.start + first * frame;
    const response = await ask(this.path, { headers: { Range: `bytes=${from}-${from + count * frame - 1}` } });
    const view = new DataView(await response.arrayBuffer());
    const buffer = new AudioBuffer({ length: count, numberOfChannels: this.channels, sampleRate: this.rate });
    const sample = this.#reader(view);
    for (let channel = 0; channel < this.channels; channel++) {
      const samples = buffer.getChannelData(channel);
      for (let i = 0, at = channel * this.width; i < count; i++, at += frame) samples[i] = sample(at);
    }
    return buffer;
  }

  #reader(view) {
    if (this.isFloat) return (at) => view.getFloat32(at, true);
    if (this.width === 2) return (at) => view.getInt16(at, true) / 0x8000;
    if (this.width === 3) return (at) => (view.getInt16(at + 1, true) * 256 + view.getUint8(at)) / 0x800000;
    return (at) => view.getInt32(at, true) / 0x80000000;
  }
}

/** The header of a WAV file with 16 bits per sample. */
export function wavHeader({ rate, channels, length }) {
  const bytes = length * channels * 2;
  const view = new DataView(new ArrayBuffer(44));
  const text = (at, name) => [...name].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + bytes, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, channels, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, rate * channels * 2, true);
  view.setUint16(32, channels * 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, bytes, true);
  return view.buffer;
}

/** The samples of an AudioBuffer as 16-bit PCM, interleaved, and how many were clipped. */
export function to16Bits(buffer) {
  const channels = buffer.numberOfChannels;
  const view = new DataView(new ArrayBuffer(buffer.length * channels * 2));
  let clipped = 0;
  for (let channel = 0; channel < channels; channel++) {
    buffer.getChannelData(channel).forEach((sample, i) => {
      const exact = Math.round(sample * 0x8000);
      const held = Math.max(-0x8000, Math.min(0x7fff, exact));
      if (Math.abs(exact - held) > 1) clipped++;
      view.setInt16((i * channels + channel) * 2, held, true);
    });
  }
  return { bytes: view.buffer, clipped };
}
