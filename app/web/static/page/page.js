// From a song to its stems: what to show when, and what to request.

import { Failure, askJson, credentials, sleep } from "./api.js";
import { clock, count, day, make, the } from "./dom.js";
import * as songs from "./songs.js";
import { ask as askForSplit, forget, interrupted, splitFor } from "./split.js";

const LOOK_EVERY = 2; // seconds
const LONGEST = 300; // polls of new stems
const LOOK_AT_FILES = 1; // seconds: it makes no call to Suno
const LOOKS_IN_VAIN = 10; // in a row, until a problem is shown
const OPEN = "suno-stems.open";
const AGREED = 3_600_000; // milliseconds in which a reload may continue a clicked download
const TOGETHER = 1000; // milliseconds between two stems of one split, at most
const PASSING = new Set(["rate_limited", "suno_unreachable", "suno_failed", "unreachable", "audio_unavailable"]);
const WORDS = {
  api_key_required: "This service asks for an API key. Enter the one that its operator gave you.",
  suno_cookie_missing: "This service has no Suno account of its own. Enter a Suno cookie, or ask its operator.",
};
const IN_DOUBT =
  "Suno was asked, and its reply was lost: it may have charged. Press the same button again to find out. It is the " +
  "same split, and is not charged twice.";
const SIGN_IN = new Set(["api_key_required", "suno_cookie_missing", "suno_session_expired"]);

let chosen = null; // {text, clip, stems, found}
let opened = null; // {clip, stems, isWhole}: what can be played
let offers = 0; // the number of the latest offer in another format
let accountRequest = 0; // the number of the latest account request
let busy = false;
let work = 0; // the number of the current work: older work stops

let loaded = null;

/** The desk of stems, loaded on first use. */
function desk() {
  loaded ??= import("./desk.js").then(
    (module) => {
      module.start();
      return module;
    },
    () => {
      loaded = null;
      throw new Failure({ error: "A part of this page could not be loaded. Check your connection.", code: "unreachable" });
    },
  );
  return loaded;
}

// Errors

function showError(failure, again) {
  const error = the("error");
  const ours = failure.isSplit && failure.code === "outcome_unknown" ? IN_DOUBT : WORDS[failure.code];
  const sentence = failure instanceof Failure ? (ours ?? failure.message) : `This page has a defect: ${failure.message}`;
  error.replaceChildren(make("p", {}, sentence));
  if (failure.code === "captcha_required" || failure.code === "out_of_credits" || failure.code === "suno_session_expired") {
    const link = make("a", { href: "https://suno.com", target: "_blank", rel: "noreferrer" }, "Go to suno.com");
    error.append(make("p", {}, link));
  }
  if (failure.retryAfter && failure.code === "over_budget") {
    const free = new Date(Date.now() + failure.retryAfter * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    error.append(make("p", {}, `There is more from ${free} on.`));
  }
  if (again) error.append(make("p", {}, make("button", { type: "button", onclick: again }, "Try again")));
  if (failure.requestId) error.append(make("p", {}, make("code", {}, `Request ${failure.requestId}`)));
  if (SIGN_IN.has(failure.code)) openAccess(true);
  error.scrollIntoView({ block: "nearest" });
  if (!(failure instanceof Failure)) console.error(failure);
}

function clearError() {
  if (the("error").contains(document.activeElement)) the("song").focus();
  the("error").replaceChildren();
}

/** Announce the progress, unless it is there already. */
function say(text) {
  if (the("progress").textContent !== text) the("progress").textContent = text;
}

/** Run `what` and show an error; `again` is then offered. */
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

// Account

function openAccess(open) {
  the("access").hidden = !open;
  the("open-access").setAttribute("aria-expanded", String(open));
}

async function showAccount() {
  const { cookie } = credentials.read();
  const mine = ++accountRequest;
  const { told, headers } = await askJson("/api/get_limit");
  if (mine !== accountRequest) return;
  const owner = cookie ? "Your own Suno account" : `Account ${headers.get("X-Suno-Account") ?? "of this service"}`;
  const parts = [`${owner}: ${count(told.credits_left, "credit")}`];
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

/** Remove everything of the previous account, and show the new one. */
async function changeAccount() {
  work++;
  accountRequest++;
  chosen = opened = null;
  the("chosen").hidden = true;
  the("existing").replaceChildren();
  the("account").textContent = "";
  say("");
  openAccess(false);
  if (loaded) (await desk()).clear();
  await attempt(showAll);
}

/** Show what depends on the account. The caller's attempt shows a failure. */
async function showAll() {
  showPrices();
  songs.reload();
  await showAccount();
}

// Song

const SONG_PAGE = /^https?:\/\/(?:www\.)?suno\.com\/song\/([A-Za-z0-9_-]{1,128})\/?(?:[?#].*)?$/i;

const idIn = (text) => SONG_PAGE.exec(text)?.[1] ?? text;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Look up a song by its link or id, and show it with its stems. Returns whether it is still chosen. */
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
  const { told: stems } = await askJson(`/api/stems?audio_id=${encodeURIComponent(mine.text)}`);
  const { told: clips } = await askJson(`/api/get?ids=${encodeURIComponent(idIn(mine.text))}`);
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
    return make("button", { type: "button", onclick: () => openSet(clip, set) }, name);
  });
  const title = make("p", {}, "Already split: free of credits");
  the("existing").replaceChildren(...(offers.length ? [title, make("div", { className: "row" }, ...offers)] : []));
}

/** The complete stems of each split, newest first. Stems of one split have almost the same time. */
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

// Prices

/** Whether a split or opening stems counts as a download: the song is not unlocked. */
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
  for (const button of document.querySelectorAll("[data-task], #existing button, #access button")) button.disabled = now;
}

