// From a song to its stems: what is shown when, and what is asked of the service.

import { Failure, ask, askJson, credentials, sleep } from "./api.js";
import { clock, count, day, make, the } from "./dom.js";
import * as songs from "./songs.js";
import { interrupted, split } from "./split.js";

const LOOK_EVERY = 2; // seconds
const LONGEST = 300; // looks at new stems
const LOOK_AT_FILES = 1; // seconds: Suno is not asked for it
const LOOKS_IN_VAIN = 10; // in a row, until a failure is shown
const OPEN = "suno-stems.open";
const TOGETHER = 1000; // milliseconds between two stems of one split, at most
const FREE_SOON = new Set(["rate_limited", "suno_unreachable", "suno_failed", "unreachable", "audio_unavailable"]);
const SIGN_IN = new Set(["api_key_required", "suno_cookie_missing", "suno_session_expired"]);

let chosen = null; // {text, clip, stems, found}
let opened = null; // {clip, stems}: what can be heard
let busy = false;
let work = 0; // what is followed now: an older one ends itself

let loaded = null;

/** The stems' part of the page, loaded when the first are there. */
function desk() {
  loaded ??= import("./desk.js").then((module) => {
    module.start();
    return module;
  });
  return loaded;
}

// What is wrong, and what to do about it

