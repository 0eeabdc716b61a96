// Saves the stems of a playlist, a folder for each song. Needs Node 18 or newer, no packages.
// Without max_credits it only shows the price.
// node playlist.mjs https://suno.com/playlist/<id> [folder [max_credits]]
import { createHash } from "node:crypto";
import { mkdir, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const [playlist, folder = ".", limit] = process.argv.slice(2);
const { SUNO_STEMS_URL: base = "http://127.0.0.1:3000", SUNO_STEMS_API_KEY: apiKey } = process.env;
const RETRIES = 5, LOOKS_EVERY_MS = 1000;

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
      const isJson = response.headers.get("Content-Type")?.includes("json");
      complaint = isJson ? JSON.parse(content).error : `${base} answered ${status}.`;
      if (![409, 503].includes(status)) left = 0;
    } catch (error) {
      complaint = `No answer from ${base}: ${error.cause ?? error}`;
    }
    if (left === 0) throw complaint;
    await pause(retryAfter === null || retryAfter === undefined ? LOOKS_EVERY_MS : retryAfter * 1000);
  }
}

/** The name without what would make it a path. */
const clean = (name) => name.replace(/[/\\]/g, "_");
const sizeOf = (path) => stat(path).then(({ size }) => size, () => -1);

function complain(sentence) {
  console.error(sentence);
  process.exitCode = 1;
}

async function main() {
  if (!playlist) throw "node playlist.mjs https://suno.com/playlist/<id> [folder [max_credits]]";
  const quote = JSON.parse(await ask("/api/orders", { playlist, audio_format: "mp3", quote: true }));
  const downloadsLeft = quote.downloads_left ?? "any number of";
  console.log(
    `${quote.songs.length} songs: ${quote.credits} credits and ${quote.downloads} downloads. ` +
      `Left: ${quote.credits_left} credits, ${downloadsLeft} downloads.`,
  );
  if (!limit) return console.log("Nothing was ordered. Add the most credits that it may spend.");

  // One key for what is ordered: a retry, a second run and one after a crash are the same order, and pay for no song
  // twice. Songs that are added to the playlist make another order, which takes the stems of the others for free.
  const songs = quote.songs.map((song) => song.song_id);
  const key = createHash("sha256").update(JSON.stringify([songs, "mp3"])).digest("hex");
  const wanted = { songs, audio_format: "mp3", max_credits: Number(limit), max_downloads: quote.downloads };
  let order = JSON.parse(await ask("/api/orders", wanted, { "Idempotency-Key": key }));
  if (order.state === "paused")
    order = JSON.parse(await ask(`/api/orders/${order.id}/again`, { max_credits: Number(limit) }));
  while (order.state === "running" || order.songs.some((song) => song.state === "running")) {
    await pause(LOOKS_EVERY_MS);
    order = JSON.parse(await ask(`/api/orders/${order.id}`));
  }
  console.log(`Spent: ${order.credits} credits, ${order.downloads} downloads.`);

  for (const { song_id, title, state, error, request_id } of order.songs) {
    if (state === "failed") complain(`${title ?? song_id}: ${error.error}`);
    if (state !== "done") continue;
    const place = join(folder, clean(`${title ?? "Untitled"} ${song_id}`));
    await mkdir(place, { recursive: true });
    for (const file of JSON.parse(await ask(`/api/requests/${request_id}`)).audio) {
      const path = join(place, clean(file.filename));
      if (file.error) complain(`${place}: ${file.filename}: ${file.error}`);
      else if ((await sizeOf(path)) !== file.bytes) {
        await writeFile(`${path}.part`, await ask(`/api/audio/${file.id}.mp3`));
        await rename(`${path}.part`, path);
        console.log(path);
      }
    }
  }
  if (order.error) complain(order.error.error);
}

main().catch((error) => complain(error));
