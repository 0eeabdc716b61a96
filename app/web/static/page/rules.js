// What the page decides, free of elements and requests: the splits of a song, what a click would pay for again, words.

const TOGETHER = 1000; // milliseconds between two stems of one split, at most
const FEW = 3; // parts of a split that are named one by one
const SONG_PAGE = /https?:\/\/(?:www\.)?suno\.com\/song\/([A-Za-z0-9_-]{1,128})/i;
const PLAYLIST_PAGE = /https?:\/\/(?:www\.)?suno\.com\/playlist\/[A-Za-z0-9_-]{1,128}/i;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const ID = /^[A-Za-z0-9_-]{1,128}$/;
export const VOICE = /^(?:(?:lead|backing) )?vocals?$/;
const MUSIC = new Set(["instrumental", "without lead vocal", "without vocals", "without lead vocals"]);

/** The song's id in a text: an id, or the address of a song's page, also with other words around it. */
export const idIn = (text) => asSent(SONG_PAGE.exec(text)?.[1] ?? text.trim());

/** An id as Suno writes it: a UUID in lower case. */
const asSent = (id) => (UUID.test(id) ? id.toLowerCase() : id);

/** The link of a playlist in a text; "" if there is none, or a song's link too. */
export const playlistIn = (text) => (SONG_PAGE.test(text) ? "" : (PLAYLIST_PAGE.exec(text)?.[0] ?? ""));

/** Whether a text is certainly a whole id, and not one that is being typed. */
export const isWholeId = (text) => UUID.test(idIn(text)) || SONG_PAGE.test(text);

/** Whether a text can name a song at all. */
export const canBeId = (text) => ID.test(idIn(text));

/** The address of a song on this page, and the song of such an address. */
export const addressOf = (id) => `#/song/${encodeURIComponent(id)}`;
export function songIn(hash) {
  const found = /^#\/song\/([^/?]+)$/.exec(hash);
  try {
    return found ? asSent(decodeURIComponent(found[1])) : "";
  } catch {
    return "";
  }
}

const FOR_PROGRAMS = /\b(GET|POST|DELETE) \/|reuse_existing|on_captcha|Idempotency-Key|\bX-[A-Z]/;

