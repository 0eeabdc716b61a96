// What the page shows, and until when: one song, of one account.

import { askFor } from "./account.js";
import { Failure } from "./api.js";
import { say } from "./dom.js";
import { SIGN_IN, clearProblem, showProblem } from "./problem.js";
import { Scope, isStopped } from "./scope.js";

/** A song that is shown, until its scope ends: with another song, or another account. */
export class View {
  clip = null;
  splits = [];
  asked = new Set(); // kinds that a click has asked for, and that are not paid yet
  opening = new Scope(); // what plays on the desk
  shows = null; // the run or the stems on the desk

  /** `open` opens stems, `split` splits the song. */
  constructor(id, scope, { open, split } = {}) {
    Object.assign(this, { id, scope, signal: scope.signal, open, split });
  }
}

export const session = { account: new Scope(), view: new View("", new Scope()), desk: null, timer: 0 };

/** The desk of stems, loaded on first use. */
export function desk() {
  session.desk ??= import("./desk.js").then(
    (module) => {
      module.start();
      return module;
    },
    () => {
      session.desk = null;
      missing();
    },
  );
  return session.desk;
}

/** Orders of many songs, loaded on first use. */
export const orders = () => import("./order.js").catch(missing);

function missing() {
  throw new Failure({ error: "A part of this page could not be loaded. Check your connection.", code: "unreachable" });
}

/** Run `what` and show an error; `again` is then offered. Work that was stopped is no error. */
export async function attempt(what, again) {
  clearProblem();
  try {
    return await what();
  } catch (failure) {
    if (isStopped(failure)) return null;
    say("progress", "");
    showProblem(failure, again);
    if (SIGN_IN.has(failure.code)) askFor(failure.code);
    return null;
  }
}
