// How the voice sounds in karaoke: off, as a guide, or on. It moves the controls of the voice's rows.

import { isPressed, press } from "./row.js";
import { isVoice, rows } from "./shown.js";

export const VOICES = ["off", "guide", "on"];
const GUIDE = 50; // the volume of a guide: −12 dB
const FULL = 100;

/** The rows of the voice, without later takes. */
const voices = () => rows().filter((row) => isVoice(row) && !row.isAgain && row.track);

/** Whether the voice can be turned off: it has a stem, and is not all there is. */
export const canChangeVoice = () => voices().length > 0 && rows().some((row) => row.track && !isVoice(row));

/** How the voice sounds now, by its rows. */
export function voiceNow() {
  const heard = voices().filter(({ mute }) => !isPressed(mute));
  if (!heard.length) return "off";
  return heard.some(({ volume }) => Number(volume.value) > GUIDE) ? "on" : "guide";
}

/** Make the voice sound so; `change` is called for each row that changes. */
export function setVoice(wanted, change) {
  // A solo of other stems would keep it silent.
  const solos = wanted === "off" ? [] : rows().filter(({ solo }) => isPressed(solo));
  for (const { solo } of solos) press(solo, false);
  for (const row of voices()) {
    press(row.mute, wanted === "off");
    const volume = Number(row.volume.value);
    if (wanted === "guide") row.volume.value = GUIDE;
    if (wanted === "on" && volume <= GUIDE) row.volume.value = FULL;
  }
  for (const row of new Set([...solos, ...voices()])) change(row);
}