const IN_PLAIN_WORDS = [
  [/given by the header X-Suno-Cookie/, "that you entered"],
  [/The request names an account, but has no usable cookie __client\./, "What you entered has no usable cookie __client."],
  [/The ledger of paid splits cannot be used now: .*?\. (?=Suno has counted|Nothing was charged)/s, "This service cannot keep its records now. "],
  [/The kept audio cannot be used now: .*?\.?(?= Nothing was charged\.|$)/s, "The kept audio cannot be used now."],
  [/This API key may not use stem_task two/, "Your API key may not split songs into voice and music"],
  [/This API key may not use stem_task twelve/, "Your API key may not split songs into every instrument"],
  [/No split of the last 24 hours with this request id.*/s, "The service no longer knows this split."],
  [/This request is a song of the order \S+?\.(?= |$)/, "This song belongs to an order: continue the order instead."],
  [/its log has more under this request id/, "its operator finds more in its log"],
  [/something that is not JSON/g, "something that this service cannot read"],
  [
    /The jobs process does not have this Suno account now\. It reads its accounts again on SIGHUP\./,
    "The part of this service that fetches audio does not know this Suno account. Its operator can help.",
  ],
  [/This Idempotency-Key was used for another order\..*/s, "The service has noted another order in place of this one, which has not begun. Show the price again."],
  [/This Idempotency-Key was used for another request,.*/s, "The service has noted another request in place of this one, which was not sent to Suno. Press the button again."],
  [/Not one song fits the order's max_credits or max_downloads: .*?songs would cost\./s, "No song fits the price that was shown. Show the price again."],
  [/This caller may have no more open orders \(OPEN_ORDERS=\d+\): wait until one ends, or cancel one\./, "You may have no more open orders. Wait until one is done, or stop one."],
  [/,? or (?:lower|raise) AUDIO_LIMIT/g, ""],
  [/fill AUDIO_LIMIT/g, "fill its space"],
  [/AUDIO_LIMIT/g, "this service"],
];

/** What the service says, without what only a program or its operator can do; all of it if nothing else is left. */
export function plain(said) {
  const text = IN_PLAIN_WORDS.reduce((words, [of, plainly]) => words.replace(of, plainly), said ?? "");
  const isPlain = (words) => !FOR_PROGRAMS.test(words);
  const inShort = (sentence) => (isPlain(sentence) ? sentence : `${sentence.split(": ")[0]}.`);
  return text.split(/(?<=[.!?]) /).map(inShort).filter(isPlain).join(" ") || text;
}

export const isFinal = ({ status }) => status === "complete" || status === "error";
const lower = (text) => (text ?? "").toLowerCase();
const byAge = (one, other) => (one.created_at ?? "").localeCompare(other.created_at ?? "");

/** The splits of a song, newest first. Stems of one split have almost the same time. */
export function splitsOf(stems) {
  const splits = [];
  let before = NaN;
  for (const stem of [...stems].sort(byAge)) {
    const made = Date.parse(stem.created_at);
    if (!(made - before <= TOGETHER)) splits.unshift([]);
    splits[0].push(stem);
    before = made;
  }
  return splits.map((of) => ({
    stems: of,
    kind: kindOf(of),
    made: of[0].created_at,
    isComing: !of.every(isFinal),
    canBeOpened: of.every(isFinal) && of.some(({ status }) => status === "complete"),
  }));
}

/** What was split: "two", "twelve", or the one part that was split from the rest; "" if that cannot be said. */
export function kindOf(stems) {
  const names = new Set(stems.map(({ part, title }) => lower(part ?? title)).filter(Boolean));
  if (names.size > FEW) return "twelve";
  for (const name of names) if (MUSIC.has(name)) return "two";
  for (const name of names) if (name.startsWith("without ")) return name.slice("without ".length);
  const [only] = names;
  return only && VOICE.test(only) && !only.startsWith("backing") ? "two" : (only ?? "");
}

/** The kind that a body of POST /api/generate_stems asks for, in the words of kindOf. */
export function kindAsked({ stem_task: task, stem_name: part }) {
  if (task === "twelve") return "twelve";
  return !part || lower(part) === "lead vocal" ? "two" : lower(part);
}

/** A kind of split in words: "Voice and music". */
export function kindInWords(kind) {
  if (kind === "two") return "Voice and music";
  return kind === "twelve" ? "Every instrument" : `${capital(kind)} and the rest`;
}

/** The splits of a song that a new split of this kind would only repeat. One of unknown kind counts. */
export const sameKind = (splits, kind) => splits.filter((split) => !split.kind || split.kind === kind);

/** "vocals and instrumental", "24 stems"; stems that failed are named. */
export function partsIn(stems) {
  const good = stems.filter(({ status }) => status !== "error").map(nameOf);
  const bad = stems.filter(({ status }) => status === "error").map(nameOf);
  const failed = bad.length ? `${bad.length > FEW ? count(bad.length, "stem") : bad.join(" and ")} failed` : "";
  if (!good.length) return failed;
  const parts = good.length > FEW ? count(good.length, "stem") : good.join(" and ");
  return failed ? `${parts} (${failed})` : parts;
}

const nameOf = ({ part, title, id }) => part || title || id;

/** The part in a new stem's title, until Suno's list has it. */
export function partIn(title, song) {
  const known = song ?? "";
  const found = /(?: - |\()([^()]+?)\)?\s*$/.exec((title ?? "").slice(title?.startsWith(known) ? known.length : 0));
  return found?.[1].toLowerCase() ?? null;
}

const FAMILIES = [
  { key: "voice", name: "voice", parts: new RegExp(`${VOICE.source}|voice|choir`) },
  { key: "drums", name: "drums", parts: /drum|percussion/ },
  { key: "bass", name: "bass", parts: /\bbass\b/ },
  { key: "guitars", name: "guitars", parts: /guitar/ },
  { key: "keys", name: "keys", parts: /key|piano|synth|organ/ },
  { key: "strings", name: "strings and winds", parts: /string|brass|wind/ },
];
const REST = { key: "rest", name: "" };

/** The family of a part: its name, and the key of its colour. What is left without a part is no part. */
export function familyOf(part) {
  const name = lower(part);
  if (name.startsWith("without ")) return REST;
  const family = FAMILIES.find(({ parts }) => parts.test(name)) ?? REST;
  return { key: family.key, name: family.name === name || family.name === `${name}s` ? "" : family.name };
}

/** The gain of a volume from 0 to 1: half of it sounds about half as loud. A negative one inverts. */
export const gainOf = (volume) => volume * Math.abs(volume);

/** A volume in decibels, in words. */
export function decibels(volume) {
  const level = 20 * Math.log10(Math.abs(gainOf(volume)));
  if (!Number.isFinite(level)) return "−∞ dB";
  return `${level.toFixed(1).replace("-", "−").replace(/^−0\.0$/, "0.0")} dB`;
}

/** What the account's balance shows after a split: only what was seen, or "" if it was not. */
export function balanceWords(before, after) {
  if (!Number.isFinite(before) || !Number.isFinite(after)) return "";
  const lost = before - after;
  if (lost > 0) return `The balance fell by ${count(lost, "credit")} meanwhile.`;
  return lost === 0 ? "The balance did not change meanwhile." : "";
}

/** "3:03" for 183.4 seconds; "" if unknown. */
export function clock(seconds) {
  if (!Number.isFinite(seconds)) return "";
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** The day of an ISO time, in the reader's format. */
export function day(iso) {
  const date = new Date(iso ?? NaN);
  return Number.isNaN(date.valueOf()) ? "" : date.toLocaleDateString(undefined, { dateStyle: "medium" });
}

/** The time of an ISO time if it is today, otherwise its day. */
export function when(iso) {
  const date = new Date(iso ?? NaN);
  return date.toDateString() === new Date().toDateString() ? date.toLocaleTimeString(undefined, { timeStyle: "short" }) : day(iso);
}

/** Length, date, tempo and key of a song, as far as they are known. */
export function aboutSong({ duration, created_at: made, bpm, key }) {
  const tempo = Number.isFinite(bpm) ? `${Math.round(bpm)} BPM` : "";
  return [clock(duration), day(made), tempo, (key ?? "").replace("_", " ")].filter(Boolean).join(" · ");
}

/** "2 stems", "1 download". */
export const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
export const capital = (text) => (text ? text[0].toUpperCase() + text.slice(1) : "");
