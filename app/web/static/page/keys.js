// The keys of keyboards, headsets and lock screens.

import { the } from "./dom.js";
import { question } from "./question.js";
import { current, rows } from "./shown.js";

const STEP = 5; // seconds per arrow key
const KEYS = [
  "Space plays and pauses. The left and right arrow keys go 5 seconds back and forth.",
  "L plays a loop of four bars; I begins it at the current position, O ends it there. Minus and plus change the speed.",
  "A click or drag on the waveforms goes to a bar line, and on the ruler above them it draws the loop; with Shift, to any place.",
  "K opens karaoke; there, V changes the voice (off, guide, on) and F fills the screen.",
  "On a stem's row, M mutes it and S plays only soloed stems; Shift with Solo plays only this one.",
  "Double-click a volume or pan to reset it.",
];

/** Show the song to headsets and lock screens, and obey their keys. `on` has `toggle` and `seek`. */
export function showSession(on) {
  if (!("mediaSession" in navigator)) return;
  navigator.mediaSession.metadata = new MediaMetadata({ title: current.desk.title, artist: "Suno Stems" });
  const { mixer } = current.desk;
  const actions = {
    play: () => mixer.playing || on.toggle(),
    pause: () => mixer.playing && on.toggle(),
    seekbackward: () => on.seek(mixer.position - STEP),
    seekforward: () => on.seek(mixer.position + STEP),
    seekto: ({ seekTime }) => on.seek(seekTime),
  };
  for (const [action, act] of Object.entries(actions)) navigator.mediaSession.setActionHandler(action, act);
}

function onKey(event, on) {
  const { target } = event;
  if (the("desk").hidden || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const slides = target.type === "range";
  if (!slides && target.closest("input, select, textarea")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key === " " && !target.closest("button, a, summary")) {
    event.preventDefault();
    on.toggle();
  }
  const way = { ArrowLeft: -STEP, ArrowRight: STEP }[key];
  if (way && (!slides || target.id === "position")) {
    event.preventDefault();
    on.seek(current.desk.mixer.position + way);
  }
  const row = rows().find(({ group }) => group.contains(target));
  if (row && key === "m") row.mute.click();
  if (row && key === "s") row.solo.click();
  on[`key ${key}`]?.(event);
  if (key === "?") showKeys();
}

const showKeys = () => question("Keys", KEYS.join("\n"), [], new AbortController().signal, "Close");

/** Listen to the keyboard. `on` also has what other keys do, such as `key k`. */
export function startKeys(on) {
  the("show-keys").addEventListener("click", showKeys);
  document.addEventListener("keydown", (event) => onKey(event, on));
}
