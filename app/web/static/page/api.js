// Calls to this service. What a tab was given as API key or cookie goes along, in headers and to this host alone.

const STORE = "suno-stems.credentials";
const SALT = "suno-stems.salt";
const HEADERS = { apiKey: "X-API-Key", cookie: "X-Suno-Cookie", account: "X-Suno-Account" };

/** What the person has entered in this tab: API key, cookie, account; `who` is the same for the same. */
export const credentials = {
  read() {
    return { who: "", ...JSON.parse(sessionStorage.getItem(STORE) ?? "{}") };
  },
  write(given) {
    const kept = Object.fromEntries(Object.entries(given).filter(([, value]) => value));
    sessionStorage.setItem(STORE, JSON.stringify({ ...kept, who: digest(JSON.stringify(kept)) }));
  },
  forget() {
    sessionStorage.removeItem(STORE);
  },
  get headers() {
    const given = this.read();
    const named = Object.entries(HEADERS).filter(([name]) => given[name]);
    return Object.fromEntries(named.map(([name, header]) => [header, given[name]]));
  },
};

/** An error of the service, in its own sentence; or that it could not be asked (`code` "unreachable"). */
export class Failure extends Error {
  constructor({ error, code, request_id: requestId }, retryAfter = null) {
    super(error);
    Object.assign(this, { code, requestId, retryAfter });
  }
}

/** Ask the service; returns the Response, or throws a Failure. `body` is sent as JSON, `sender` are credentials. */
export async function ask(path, { body, headers, sender = credentials.headers, ...options } = {}) {
  const sent = { ...sender, ...headers };
  if (body !== undefined) {
    sent["Content-Type"] = "application/json";
    options = { method: "POST", body: JSON.stringify(body), ...options };
  }
  let response;
  try {
    response = await fetch(path, { ...options, headers: sent });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure({ error: "The service could not be reached. Is the connection there?", code: "unreachable" });
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => null);
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  if (told?.error) throw new Failure(told, retryAfter);
  throw new Failure({ error: `Something before the service answered with ${response.status}.`, code: "unreachable" });
}

/** Ask the service for JSON: what it told, and its headers. */
export async function askJson(path, options) {
  const response = await ask(path, options);
  let told;
  try {
    told = await response.json();
  } catch {
    throw new Failure({ error: "The answer broke off.", code: "unreachable" });
  }
  return { told, headers: response.headers };
}

/** A random id. Not crypto.randomUUID(), which there is only with https. */
export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Tells two texts apart that this tab has had, and nobody what they were: salted, and 32 bits of each. */
function digest(text) {
  const salt = sessionStorage.getItem(SALT) ?? newId();
  sessionStorage.setItem(SALT, salt);
  return [...(salt + text)].reduce((hash, letter) => (Math.imul(hash, 31) + letter.codePointAt(0)) | 0, 7).toString(36);
}

export const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** Save a file of the service under a name; a link could not send the API key or cookie. */
export async function save(path, name) {
  const response = await ask(path);
  const named = /filename\*=UTF-8''([^;]+)/.exec(response.headers.get("Content-Disposition") ?? "");
  saveBlob(await response.blob(), named ? decodeURIComponent(named[1]) : name);
}

/** Save what was made here. */
export function saveBlob(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name.replace(/[\\/:*?"<>|\p{Cc}]/gu, "_");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
