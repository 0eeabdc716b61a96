// What is on the desk: the stems of one song.

import { say as announce } from "./dom.js";
import { Mixer } from "./mixer.js";
import { VOICE } from "./rules.js";
import { Scope } from "./session.js";
import { Timing } from "./timing.js";
import { Zoom } from "./zoom.js";

/** Stems of one song on the desk. */
export class Desk {
  rows = new Map(); // by the stem's id
  scope = new Scope(); // ends when they are removed
  zoom = new Zoom();
  mixer = new Mixer();
  timing = new Timing();
  opensOriginal = false;
  hasMap = false;
  takes = null; // the rows of second takes, and what says whether they are muted
  stage = null; // karaoke, while it is open

  constructor(song) {
    this.song = song;
  }

  get title() {
    return this.song.title || this.song.id;
  }
}

/** The desk that is shown: another one for each song. */
export const current = { desk: new Desk(null) };

/** The rows of all stems. */
export const rows = () => [...current.desk.rows.values()];

/** Whether a row is a voice. */
export const isVoice = ({ part }) => VOICE.test(part);

/** Announce a text in the live region of the stems. */
export const say = (text) => announce("saving", text);
