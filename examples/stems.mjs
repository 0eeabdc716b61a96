// Saves the stems of a song, given its link. Needs Node 18 or newer, no packages.
// node stems.mjs https://suno.com/song/<id> [folder]
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const [link, folder = "."] = process.argv.slice(2);
const { SUNO_STEMS_URL: base = "http://127.0.0.1:3000", SUNO_STEMS_API_KEY: apiKey } = process.env;
const RETRIES = 5;

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
      if (response.ok) return { status, content, retryAfter };
      const isJson = response.headers.get("Content-Type")?.includes("json");
      complaint = isJson ? JSON.parse(content).error : `${base} answered ${status}.`;
      if (![409, 503].includes(status)) left = 0;
    } catch (error) {
      complaint = `No answer from ${base}: ${error.cause ?? error}`;
    }
    if (left === 0) throw complaint;
    await pause((retryAfter ?? 1) * 1000);
  }
}

/** The name as a part of a path: nothing that leaves the folder or hides. */
const clean = (name) => name.replace(/[/\\\p{Cc}]/gu, "_").replace(/^[. ]+/, "") || "Untitled";

async function main() {
  if (!link) throw "node stems.mjs https://suno.com/song/<id> [folder]";
  // One key for song, kind and day: a retry, a second run and one after a crash are paid for once.
  const song = link.split("?")[0].replace(/\/$/, "").split("/").pop();
  const key = { "Idempotency-Key": `${song}-two-${new Date().toISOString().slice(0, 10)}` };
  const wanted = { audio_id: link, wait_audio: true, audio_format: "mp3", reuse_existing: true };
  const split = await ask("/api/generate_stems", wanted, key);

  const stems = { ids: JSON.parse(split.content).map((stem) => stem.id), format: "mp3" };
  let reply;
  while ((reply = await ask("/api/audio", stems)).status === 202) await pause(reply.retryAfter * 1000);

  await mkdir(folder, { recursive: true });
  for (const { id, filename, error } of JSON.parse(reply.content)) {
    const path = join(folder, clean(filename));
    try {
      if (error) throw error;
      await writeFile(path, (await ask(`/api/audio/${id}.mp3`)).content);
      console.log(path);
    } catch (failure) {
      console.error(`${clean(filename)}: ${failure}`);
      process.exitCode = 1;
    }
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
