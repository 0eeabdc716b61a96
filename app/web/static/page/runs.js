// Splits that are going on: paid once, followed until their stems are final, in the background and after a reload.

import { Failure, askJson, credentials, isStopped, patiently, sleep } from "./api.js";
import { balanceWords, isFinal, kindAsked, kindOf, partIn } from "./rules.js";
import { sentSplits } from "./sending.js";
import { Scope } from "./session.js";
import { ask as askForSplit } from "./split.js";

const STORE = "suno-stems.runs";
const KEPT = 3_600_000; // milliseconds for which a reload follows paid stems that are not final
const LOOK_EVERY = 2; // seconds
const LOOK_AT_PERSON_EVERY = 3; // seconds: it makes no call to Suno
const LONGEST_SILENCE = 600_000; // milliseconds since the last progress
const FROM_IN_DOUBT = 2; // polls
const WANTS_PERSON = "Suno wants to see a person before this split.";

let scope = new Scope();
const runs = new Set();
const listeners = new Set();

/** One split, from the click to its final stems. */
export class Run {
  stage = "asking"; // then perhaps "person", then "making", then "ended"
  request = null; // the id of a request that waits for a person
  person = null; // what the person has to do: {url, what, until}
  note = "Asking Suno…";
  stems = []; // as last seen
  failure = null;
  lost = ""; // what the balance lost, in words

  constructor(song, kind, began = Date.now()) {
    Object.assign(this, { song, kind, began });
  }

  /** Show that something has changed. */
  tell(note = this.note) {
    this.note = note;
    for (const listen of listeners) listen(this);
  }
}

/** Call `listen` with each run that changes. */
export const onChange = (listen) => listeners.add(listen);

/** The splits of a song that go on now. */
export const runsOf = (songId) => [...runs].filter(({ song }) => song.id === songId);

/** Pay for a split, and follow it in the background. Returns its Run at once. `before`: the balance, if it is known. */
export function start(song, split, before = NaN) {
  const run = new Run(song, kindAsked(split.question));
  begin(run, async () => {
    const { stems, request, person } = await askForSplit(split, (failure) => run.tell(waitingFor(failure)));
    const about = { song, who: split.who, kind: run.kind, at: split.at };
    if (request) {
      keep({ ...about, request, until: Date.parse(person.until), stems: [] });
      sentSplits.forget(split);
      await follow(run, await untilThePersonIsDone(run, request, person));
    } else {
      keep({ ...about, stems: stems.map(({ id, title }) => ({ id, title })) });
      sentSplits.forget(split);
      await follow(run, stems);
    }
    run.lost = balanceWords(before, await credits());
  });
  return run;
}

const partOf = ({ part, title }, song) => part ?? partIn(title, song.title);

/** Follow stems that Suno is already making: of a reload, another tab, another device. */
export function adopt(song, stems, kind = kindOf(stems.map((stem) => ({ part: partOf(stem, song) }))), at = Date.now()) {
  const isIt = (run) => run.stems.some(({ id }) => stems.some((stem) => stem.id === id));
  const known = runsOf(song.id).find((run) => isIt(run) || (run.stage === "asking" && run.kind === kind));
  if (known) return known;
  const run = new Run(song, kind, at);
  begin(run, () => follow(run, stems));
  return run;
}

/** Go on with a request that waits for a person, after a reload. */
function resume({ song, kind, at, request }) {
  if (runsOf(song.id).some((run) => run.request === request)) return;
  const run = new Run(song, kind, at);
  begin(run, async () => follow(run, await untilThePersonIsDone(run, request)));
}

/** Go on with a split that the service lists, and that another browser has begun: {request_id, audio_id, state, …}. */
export function goOn({ request_id: request, audio_id: id, state, clips, created_at: began, ...asked }, title) {
  const [song, kind, at] = [{ id, title }, kindAsked(asked), Date.parse(began)];
  if (runsOf(id).some((run) => run.kind === kind)) return;
  if (["needs_person", "started"].includes(state)) resume({ song, kind, at, request });
  else if (!clips.every(isFinal)) adopt(song, clips, kind, at);
}

/** Ask the service to try again what waits for a person: this may pay, once. */
export const tryAgain = ({ request }) => askJson(`/api/requests/${request}/again`, { body: {} });

/** Cancel what waits for a person. */
export const cancel = ({ request }) => askJson(`/api/requests/${request}`, { method: "DELETE" });