// Splits and stems

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
    await splitAndOpen(chosen.clip, splitFor(question));
  });
  setBusy(false);
}

async function splitAndOpen(clip, split) {
  await desk(); // load it before paying
  say("Asking Suno…");
  const stems = await askForSplit(split, ({ code, message, retryAfter }) => {
    if (code !== "in_progress") say(`${message} This page retries; nothing is charged twice.`);
    else if (retryAfter > LOOK_EVERY * 2) say(`Suno's reply was lost. This page retries in ${retryAfter} s; nothing is charged twice.`);
    else say("Waiting for Suno…");
  });
  remember(clip, stems);
  forget(split);
  showAccount().catch(() => {});
  follow(clip, stems);
}

/** Poll new stems until they are final, then open them; in the background if others are opened. */
async function follow(clip, stems) {
  const mine = ++work;
  opened = null;
  await attempt(
    async () => {
      const { show, tell } = await desk();
      say(`Suno is making ${count(stems.length, "stem")}. It takes about a minute.`);
      remember(clip, stems);
      show(clip, stems.map((stem) => ({ ...stem, part: partIn(stem.title, clip.title), take: 1 })));
      the("desk").scrollIntoView({ block: "nearest" });
      const complete = await untilFinal(stems, (id, status, text) => mine === work && tell(id, status, text));
      if (!complete) return;
      const listed = await relist(clip);
      if (mine !== work) return;
      if (!complete.length) throw new Failure({ error: "Suno could not make these stems.", code: "" });
      const ids = new Set(complete.map(({ id }) => id));
      const ours = listed.filter(({ id }) => ids.has(id));
      await openStems(clip, ours.length === complete.length ? ours : complete);
    },
    () => follow(clip, stems),
  );
}

/** Poll new stems until they are final. Returns the complete ones; null if the account has changed. */
async function untilFinal(stems, tell) {
  const left = new Set(stems.map(({ id }) => id));
  const complete = [];
  const { who } = credentials.read();
  for (let looks = 0; left.size; looks++) {
    if (looks === LONGEST) throw new Failure({ error: "Suno has not finished these stems within 10 minutes.", code: "" });
    await sleep(LOOK_EVERY);
    if (credentials.read().who !== who) return null;
    for (const stem of (await patiently(`/api/get?ids=${[...left].join()}`)).told) {
      const { id, status, error_message: why } = stem;
      tell(id, status, status === "error" ? why || "Suno could not make it." : status);
      if (["complete", "error"].includes(status)) left.delete(id);
      if (status === "complete") complete.push(stem);
    }
  }
  return complete;
}

