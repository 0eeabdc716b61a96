// Saves the stems of a playlist, a folder for each song. Needs Node 18 or newer, no packages.
// Without max_credits it only shows the price.
// node playlist.mjs https://suno.com/playlist/<id> [folder [max_credits [word]]]
// The same playlist is the same order: a second run continues it. A word makes it another order.
import { createHash } from "node:crypto";
import { mkdir, rename, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const [playlist, folder = ".", limit, ...words] = process.argv.slice(2);
const { SUNO_STEMS_URL: base = "http://127.0.0.1:3000", SUNO_STEMS_API_KEY: apiKey } = process.env;
const RETRIES = 5, LOOKS_EVERY_MS = 1000;
const TITLE_BYTES = 100, FILE_BYTES = 150, ID_BYTES = 64;
const ONCE_MORE =
  "To order what is missing again, add a word after max_credits that you have not used before, such as the date. " +
  "Stems that are there are free.";

/** Send a request; retry after a lost connection, 409 or 503. Throws the message if it fails. */
async function ask(path, body, headers = {}) {
  for (let left = RETRIES; ; left--) {
    let complaint, retryAfter;
    try {
      const response = await fetch(base + path, {
        method: body ? "POST" : "GET",
        headers: { "Content-Type": "application/json", ...(apiKey && { "X-API-Key": apiKey }), ...headers },
        body: body && JSON.stringify(body),
        signal: AbortSignal.timeout(150_000),
      });
      const { status } = response;
      const content = Buffer.from(await response.arrayBuffer());
      retryAfter = response.headers.get("Retry-After");
      if (response.ok) return content;
      complaint = errorIn(content) ?? `${base} answered ${status}.`;
      if (![409, 503].includes(status)) left = 0;
    } catch (error) {
      complaint = `No answer from ${base}: ${error.cause ?? error}`;
    }
    if (left === 0) throw complaint;
    await pause(retryAfter === null || retryAfter === undefined ? LOOKS_EVERY_MS : retryAfter * 1000);
  }
}

function errorIn(content) {
  try {
    return JSON.parse(content).error;
  } catch {
    return undefined;
  }
}

/** A number of things, in words. null: no limit is known. */
const counted = (number, noun) => `${number ?? "any number of"} ${noun}${number === 1 ? "" : "s"}`;
const sizeOf = (path) => stat(path).then(({ size }) => size, () => -1);

/** A text of others as a part of a path: nothing that leaves the folder or hides, and at most so many bytes. */
function clean(text, longest) {
  const plain = (text ?? "").replace(/[/\\\p{Cc}]/gu, "_").replace(/^[. ]+/, "");
  const characters = [...plain].slice(0, longest);
  while (Buffer.byteLength(characters.join("")) > longest) characters.pop();
  return characters.join("") || "Untitled";
}

/** The file's own name. One that had to be changed gets the id, so that it is no other file's. */
function fileName({ filename, id }) {
  const name = filename.replace(/\.mp3$/, "");
  const cleaned = clean(name, FILE_BYTES);
  return cleaned === name ? `${cleaned}.mp3` : `${cleaned} ${clean(id, ID_BYTES)}.mp3`;
}

/** Download a file, unless it is there. */
async function save(file, path) {
  if (file.error) throw file.error;
  if ((await sizeOf(path)) === file.bytes) return;
  await writeFile(`${path}.part`, await ask(`/api/audio/${file.id}.mp3`));
  await rename(`${path}.part`, path);
  console.log(path);
}

/** Save the stems of a song. Returns what failed: the other files are saved. */
async function saveSong({ request_id }, place) {
  const complaints = [];
  try {
    const files = JSON.parse(await ask(`/api/requests/${request_id}`)).audio;
    await mkdir(place, { recursive: true });
    for (const file of files) {
      const path = join(place, fileName(file));
      await save(file, path).catch((error) => complaints.push(`${basename(place)}: ${basename(path)}: ${error}`));
    }
  } catch (error) {
    complaints.push(`${basename(place)}: ${error}`);
  }
  return complaints;
}

/** Show the price, order, wait, save. Returns what failed. */
async function main() {
  if (!playlist) throw "node playlist.mjs https://suno.com/playlist/<id> [folder [max_credits [word]]]";
  const quote = JSON.parse(await ask("/api/orders", { playlist, audio_format: "mp3", quote: true }));
  console.log(
    `${counted(quote.songs.length, "song")}: ${counted(quote.credits, "credit")} and ` +
      `${counted(quote.downloads, "download")}. Left: ${counted(quote.credits_left, "credit")}, ` +
      `${counted(quote.downloads_left, "download")}.`,
  );
  if (!limit) {
    console.log("Nothing was ordered. Add the most credits that it may spend.");
    return [];
  }

  // One key for what is ordered: a retry, a second run and one after a crash are the same order, and pay for no song
  // twice. Songs that are added to the playlist make another order, which takes the stems of the others for free.
  const songs = quote.songs.map((song) => song.song_id);
  const key = createHash("sha256").update(JSON.stringify([songs, "mp3", ...words])).digest("hex");
  const wanted = { songs, audio_format: "mp3", max_credits: Number(limit), max_downloads: quote.downloads };
  let order = JSON.parse(await ask("/api/orders", wanted, { "Idempotency-Key": key }));
  if (order.state === "paused")
    order = JSON.parse(await ask(`/api/orders/${order.id}/again`, { max_credits: Number(limit) }));
  while (order.state === "running" || order.songs.some((song) => song.state === "running")) {
    await pause(LOOKS_EVERY_MS);
    order = JSON.parse(await ask(`/api/orders/${order.id}`));
  }
  console.log(`Spent: ${counted(order.credits, "credit")}, ${counted(order.downloads, "download")}.`);

  const complaints = [];
  for (const song of order.songs) {
    const name = `${clean(song.title, TITLE_BYTES)} ${clean(song.song_id, ID_BYTES)}`;
    if (song.state === "done") complaints.push(...(await saveSong(song, join(folder, name))));
    else if (song.state === "failed") complaints.push(`${name}: ${song.error.error}`);
    else if (order.state === "cancelled") complaints.push(`${name}: the order was cancelled before this song.`);
  }
  if (order.error) complaints.push(order.error.error);
  if (order.state !== "paused" && order.songs.some((song) => song.state !== "done")) complaints.push(ONCE_MORE);
  return complaints;
}

const complaints = await main().catch((error) => [error]);
for (const complaint of complaints) console.error(complaint);
process.exitCode = complaints.length ? 1 : 0;
