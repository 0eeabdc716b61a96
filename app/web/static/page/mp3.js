// MP3 files: kept encoded, outside of the page's own memory, and decoded in pieces for playback.
//
// A decoded song of eight minutes takes 180 MB, and there may be twelve of them. So frames are indexed during the
// download, and a piece is decoded from its own frames and some before it, which the decoder needs to start.

import { ask, sleep } from "./api.js";

const RATES = { 3: [44100, 48000, 32000], 2: [22050, 24000, 16000], 0: [11025, 12000, 8000] }; // by MPEG version
const BITRATES = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]; // kbit/s, MPEG 1 layer III
const BITRATES_LOW = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]; // MPEG 2 and 2.5
const LEAD_BYTES = 2000; // decoded before a piece: a frame may use 511 bytes of data from earlier frames
const LEAD_FRAMES = 4; // at least
const DECODER_DELAY = 529; // samples that every decoder adds at the start
const TRIES = 6; // connections in total, if the download breaks off
const AT_ONCE = 3; // pieces to decode at the same time: each takes twice its memory until it is done
const GATHERED = 262_144; // bytes to collect until they become a Blob

/** Read a frame's header of four bytes; null if there is none at `at`. */
function frameAt(bytes, at) {
  if (bytes[at] !== 0xff || (bytes[at + 1] & 0xe0) !== 0xe0) return null;
  const version = (bytes[at + 1] >> 3) & 3;
  const layer = (bytes[at + 1] >> 1) & 3;
  const rate = RATES[version]?.[(bytes[at + 2] >> 2) & 3];
  const bitrate = (version === 3 ? BITRATES : BITRATES_LOW)[bytes[at + 2] >> 4];
  if (layer !== 1 || !rate || !bitrate) return null;
  const mono = bytes[at + 3] >> 6 === 3;
  const samples = version === 3 ? 1152 : 576;
  const length = Math.floor(((samples / 8) * bitrate * 1000) / rate) + ((bytes[at + 2] >> 1) & 1);
  const side = version === 3 ? (mono ? 17 : 32) : mono ? 9 : 17; // bytes between the header and the Xing tag
  return { rate, samples, length, channels: mono ? 1 : 2, tag: at + 4 + side };
}

const turns = Array(AT_ONCE).fill(Promise.resolve());

/** Run something that takes memory, AT_ONCE at a time. */
function inTurn(what) {
  const turn = turns.shift().then(what);
  turns.push(turn.catch(() => {}));
  return turn;
}

/** An MP3 file of the service. */
export class Mp3Source {
  /** Start to download the file at a path; returns once its first frame is known. */
  static async open(path) {
    const source = new Mp3Source();
    source.#fetch(path, await ask(path, { signal: source.#stop.signal }));
    await source.#until(() => source.rate);
    if (!source.rate) throw source.#failed ?? new Error("This MP3 file cannot be read.");
    return source;
  }

  #parts = []; // Blobs of the downloaded bytes
  #gathered = [];
  #gatheredBytes = 0;
  #tail = new Uint8Array(0); // bytes that are not indexed yet
  #tailAt = 0;
  #music = 0; // where the audio begins, after the ID3 tag
  #size = 0; // downloaded bytes
  #stop = new AbortController();
  #offsets = []; // where each frame begins
  #delay = 0; // samples to skip at the start
  #waiting = [];
  #ended = false;
  #failed = null;
  #stated = 0; // samples, according to the file's own tag
  rate = 0;

  /** Samples; 0 while unknown. */
  get length() {
    return this.#stated || (this.#ended ? this.#offsets.length * this.samples - this.#delay : 0);
  }

  /** NaN while unknown. */
  get seconds() {
    return this.length ? this.length / this.rate : NaN;
  }