/** The part in a new stem's title, until Suno's list has it. */
function partIn(title, song) {
  const found = /(?: - |\()([^()]+?)\)?\s*$/.exec((title ?? "").slice(title?.startsWith(song ?? "") ? song.length : 0));
  return found?.[1].toLowerCase() ?? null;
}

/** The song's stems as Suno lists them now, with part and take; offered if the song is still chosen. */
async function relist(clip) {
  const stems = (await patiently(`/api/stems?audio_id=${clip.id}`)).told;
  if (chosen?.clip?.id === clip.id) {
    chosen.stems = stems;
    showSong();
  }
  return stems;
}

function openSet(clip, set) {
  if (busy) return;
  attempt(() => openStems(clip, set), () => openSet(clip, set));
}

/** Fetch stems; each can be played as soon as it is kept. */
async function openStems(clip, stems) {
  const mine = ++work;
  const { show, isWhole } = await desk();
  opened = null;
  remember(clip, stems);
  show(clip, stems);
  if (credentials.read().cookie) {
    await offerAddresses(stems);
    return;
  }
  const heard = the("format").value === "m4a" ? "mp3" : the("format").value;
  const files = await fetchFiles(() => mine === work, [...stems.map(({ id }) => id), clip.id], heard, true);
  if (mine !== work) return;
  if (chosen?.clip?.id === clip.id) {
    chosen.clip.download_unlocked = true;
    showSong();
  }
  showAccount().catch(() => {});
  opened = { clip, stems, isWhole: isWhole() };
  if (the("format").value === heard) await offerKept(heard, files.filter(({ id }) => id !== clip.id));
  else await offerFiles();
}

/** Offer the open stems in the chosen format. */
async function offerFiles() {
  const mine = ++offers;
  const of = work;
  const format = the("format").value;
  const files = await fetchFiles(() => mine === offers && of === work, opened.stems.map(({ id }) => id), format);
  if (mine === offers && of === work) await offerKept(format, files);
}

/** Offer the kept files as one ZIP, and say if one is missing. */
async function offerKept(format, files) {
  const { offerAll } = await desk();
  const kept = files.filter(({ status }) => status === "kept");
  const missing = files.find(({ status }) => status !== "kept");
  if (kept.length) offerAll(format, kept.map(({ id }) => id));
  say(missing ? `Not every file could be fetched: ${missing.filename}: ${missing.error}` : "");
}

/** Fetch files until each is kept or failed. Each is offered, and can be played if `hear`, as soon as it is kept. */
async function fetchFiles(wanted, ids, format, hear = false) {
  const { add, offer, tell } = await desk();
  const files = new Map();
  const opening = [];
  let left = ids;
  let quiet = 0; // polls since the last new file
  for (;;) {
    const { told } = await patiently("/api/audio", { body: { ids: left, format } });
    if (!wanted()) return [];
    for (const file of told) {
      files.set(file.id, file);
      if (file.status === "kept" && hear) opening.push(add(file));
      else if (hear) tell(file.id, file.status, file.status === "failed" ? file.error : "fetching the audio");
      if (file.status === "kept" && format === the("format").value) offer(file);
    }
    // Do not request failed files again: that would restart them.
    const fetching = told.filter(({ status }) => status === "fetching").map(({ id }) => id);
    quiet = fetching.length === left.length ? quiet + 1 : 0;
    left = fetching;
    if (!left.length) break;
    if (!(quiet >= LOOKS_IN_VAIN && (await saysWhyItWaits()))) say(`Fetching the audio: ${ids.length - left.length} of ${ids.length}`);
    await sleep(LOOK_AT_FILES);
  }
  await Promise.all(opening);
  return ids.map((id) => files.get(id));
}

/** Say if no process fetches the files; returns whether it did. */
async function saysWhyItWaits() {
  const ready = await fetch("/readyz").then((response) => response.json()).catch(() => null);
  const jobs = ready?.checks?.jobs ?? "ok";
  if (jobs === "ok") return false;
  say(`The audio is waiting (${jobs}). The operator of this service can help.`);
  return true;
}