function showError(failure, again) {
  const error = the("error");
  const sentence = failure instanceof Failure ? failure.message : `This page has a defect: ${failure.message}`;
  error.replaceChildren(make("p", {}, sentence));
  if (failure.code === "captcha_required" || failure.code === "out_of_credits" || failure.code === "suno_session_expired") {
    const link = make("a", { href: "https://suno.com", target: "_blank", rel: "noreferrer" }, "Go to suno.com");
    error.append(make("p", {}, link));
  }
  if (failure.retryAfter && failure.code === "over_budget") {
    const free = new Date(Date.now() + failure.retryAfter * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    error.append(make("p", {}, `There is more from ${free} on.`));
  }
  if (failure.code === "outcome_unknown") {
    error.append(make("p", {}, "Press the same button again to find out: it is the same split, and is not charged twice."));
  }
  if (again) error.append(make("p", {}, make("button", { type: "button", onclick: again }, "Try again")));
  if (failure.requestId) error.append(make("p", {}, make("code", {}, `Request ${failure.requestId}`)));
  if (SIGN_IN.has(failure.code)) openAccess(true);
  error.scrollIntoView({ block: "nearest" });
  if (!(failure instanceof Failure)) console.error(failure);
}

function clearError() {
  the("error").replaceChildren();
}

function say(text) {
  the("progress").textContent = text;
}

/** Do something, and show what goes wrong; `again` is offered then. */
async function attempt(what, again) {
  clearError();
  try {
    return await what();
  } catch (failure) {
    say("");
    showError(failure, again);
    return null;
  }
}

// Whose account

function openAccess(open) {
  the("access").hidden = !open;
  the("open-access").setAttribute("aria-expanded", String(open));
}

async function showAccount() {
  const { cookie } = credentials.read();
  const { told, name } = await limits();
  const whose = cookie ? "Your own Suno account" : `Account ${name ?? "of this service"}`;
  const parts = [`${whose}: ${count(told.credits_left, "credit")}`];
  if (told.downloads_limit !== null && told.downloads_used !== null) {
    const left = Math.max(0, told.downloads_limit - told.downloads_used) + (told.downloads_extra ?? 0);
    parts.push(`${count(left, "download")} left`);
  }
  if (told.can_split === false) parts.push("its plan has no stems");
  const { budget } = told;
  if (budget?.credits_left !== undefined) parts.push(`you may spend ${count(budget.credits_left, "credit")} today`);
  if (budget?.downloads_left !== undefined) parts.push(`${count(budget.downloads_left, "download")} this month`);
  the("account").textContent = parts.join(", ");
}

async function limits() {
  const response = await ask("/api/get_limit");
  return { told: await response.json(), name: response.headers.get("X-Suno-Account") };
}

/** What changes with the account; a failure is shown by the caller's attempt. */
async function showAll() {
  showPrices();
  songs.reload();
  await showAccount();
}

// Which song

const SONG_PAGE = /^https?:\/\/(?:www\.)?suno\.com\/song\/([A-Za-z0-9_-]{1,128})\/?(?:[?#].*)?$/i;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Look a song up, by its link or id, and show it with the stems that it has. Returns whether it is still wanted. */
async function choose(text) {
  if (chosen?.text !== text) {
    chosen = { text, clip: null, stems: [] };
    chosen.found = lookUp(chosen);
  }
  const mine = chosen;
  try {
    await mine.found;
  } catch (failure) {
    if (chosen === mine) chosen = null;
    throw failure;
  }
  return chosen === mine;
}

async function lookUp(mine) {
  the("chosen").hidden = true;
  the("existing").replaceChildren();
  say("Looking for the song…");
  const id = SONG_PAGE.exec(mine.text)?.[1] ?? mine.text;
  const { told: stems } = await askJson(`/api/stems?audio_id=${encodeURIComponent(mine.text)}`);
  const { told: clips } = await askJson(`/api/get?ids=${encodeURIComponent(id)}`);
  if (!clips.length) throw new Failure({ error: "Suno knows no such song on this account.", code: "song_not_found" });
  Object.assign(mine, { clip: clips[0], stems });
  if (chosen !== mine) return;
  say("");
  showSong();
}

function showSong() {
  const { clip, stems } = chosen;
  const about = [clock(clip.duration), day(clip.created_at)].filter(Boolean).join(", ");
  const text = make("div", {}, make("h3", { dir: "auto" }, clip.title || clip.id), make("span", { className: "small" }, about));
  the("chosen").replaceChildren(songs.cover(clip), text);
  the("chosen").hidden = false;
  showPrices();
  const sets = setsOf(stems);
  const offers = sets.map((set) => {
    const parts = set.length > 3 ? count(set.length, "stem") : set.map(({ part, title }) => part || title).join(" and ");
    const price = downloads() ? count(1, "download") : "free";
    const name = `Open ${parts}${day(set[0].created_at) && `, ${day(set[0].created_at)}`}: ${price}`;
    return make("button", { type: "button", onclick: () => openSet(set) }, name);
  });
  const title = make("p", {}, "Already split: free of credits");
  the("existing").replaceChildren(...(offers.length ? [title, make("div", { className: "row" }, ...offers)] : []));
}

/** The complete stems of each split, newest first: Suno makes those of one at once. */
function setsOf(stems) {
  const sets = [];
  let before = NaN;
  for (const stem of stems.filter(({ status }) => status === "complete").sort(byAge)) {
    const made = Date.parse(stem.created_at);
    if (!(made - before <= TOGETHER)) sets.unshift([]);
    sets[0].push(stem);
    before = made;
  }
  return sets;
}

const byAge = (one, other) => (one.created_at ?? "").localeCompare(other.created_at ?? "");

// What it costs

/** Downloads that a split or a look at stems counts: one for a song that Suno has not unlocked. */
function downloads() {
  return !credentials.read().cookie && chosen?.clip?.download_unlocked !== true;
}

function showPrices() {
  for (const button of document.querySelectorAll("[data-task]")) {
    const { two, twelve } = document.body.dataset;
    const credits = count(Number(button.dataset.task === "twelve" ? twelve : two), "credit");
    button.lastElementChild.textContent = `: ${credits}${downloads() ? ", 1 download" : ""}`;
  }
}

function setBusy(now) {
  busy = now;
  for (const button of document.querySelectorAll("[data-task], #existing button")) button.disabled = now;
}

// From a song to its stems

async function onSplit(task) {
  if (busy) return;
  setBusy(true);
  const text = the("song").value.trim();
  await attempt(async () => {
    if (!text) throw new Failure({ error: "Which song? Paste its link, or choose one of yours below.", code: "no_song" });
    const known = chosen?.text === text && chosen.clip;
    if (!(await choose(text))) return;
    if (!known && chosen.stems.length) {
      say("This song has been split before: open its stems for no credits, or press the button again for new ones.");
      return;
    }
    const question = { audio_id: chosen.clip.id, stem_task: task === "twelve" ? "twelve" : "two" };
    if (task === "part") question.stem_name = the("part").value;
    if (!credentials.read().cookie) question.audio_format = the("format").value;
    await splitAndOpen(question);
  });
  setBusy(false);
}

async function splitAndOpen(question) {
  say("Asking Suno…");
  const stems = await split(question, (why) => {
    say(why.code === "in_progress" ? "Suno is being asked…" : `${why.message} It goes on by itself; nothing is charged twice.`);
  });
  say(`Suno makes ${count(stems.length, "stem")}. It takes about a minute.`);
  showAccount().catch(() => {});
  follow(chosen.clip, stems);
}

/** Follow new stems until they are final, then have them fetched. */
async function follow(clip, stems) {
  const mine = ++work;
  const { show, tell } = await desk();
  opened = null;
  remember(clip, stems);
  show(clip, stems.map((stem) => ({ ...stem, part: partIn(stem.title, clip.title), take: 1 })));
  the("desk").scrollIntoView({ block: "nearest" });
  const ids = stems.map(({ id }) => id);
  await attempt(async () => {
    let known = [];
    let looks = 0;
    for (const left = new Set(ids); left.size && mine === work; ) {
      if (++looks > LONGEST) throw new Failure({ error: "Suno has not finished these stems within 10 minutes.", code: "" });
      await sleep(LOOK_EVERY);
      known = (await patiently(`/api/get?ids=${ids.join()}`)).told;
      if (mine !== work) return;
      for (const { id, status, error_message: why } of known) {
        tell(id, status, status === "error" ? why || "Suno could not make it." : status);
        if (["complete", "error"].includes(status)) left.delete(id);
      }
    }
    if (mine === work) await refreshStems(clip, known.filter(({ status }) => status === "complete"));
  }, () => follow(clip, stems));
}

/** The part in a new stem's title, for as long as Suno's list does not have it. */
function partIn(title, song) {
  const found = /(?: - |\()([^()]+?)\)?\s*$/.exec((title ?? "").slice(title?.startsWith(song ?? "") ? song.length : 0));
  return found?.[1].toLowerCase() ?? null;
}

/** The stems as the song's list has them, with part and take; then their files. */
async function refreshStems(clip, complete) {
  if (!complete.length) {
    say("Suno could not make these stems.");
    return;
  }
  const listed = (await patiently(`/api/stems?audio_id=${clip.id}`)).told;
  if (chosen?.clip?.id === clip.id) {
    chosen.stems = listed;
    chosen.clip.download_unlocked ||= !credentials.read().cookie;
    showSong();
  }
  const ids = new Set(complete.map(({ id }) => id));
  const ours = listed.filter(({ id }) => ids.has(id));
  await openStems(clip, ours.length === complete.length ? ours : complete);
}

function openSet(set) {
  if (busy) return;
  const { clip } = chosen;
  attempt(() => openStems(clip, set), () => openSet(set));
}

/** Have stems fetched, and hear each as soon as it is there. */
async function openStems(clip, stems) {
  const mine = ++work;
  const { show } = await desk();
  opened = null;
  remember(clip, stems);
  show(clip, stems);
  if (credentials.read().cookie) {
    await offerAddresses(stems);
    return;
  }
  const format = the("format").value;
  await fetchFiles(mine, clip, [...stems.map(({ id }) => id), clip.id], format === "m4a" ? "mp3" : format, true);
  if (chosen?.clip?.id === clip.id) {
    chosen.clip.download_unlocked = true;
    showSong();
  }
  showAccount().catch(() => {});
  if (mine !== work) return;
  opened = { clip, stems };
  await offerFiles(mine, clip, stems, format);
}

/** Offer files in a format that may not be kept yet, each and all. */
async function offerFiles(mine, clip, stems, format) {
  const { offer, offerAll } = await desk();
  const ids = new Set(stems.map(({ id }) => id));
  const files = await fetchFiles(mine, clip, null, format);
  if (mine !== work) return;
  for (const file of files) if (ids.has(file.id) && file.status === "kept") offer(file);
  const missing = files.filter(({ status }) => status !== "kept");
  if (!missing.length) offerAll(format);
  say(missing.length ? `Not every file could be fetched: ${missing[0].filename}: ${missing[0].error}` : "");
}

/** Have files fetched, until they are kept or cannot be; `ids`, or all stems of the song. */
async function fetchFiles(mine, clip, ids, format, hear = false) {
  const { add, tell } = await desk();
  const body = { ...(ids ? { ids } : { audio_id: clip.id }), format };
  for (let looks = 1; ; looks++) {
    const { told, retryAfter } = await patiently("/api/audio", { body });
    if (mine !== work) return [];
    for (const file of told) {
      if (hear && file.status === "kept") add(file);
      else if (hear) tell(file.id, file.status, file.status === "failed" ? file.error : "fetching the audio");
    }
    if (!retryAfter) return told;
    say(`Fetching the audio: ${told.filter(({ status }) => status === "kept").length} of ${told.length}`);
    if (looks % LOOKS_IN_VAIN === 0) await checkJobs();
    await sleep(LOOK_AT_FILES);
  }
}

/** Files that do not come may have nobody who fetches them. */
async function checkJobs() {
  const ready = await fetch("/readyz").then((response) => response.json()).catch(() => null);
  const jobs = ready?.checks?.jobs ?? "ok";
  if (jobs !== "ok") say(`The audio is waiting: ${jobs}. The operator of this service can help.`);
}

/** Ask again where a failure ends by itself. */
async function patiently(path, options) {
  for (let failures = 1; ; failures++) {
    try {
      return await askJson(path, options);
    } catch (failure) {
      if (!FREE_SOON.has(failure.code) || failures === LOOKS_IN_VAIN) throw failure;
      await sleep(failure.retryAfter ?? LOOK_EVERY);
    }
  }
}

/** With a cookie of one's own nothing is kept here: Suno's address is asked for when the file is wanted. */
async function offerAddresses(stems) {
  const { offerAddress } = await desk();
  const format = the("format").value;
  say("With a cookie of your own the stems cannot be heard here. Each can be saved: the first counts as 1 download.");
  for (const { id } of stems) {
    offerAddress(id, format, () =>
      attempt(async () => {
        say("Suno prepares the file…");
        const { told } = await askJson("/api/download", { body: { id, format, wait: true } });
        if (!told.download_url) throw new Failure({ error: "Suno is not ready with it yet: try again in a minute.", code: "" });
        say("");
        return told.download_url;
      }),
    );
  }
}

/** Note which stems are open, so that a reload finds them again. */
function remember(clip, stems) {
  const { who } = credentials.read();
  sessionStorage.setItem(OPEN, JSON.stringify({ who, song: clip.id, stems: stems.map(({ id, title }) => ({ id, title })) }));
}

/** Open the stems again that were open before a reload, and follow those that are not complete. */
async function reopen() {
  const open = JSON.parse(sessionStorage.getItem(OPEN) ?? "null");
  if (!open || open.who !== credentials.read().who) return;
  the("song").value = open.song;
  await attempt(async () => {
    if (!(await choose(open.song))) return;
    const ids = new Set(open.stems.map(({ id }) => id));
    const complete = chosen.stems.filter(({ id, status }) => ids.has(id) && status === "complete");
    if (complete.length === ids.size) await openStems(chosen.clip, complete);
    else await follow(chosen.clip, open.stems);
  });
}

/** Go on with the split that a reload or a lost page has left. */
async function resume(question) {
  the("song").value = question.audio_id;
  setBusy(true);
  await attempt(async () => {
    if (await choose(question.audio_id)) await splitAndOpen(question);
  });
  setBusy(false);
}

// What people do

function onSong() {
  const text = the("song").value.trim();
  if (text && !busy) attempt(() => choose(text));
}

the("find").addEventListener("submit", (event) => {
  event.preventDefault();
  onSong();
});
the("song").addEventListener("change", onSong);
the("song").addEventListener("input", ({ target: { value } }) => {
  if (SONG_PAGE.test(value.trim()) || UUID.test(value.trim())) onSong();
});
for (const button of document.querySelectorAll("[data-task]")) {
  button.addEventListener("click", () => onSplit(button.dataset.task));
}
the("format").addEventListener("change", ({ target }) => {
  if (opened) attempt(() => offerFiles(work, opened.clip, opened.stems, target.value));
});
the("open-access").addEventListener("click", () => openAccess(the("access").hidden));
the("access").addEventListener("submit", (event) => {
  event.preventDefault();
  credentials.write(Object.fromEntries(new FormData(the("access"))));
  the("access").reset();
  openAccess(false);
  chosen = null;
  attempt(showAll);
});
the("forget").addEventListener("click", () => {
  credentials.forget();
  openAccess(false);
  chosen = null;
  attempt(showAll);
});

showPrices();
songs.start((clip) => {
  the("song").value = clip.id;
  the("song").scrollIntoView({ block: "nearest" });
  onSong();
});
await attempt(showAll);
const left = interrupted();
if (left) resume(left.question);
else reopen();