  /** An AudioBuffer of `count` samples from `first` on; fewer at the end, null after it. */
  async read(first, count) {
    const size = this.samples;
    const begin = first + this.#delay;
    const from = Math.floor(begin / size);
    let to = Math.ceil((begin + count) / size) + 1;
    await this.#until(() => this.#offsets.length > to || this.#ended);
    if (this.#failed && this.#offsets.length <= to) throw this.#failed;
    to = Math.min(to, this.#offsets.length);
    count = Math.min(count, (this.length || Infinity) - first, to * size - begin);
    if (count <= 0) return null;
    let lead = Math.max(0, from - LEAD_FRAMES);
    while (lead > 0 && this.#offsets[from] - this.#offsets[lead] < LEAD_BYTES) lead--;
    const file = new Blob([...this.#parts, ...this.#gathered]);
    const bytes = await file.slice(this.#offsets[lead], this.#offsets[to]).arrayBuffer();
    const decoded = await inTurn(() => new OfflineAudioContext(this.channels, 1, this.rate).decodeAudioData(bytes));
    // Some decoders drop samples at the start. The end is always the last frame: count from there.
    const start = begin - lead * size + decoded.length - (to - lead) * size;
    const buffer = new AudioBuffer({ length: count, numberOfChannels: this.channels, sampleRate: this.rate });
    for (let channel = 0; channel < this.channels; channel++) {
      const samples = decoded.getChannelData(channel).subarray(Math.max(0, start), start + count);
      buffer.copyToChannel(samples, channel, Math.max(0, -start));
    }
    return buffer;
  }

  async #until(holds) {
    while (!holds() && !this.#ended) await new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Resolves once the download is complete. */
  async whole() {
    await this.#until(() => false);
    if (this.#failed) throw this.#failed;
  }

  /** Stop the download. */
  close() {
    this.#stop.abort();
  }

  async #fetch(path, response) {
    for (let tries = 1; ; tries++) {
      try {
        const reader = response.body.getReader();
        for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) this.#take(value);
        break;
      } catch {
        if (this.#stop.signal.aborted || tries === TRIES) {
          this.#failed = new Error("The connection was lost during the download.");
          break;
        }
      }
      await sleep(tries);
      const headers = { Range: `bytes=${this.#size}-` };
      response = await ask(path, { headers, signal: this.#stop.signal }).catch(() => response);
    }
    this.#ended = true;
    this.#wake();
  }

  #wake() {
    this.#waiting.splice(0).forEach((resolve) => resolve());
  }

  #take(chunk) {
    this.#size += chunk.length;
    this.#gathered.push(chunk);
    this.#gatheredBytes += chunk.length;
    if (this.#gatheredBytes >= GATHERED) {
      this.#parts.push(new Blob(this.#gathered));
      this.#gathered = [];
      this.#gatheredBytes = 0;
    }
    const bytes = new Uint8Array(this.#tail.length + chunk.length);
    bytes.set(this.#tail);
    bytes.set(chunk, this.#tail.length);
    const counted = this.#count(bytes);
    this.#tail = bytes.slice(counted);
    this.#tailAt += counted;
    this.#wake();
  }

  /** Index the frames; returns how many bytes need no further look. */
  #count(bytes) {
    if (this.#size < 10) return 0;
    if (this.#tailAt === 0 && !this.rate) this.#music = pastId3(bytes);
    let at = Math.max(0, this.#music - this.#tailAt);
    while (at + 4 <= bytes.length) {
      const frame = frameAt(bytes, at);
      if (!frame || (this.rate && frame.rate !== this.rate)) {
        at++;
        continue;
      }
      if (at + frame.length + (this.rate ? 0 : 4) > bytes.length) break;
      if (!this.rate && frameAt(bytes, at + frame.length)?.rate !== frame.rate) {
        at++; // it only looks like a frame
        continue;
      }
      if (!this.rate) {
        Object.assign(this, { rate: frame.rate, samples: frame.samples, channels: frame.channels });
        if (this.#readTag(bytes, frame.tag)) {
          at += frame.length;
          continue;
        }
      }
      this.#offsets.push(this.#tailAt + at);
      at += frame.length;
    }
    return Math.min(at, bytes.length);
  }

  /** Read the Xing tag in a first frame without audio: the number of frames, and the samples to skip. */
  #readTag(bytes, at) {
    const name = String.fromCharCode(...bytes.subarray(at, at + 4));
    if (name !== "Xing" && name !== "Info") return false;
    const view = new DataView(bytes.buffer, bytes.byteOffset + at);
    const has = view.getUint32(4);
    const lame = 8 + (has & 1 ? 4 : 0) + (has & 2 ? 4 : 0) + (has & 4 ? 100 : 0) + (has & 8 ? 4 : 0);
    const trims = view.byteLength >= lame + 24 ? (view.getUint8(lame + 21) << 16) | view.getUint16(lame + 22) : 0;
    if (trims) {
      this.#delay = (trims >> 12) + DECODER_DELAY;
      if (has & 1) this.#stated = view.getUint32(8) * this.samples - (trims >> 12) - (trims & 0xfff);
    }
    return true;
  }
}

function pastId3(bytes) {
  if (String.fromCharCode(...bytes.subarray(0, 3)) !== "ID3") return 0;
  return 10 + ((bytes[6] << 21) | (bytes[7] << 14) | (bytes[8] << 7) | bytes[9]);
}