/** Request JSON, and retry failures that may pass. */
async function patiently(path, options) {
  for (let failures = 1; ; failures++) {
    try {
      return await askJson(path, options);
    } catch (failure) {
      if (!PASSING.has(failure.code) || failures === LOOKS_IN_VAIN) throw failure;
      await sleep(failure.retryAfter ?? LOOK_EVERY);
    }
  }
}

/** With the user's own cookie, nothing is kept here: a click requests Suno's URL. */
async function offerAddresses(stems) {
  const { offerAddress } = await desk();
  const format = the("format").value;
  say("With a cookie of your own the stems cannot be heard here. Each can be saved: the first counts as 1 download.");
  for (const { id } of stems) {
    offerAddress(id, format, () =>
      attempt(async () => {
        say("Suno is preparing the file…");
        const { told } = await askJson("/api/download", { body: { id, format, wait: true } });
        if (!told.download_url) throw new Failure({ error: "Suno is still preparing it: try again in a minute.", code: "" });
        say("");
        return told.download_url;
      }),
    );
  }
}

/** Store which stems are open, for a reload. */
function remember(clip, stems) {
  const { who } = credentials.read();
  const ids = stems.map(({ id, title }) => ({ id, title }));
  sessionStorage.setItem(OPEN, JSON.stringify({ who, song: clip.id, stems: ids, at: Date.now() }));
}

/** Reopen the stems that were open before a reload, or poll them if they are not complete. */
async function reopen() {
  const open = JSON.parse(sessionStorage.getItem(OPEN) ?? "null");
  if (!open || open.who !== credentials.read().who) return;
  the("song").value = open.song;
  await attempt(async () => {
    if (!(await choose(open.song))) return;
    const ids = new Set(open.stems.map(({ id }) => id));
    const complete = chosen.stems.filter(({ id, status }) => ids.has(id) && status === "complete");
    // After a long time, do not count a download without a click.
    if (downloads() && Date.now() - open.at > AGREED) return;
    if (complete.length === ids.size) await openStems(chosen.clip, complete);
    else follow(chosen.clip, open.stems);
  });
}

/** Continue the split that a reload or a lost page has left: with its own key, never with a new one. */
async function resume(split) {
  the("song").value = split.question.audio_id;
  await attempt(async () => {
    if (await choose(split.question.audio_id)) await splitAndOpen(chosen.clip, split);
  });
  setBusy(false);
}

// Events

/** Show the entered song; with `anew`, request it again even if it is shown already. */
function onSong(anew) {
  const text = the("song").value.trim();
  if (!text || busy) return;
  if (anew && chosen?.clip) chosen = null;
  attempt(() => choose(text));
}

the("find").addEventListener("submit", (event) => {
  event.preventDefault();
  onSong(true);
});
the("song").addEventListener("change", () => onSong(false));
the("song").addEventListener("input", ({ target: { value }, inputType }) => {
  // Not at each typed letter of an id.
  if (inputType === "insertFromPaste" || UUID.test(idIn(value.trim()))) onSong(false);
});
for (const button of document.querySelectorAll("[data-task]")) {
  button.addEventListener("click", () => onSplit(button.dataset.task));
}
the("format").addEventListener("change", () => {
  if (!opened) return;
  if (opened.isWhole) attempt(offerFiles);
  else openSet(opened.clip, opened.stems);
});
the("open-access").addEventListener("click", () => openAccess(the("access").hidden));
the("access").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = Object.fromEntries([...new FormData(the("access"))].map(([name, value]) => [name, value.trim()]));
  const wrong = Object.keys(given).find((name) => !/^[ -~]*$/.test(given[name]));
  if (wrong) {
    const { textContent: label } = the("access").elements[wrong].parentElement;
    showError(new Failure({ error: `"${label.trim()}" has characters that are not allowed. Copy it again, whole.`, code: "" }));
    return;
  }
  credentials.write(given);
  the("access").reset();
  changeAccount();
});
the("forget").addEventListener("click", () => {
  credentials.forget();
  changeAccount();
});

showPrices();
songs.start((clip) => {
  the("song").value = clip.id;
  the("song").scrollIntoView({ block: "nearest" });
  onSong(true);
});
const left = interrupted();
setBusy(!!left);
await attempt(showAll);
if (left) resume(left);
else if (!chosen && !busy && !the("song").value) reopen();