/** Look at a request until it no longer waits for a person. Returns its stems. */
async function untilThePersonIsDone(run, request, person = null) {
  Object.assign(run, { request, person, stage: person ? "person" : "asking" });
  if (person) run.tell(WANTS_PERSON);
  const { signal } = run.scope;
  for (;;) {
    const { reply } = await patiently(`/api/requests/${request}`, { signal });
    if (reply.state !== "needs_person") {
      run.person = null;
      release(run);
      if (reply.clips.length) return reply.clips;
      if (reply.error?.code === "cancelled") throw new Failure({ error: "This split was cancelled. Nothing was charged.", code: "cancelled" });
      if (reply.error) throw new Failure(reply.error);
      if (reply.state !== "started") throw Object.assign(new Failure({ error: reply.state, code: "outcome_unknown" }), { isSplit: true });
    } else if (reply.person) {
      Object.assign(run, { person: reply.person, stage: "person" });
      run.tell(WANTS_PERSON);
    }
    await sleep(LOOK_AT_PERSON_EVERY, signal);
  }
}

/** Look again at a run that ended without a final result. */
export function again(run) {
  return adopt(run.song, run.stems, run.kind, run.began);
}

/** Stop following, for another account. A paid call that is under way is still noted when it is answered. */
export function stopAll() {
  scope.end();
  scope = new Scope();
  runs.clear();
}

/** Go on with this account's splits, or one song's, that a reload or another tab has begun: unpaid ones with their own key, never with a new one. */
export function restore(songId = null) {
  const { who } = credentials.read();
  const isWanted = (id) => songId === null || id === songId;
  for (const split of sentSplits.interrupted.filter(({ question }) => isWanted(question.audio_id))) {
    const kind = kindAsked(split.question);
    const song = { id: split.question.audio_id, title: null };
    if (!runsOf(song.id).some((run) => run.kind === kind && run.stage === "asking")) start(song, split);
  }
  for (const { song, stems, kind, at } of kept().filter((one) => !one.request && one.who === who && isWanted(one.song.id))) {
    adopt(song, stems, kind, at);
  }
  for (const paused of kept().filter((one) => one.request && one.who === who && isWanted(one.song.id))) resume(paused);
}

async function begin(run, work) {
  const mine = (run.scope = scope.child());
  runs.add(run);
  run.tell();
  try {
    await work();
  } catch (failure) {
    if (isStopped(failure)) return;
    run.failure = failure;
  }
  if (mine.isOver) return;
  runs.delete(run);
  run.stage = "ended";
  run.tell("");
}

async function follow(run, stems) {
  run.stems = stems.map((stem) => ({ ...stem, part: partOf(stem, run.song) }));
  run.stage = "making";
  run.tell("Suno is making the stems. It takes about a minute.");
  const { signal } = run.scope;
  let progressAt = Date.now();
  while (!run.stems.every(isFinal)) {
    if (Date.now() - progressAt > LONGEST_SILENCE) {
      throw new Failure({ error: "Suno has reported no progress on these stems for 10 minutes. To look on costs nothing.", code: "" });
    }
    await sleep(LOOK_EVERY, signal);
    const ids = run.stems.filter((stem) => !isFinal(stem)).map(({ id }) => id);
    const { reply } = await patiently(`/api/get?ids=${ids.join()}`, { signal });
    const seen = reply.filter((clip) => run.stems.some(({ id, status }) => id === clip.id && status !== clip.status));
    if (!seen.length) continue;
    progressAt = Date.now();
    run.stems = run.stems.map((stem) => {
      const now = seen.find(({ id }) => id === stem.id);
      return now ? { ...stem, status: now.status, error_message: now.error_message, created_at: now.created_at } : stem;
    });
    run.tell();
  }
  release(run);
}

function waitingFor({ code, message, retryAfter }) {
  if (code !== "in_progress") return `${message} This page retries; nothing is charged twice.`;
  const isInDoubt = retryAfter > LOOK_EVERY * FROM_IN_DOUBT;
  return isInDoubt ? `Suno's reply was lost. This page retries in ${retryAfter} s; nothing is charged twice.` : "Waiting for Suno…";
}

/** The account's credits; NaN if they cannot be read. */
export async function credits() {
  const seen = await askJson("/api/get_limit").catch(() => null);
  return seen?.reply.credits_left ?? NaN;
}

/** The paid splits of this browser that were not final when they were last seen. */
function kept() {
  return JSON.parse(localStorage.getItem(STORE) ?? "[]").filter(({ at, until }) => Date.now() < (until ?? at + KEPT));
}

function keep(paid) {
  localStorage.setItem(STORE, JSON.stringify([...kept(), paid]));
}

function release({ stems, request }) {
  const ids = new Set(stems.map(({ id }) => id));
  const others = kept().filter((paid) => !paid.stems.some(({ id }) => ids.has(id)) && !(request && paid.request === request));
  localStorage.setItem(STORE, JSON.stringify(others));
}
