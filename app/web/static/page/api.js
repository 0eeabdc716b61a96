// Calls to this service. The tab's API key and cookie are sent in headers, and only to this host.

import { plain } from "./rules.js";

const STORE = "suno-stems.credentials";
const SALT = "suno-stems.salt";
const PASSING = new Set(["rate_limited", "suno_unreachable", "suno_failed", "unreachable", "audio_unavailable"]);
const FAILURES_IN_A_ROW = 10;
const RETRY_AFTER = 2; // seconds
const HEADERS = { apiKey: "X-API-Key", cookie: "X-Suno-Cookie", account: "X-Suno-Account" };

/** What was entered in this tab: API key, cookie, account; `who` identifies their combination. */
export const credentials = {
  read() {
    return { who: "", ...JSON.parse(sessionStorage.getItem(STORE) ?? localStorage.getItem(STORE) ?? "{}") };
  },
  /** Keep them in this tab, and with `remembers` the API key, and nothing else, in this browser. */
  write(given, remembers = false) {
    sessionStorage.setItem(STORE, kept(given));
    if (remembers && given.apiKey) localStorage.setItem(STORE, kept({ apiKey: given.apiKey }));
    else localStorage.removeItem(STORE);
  },
  get areRemembered() {
    return localStorage.getItem(STORE) !== null;
  },
  forget() {
    sessionStorage.removeItem(STORE);
    localStorage.removeItem(STORE);
  },
  get headers() {
    const given = this.read();
    const named = Object.entries(HEADERS).filter(([name]) => given[name]);
    return Object.fromEntries(named.map(([name, header]) => [header, given[name]]));
  },
};

function kept(given) {
  const filled = Object.fromEntries(Object.entries(given).filter(([, value]) => value));
  return JSON.stringify({ ...filled, who: Object.keys(filled).length ? digest(JSON.stringify(filled)) : "" });
}

/** An error of the service, in words for people; `said` are its own. `code` is "unreachable" if the service did not reply. */
export class Failure extends Error {
  constructor({ error, code, request_id: requestId }, retryAfter = null) {
    super(plain(error));
    Object.assign(this, { said: error, code, requestId, retryAfter });
  }
}

/** Whether an error only says that its work was stopped. */
export const isStopped = (error) => error?.name === "AbortError";

/** A path of this service as the page reaches it: a proxy may serve it under a path of its own. */
export const here = (path) => path.replace(/^\//, "");

/** Send a request; returns the Response, or throws a Failure. `body` is sent as JSON, `sender` are credentials. */
export async function ask(path, { body, headers, sender = credentials.headers, ...options } = {}) {
  const sent = { ...sender, ...headers };
  if (body !== undefined) {
    sent["Content-Type"] = "application/json";
    options = { method: "POST", body: JSON.stringify(body), ...options };
  }
  let response;
  try {
    response = await fetch(here(path), { ...options, headers: sent });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure({ error: "The service could not be reached. Check your connection.", code: "unreachable" });
  }
  if (response.ok) return response;
  const reply = await response.json().catch(() => null);
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  if (reply?.error) throw new Failure(reply, retryAfter);
  throw new Failure({ error: `Something before this service answered in its place (${response.status}). Try again in a minute.`, code: "unreachable" });
}

/** Request JSON; returns it as `reply`, with the headers. */
export async function askJson(path, options) {
  const response = await ask(path, options);
  let reply;
  try {
    reply = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure({ error: "The reply was cut off.", code: "unreachable" });
  }
  return { reply, headers: response.headers };
}

/** A random id. crypto.randomUUID() exists only with https. */
export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A salted 32-bit hash: tells texts apart within this browser, without revealing them. */
function digest(text) {
  const salt = localStorage.getItem(SALT) ?? newId();
  localStorage.setItem(SALT, salt);
  return [...(salt + text)].reduce((hash, letter) => (Math.imul(hash, 31) + letter.codePointAt(0)) | 0, 7).toString(36);
}

/** Wait; `signal` stops it with an AbortError. */
export function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, seconds * 1000);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}

/** Request JSON, and retry failures that may pass. */
export async function patiently(path, options = {}) {
  for (let failures = 1; ; failures++) {
    try {
      return await askJson(path, options);
    } catch (failure) {
      if (!PASSING.has(failure.code) || failures === FAILURES_IN_A_ROW) throw failure;
      await sleep(failure.retryAfter ?? RETRY_AFTER, options.signal);
    }
  }
}
