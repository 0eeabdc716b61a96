// The row of a stem: its name, mute, solo, waveform, volume and pan, its progress, and its file.

import { make } from "./dom.js";
import { capital, decibels, familyOf } from "./rules.js";
import { drag } from "./zoom.js";

const STAGES = ["submitted", "queued", "streaming", "complete", "fetching", "kept"];
const WORDS = { submitted: "sent to Suno", queued: "waiting at Suno", streaming: "being made", complete: "made", kept: "here" };
const ABBREVIATIONS = 2; // letters: a name such as "FX"

/** A stem on the page. `on` has `change`, `solo` and `seek`. */
export class Row {
  track = null;
  isFailed = false;
  opening = false;

  constructor(stem, { label, mix, on, signal }) {
    this.id = stem.id;
    this.part = stem.part || stem.title || stem.id;
    this.label = label;
    this.mute = toggle("Mute", mix.muted);
    this.solo = toggle("Solo", false);
    this.volume = slider("Volume", { min: 0, max: 100, value: mix.volume });
    this.pan = slider("Pan", { min: -100, max: 100, value: mix.pan });
    this.level = make("output", { className: "level", "aria-hidden": "true" });
    this.state = make("span", { className: "small", textContent: WORDS[stem.status] ?? "" });
    this.progress = make("progress", { max: STAGES.length, value: 0, "aria-label": `${label}: progress` });
    this.about = make("span", { className: "state" }, this.progress, this.state);
    this.canvas = make("canvas", { "aria-hidden": "true" });
    this.faults = make("span", { className: "faults", hidden: true });
    this.wave = make("div", { className: "wave" }, this.canvas, this.faults, this.about);
    this.link = make("a", { className: "button", hidden: true });
    this.hearing = make("div", { className: "controls hearing", hidden: true }, this.mute, this.solo);
    this.mixing = make("div", { className: "controls mixing", hidden: true }, this.volume, this.level, this.pan);
    this.taking = make("div", { className: "controls taking", hidden: true }, this.link);
    const family = familyOf(this.part);
    const small = make("small", {}, [family.name, label.split(", ")[1]].filter(Boolean).join(", "));
    const title = make("h3", { dir: "auto" }, nameOf(this.part), small);
    this.group = make("div", { role: "group", "aria-label": label, className: family.key }, title, this.hearing, this.wave, this.mixing, this.taking);
    this.item = make("li", {}, this.group);
    this.#connect(on, signal);
  }

  #connect(on, signal) {
    const change = () => {
      this.apply();
      on.change(this);
    };
    this.mute.addEventListener("click", change);
    this.solo.addEventListener("click", (event) => {
      if (event.shiftKey) on.solo(this);
      change();
    });
    for (const [input, initial] of [[this.volume, 100], [this.pan, 0]]) {
      input.addEventListener("input", change);
      input.addEventListener("dblclick", () => {
        input.value = initial;
        change();
      });
    }
    drag(this.wave, (share, event) => this.track && on.seek(share, event), signal);
    this.apply();
  }

  /** How it is mixed. */
  get mix() {
    return { muted: isPressed(this.mute), volume: Number(this.volume.value), pan: Number(this.pan.value) };
  }

  /** Make the track sound as the controls say, and the controls say what they do. */
  apply() {
    const { muted, volume, pan } = this.mix;
    this.level.value = decibels(volume / 100);
    this.volume.setAttribute("aria-valuetext", this.level.value);
    this.pan.setAttribute("aria-valuetext", pan ? `${Math.abs(pan)} % ${pan < 0 ? "left" : "right"}` : "middle");
    this.pan.title = `Pan: ${this.pan.getAttribute("aria-valuetext")}`;
    if (!this.track) return;
    Object.assign(this.track, { muted, volume: volume / 100, pan: pan / 100, soloed: isPressed(this.solo) });
  }

  /** Show a stage: Suno's status, or that of its file. `text` is shown instead of a known stage. Returns what is new. */
  tell(stage, text = WORDS[stage] ?? stage) {
    if (this.track || this.state.textContent === text) return "";
    this.state.textContent = text;
    this.progress.hidden = !STAGES.includes(stage);
    this.progress.value = STAGES.indexOf(stage) + 1;
    this.isFailed = !STAGES.includes(stage);
    this.group.classList.toggle("failed", this.isFailed);
    return text;
  }

  /** Show what is wrong with its file; "" for nothing. */
  showFaults(words) {
    this.faults.textContent = words;
    this.faults.hidden = !words;
  }

  /** Make it heard. */
  play(track) {
    this.track = track;
    this.apply();
    this.group.classList.add("heard");
    this.about.hidden = true;
    this.hearing.hidden = this.mixing.hidden = this.taking.hidden = false;
  }
}

const nameOf = (part) => (part.length > ABBREVIATIONS ? capital(part) : part.toUpperCase());

/** The name of a stem's row; later takes of a part are numbered. */
export const labelOf = (stem, isAgain) => {
  const name = nameOf(stem.part || stem.title || stem.id);
  return isAgain ? `${name}, take ${stem.take}` : name;
};

export const isPressed = (button) => button.getAttribute("aria-pressed") === "true";
export const press = (button, pressed) => button.setAttribute("aria-pressed", String(pressed));

function toggle(name, pressed) {
  const button = make("button", { type: "button", "aria-label": name, "aria-pressed": String(pressed), title: name }, name[0]);
  button.addEventListener("click", () => press(button, !isPressed(button)));
  return button;
}

function slider(name, { min, max, value }) {
  return make("input", { type: "range", min, max, value, className: name.toLowerCase(), "aria-label": name, title: `${name}: double-click to reset` });
}
