// Karaoke: the words of the song run with the music. Loaded, and the words fetched, when it is first opened.

import { askJson } from "./api.js";
import { button, make, style, the } from "./dom.js";
import { press } from "./row.js";
import { Scope } from "./session.js";
import { VOICES, canChangeVoice, setVoice, voiceNow } from "./voice.js";
import { Words } from "./words.js";

const LOOKS_AROUND = 4000; // milliseconds after a scroll by hand until the words follow again
const MIDDLE = 0.35; // of the height: where the current line is

/**
 * Open karaoke on a desk: above its stems. `on` has `toggle`, `seek`, `change` (of a row) and `close`. Returns the
 * Stage; throws a Failure with the code no_lyrics if there are no words.
 */
export async function openKaraoke(desk, on) {
  const { signal } = desk.scope;
  const [{ reply }] = await Promise.all([askJson(`/api/lyrics/${desk.song.id}.json`, { signal }), style("karaoke.css")]);
  signal.throwIfAborted();
  return new Stage(desk, new Words(reply.lines), on);
}

/** The words on the page, until it is closed. */
class Stage {
  #scope;
  #lines = [];
  #shown = ""; // what is lit: elements are only touched if it changes
  #looksAround = 0; // until when the words stay where they were scrolled to

  constructor(desk, words, on) {
    Object.assign(this, { desk, words, on });
    this.#scope = desk.scope.child();
    this.play = button("Play", on.toggle, "main");
    this.full = button("Full screen", () => this.toggleFull());
    this.pause = make("output", { className: "pause", "aria-hidden": "true" });
    this.voices = VOICES.map((name) => button(name, () => this.setVoice(name)));
    const voice = make("span", { role: "group", "aria-label": "Voice", className: "voices" }, "Voice:", ...this.voices);
    voice.hidden = !canChangeVoice();
    const leave = button("Close", () => on.close());
    leave.setAttribute("aria-label", "Close karaoke");
    this.bar = make("div", { className: "line" }, this.play, make("h3", { dir: "auto" }, desk.title), voice, this.full, leave);
    this.list = make("ol", { "aria-label": "Words" }, ...words.lines.flatMap((line, number) => this.#linesOf(line, number)));
    this.element = make("section", { id: "stage", "aria-label": "Karaoke" }, this.bar, this.pause, this.list);
    the("tracks").before(this.element);
    this.#listen();
    this.showVoice();
    this.show();
  }

  /** The element of a line, after the name of a section that begins with it. */
  #linesOf(line, number) {
    const words = line.words.flatMap(({ text }) => [make("span", {}, text.trimEnd()), text.slice(text.trimEnd().length)]);
    const jump = make("button", { type: "button", dir: "auto", tabIndex: -1 }, ...words);
    jump.addEventListener("click", () => {
      this.#looksAround = 0;
      this.on.seek(this.words.startOf(number));
    });
    this.#lines.push(jump);
    const before = this.words.lines[number - 1]?.section;
    const section = line.section && line.section !== before ? make("li", { className: "section", dir: "auto" }, line.section) : null;
    return [section, make("li", {}, jump)].filter(Boolean);
  }

  #listen() {
    const { signal } = this.#scope;
    signal.addEventListener("abort", () => this.element.remove(), { once: true });
    signal.addEventListener("abort", () => this.#setFull(false), { once: true });
    document.addEventListener("fullscreenchange", () => this.#setFull(document.fullscreenElement === this.element), { signal });
    const look = () => (this.#looksAround = performance.now() + LOOKS_AROUND);
    for (const name of ["wheel", "touchmove"]) this.list.addEventListener(name, look, { passive: true });
    addEventListener("resize", () => this.#center("instant"), { signal });
    this.list.addEventListener("keydown", (event) => this.#onKey(event));
    this.element.addEventListener("keydown", ({ key }) => key === "Escape" && this.isFull && this.toggleFull());
  }

  /** The arrow keys go from line to line: only one of them can be reached by Tab. */
  #onKey(event) {
    const way = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const to = this.#lines[this.#lines.indexOf(document.activeElement) + way];
    if (!way || !to) return;
    event.preventDefault();
    this.#looksAround = performance.now() + LOOKS_AROUND;
    to.focus();
  }

  /** Light the word that is heard now. */
  show() {
    const { mixer } = this.desk;
    this.play.textContent = mixer.playing ? "Pause" : "Play";
    const now = this.words.at(mixer.heard);
    this.pause.value = now.pause ? `♪ ${now.pause}` : "";
    const shown = JSON.stringify([now.line, now.place, now.isLit]);
    if (shown === this.#shown) return;
    const isNewLine = !this.#shown || JSON.parse(this.#shown)[0] !== now.line;
    this.#shown = shown;
    if (isNewLine) this.#turnTo(now.line);
    [...this.#lines[now.line].children].forEach((word, place) => {
      word.className = place > now.place ? "" : place === now.place && now.isLit ? "lit" : "sung";
    });
  }

  #turnTo(line) {
    this.#lines.forEach((each, number) => {
      each.className = number < line ? "past" : number === line ? "now" : number === line + 1 ? "next" : "";
      each.tabIndex = number === line ? 0 : -1;
      if (number === line) each.setAttribute("aria-current", "true");
      else each.removeAttribute("aria-current");
      for (const word of number === line ? [] : each.children) word.className = "";
    });
    this.#line = this.#lines[line];
    this.#center(matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth");
  }

  #line = null;

  /** Scroll the current line to its place. */
  #center(behavior) {
    if (!this.#line || performance.now() < this.#looksAround) return;
    const { list } = this;
    const within = this.#line.getBoundingClientRect().top - list.getBoundingClientRect().top;
    list.scrollTo({ top: list.scrollTop + within - list.clientHeight * MIDDLE, behavior });
  }

  setVoice(name) {
    if (this.desk.mixer.hearsOriginal) the("original").click();
    setVoice(name, this.on.change);
    this.showVoice();
  }

  /** The next voice: off, guide, on. */
  nextVoice() {
    if (canChangeVoice()) this.setVoice(VOICES[(VOICES.indexOf(voiceNow()) + 1) % VOICES.length]);
  }

  /** Show how the voice sounds: its rows may have changed. */
  showVoice() {
    const now = voiceNow();
    for (const each of this.voices) press(each, each.textContent === now);
    this.voices[0].parentElement.hidden = !canChangeVoice();
  }

  get isFull() {
    return this.element.classList.contains("full");
  }

  /** Fill the screen, or no longer; where the browser cannot, the window. */
  async toggleFull() {
    const isFull = !this.isFull;
    this.#setFull(isFull);
    if (!isFull) {
      if (document.fullscreenElement) await document.exitFullscreen();
      return;
    }
    await this.element.requestFullscreen?.().catch(() => {});
    this.#awake ??= navigator.wakeLock?.request("screen").catch(() => null);
    if (!this.isFull) this.#letSleep(); // left meanwhile
  }

  #awake = null; // a promise of what keeps the screen on

  async #letSleep() {
    const awake = this.#awake;
    this.#awake = null;
    await (await awake)?.release();
  }

  #setFull(isFull) {
    if (!isFull) this.#letSleep();
    this.element.classList.toggle("full", isFull);
    this.full.textContent = isFull ? "Leave full screen" : "Full screen";
    this.#center("instant");
  }

  close() {
    if (document.fullscreenElement === this.element) document.exitFullscreen();
    this.#scope.end();
  }
}
