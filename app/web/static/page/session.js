// The session of this tab: its account, which song it shows, until when, and the modules that it loads for that.

import { Failure, askJson, credentials, isStopped } from "./api.js";
import { SIGN_IN, clearProblem, say, showProblem, the } from "./dom.js";
import { count } from "./rules.js";

const FIELDS = ["apiKey", "account", "cookie"];

/** Ends once; its `signal` stops requests and waits. Work that was stopped throws an AbortError. */
export class Scope {
  #controller = new AbortController();

  get signal() {
    return this.#controller.signal;
  }

  get isOver() {
    return this.signal.aborted;
  }

  end() {
    this.#controller.abort();
  }

  /** A scope that ends with this one, or before it. */
  child() {
    const inner = new Scope();
    if (this.isOver) inner.end();
    else this.signal.addEventListener("abort", () => inner.end(), { once: true, signal: inner.signal });
    return inner;
  }
}

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

export const session = { account: new Scope(), view: new View("", new Scope()), desk: null, songPane: null, timer: 0 };

/** What GET /api/get_limit said last; null until it has. */
export const limits = { now: null, downloadsLeft: null };

/** Ask what the account has left, and show it. */
export async function showAccount() {
  const { signal } = session.account;
  const { cookie } = credentials.read();
  const { reply, headers } = await askJson("/api/get_limit", { signal });
  const owner = cookie ? "Your own Suno account" : `Account ${headers.get("X-Suno-Account") ?? "of this service"}`;
  const parts = [`${owner}: ${count(reply.credits_left, "credit")}`];
  const { budget, downloads_limit: limit, downloads_used: used } = reply;
  const known = limit !== null && used !== null;
  limits.now = reply;
  limits.downloadsLeft = known ? Math.max(0, limit - used) + (reply.downloads_extra ?? 0) : null;
  if (known) parts.push(`${count(limits.downloadsLeft, "download")} left`);
  if (reply.can_split === false) parts.push("its plan has no stems");
  if (budget?.credits_left !== undefined) parts.push(`you may spend ${count(budget.credits_left, "credit")} today`);
  if (budget?.downloads_left !== undefined) parts.push(`${count(budget.downloads_left, "download")} this month`);
  the("account").textContent = parts.join(", ");
}

/** Ask again, in the background. What was left before is not shown if that fails. */
export async function refresh() {
  const { account } = session;
  try {
    await showAccount();
  } catch (failure) {
    if (isStopped(failure) || account !== session.account) return;
    clearAccount();
    the("account").textContent = "What the account has left could not be read.";
  }
}

/** Show what is known of no account. */
export function clearAccount() {
  limits.now = limits.downloadsLeft = null;
  the("account").textContent = "";
}

/** Show the form with what is in use, or hide it. */
export function openForm(open) {
  const form = the("access");
  if (open && form.hidden) {
    const given = credentials.read();
    for (const name of FIELDS) form.elements[name].value = given[name] ?? "";
    form.elements.remember.checked = credentials.areRemembered;
  }
  form.hidden = !open;
  the("open-access").setAttribute("aria-expanded", String(open));
}

/** Open the form for what an error asks for. */
export function askFor(code) {
  const { activeElement } = document;
  openForm(true);
  const isFree = activeElement === document.body || the("access").contains(activeElement);
  if (isFree) the("access").elements[code === "api_key_required" ? "apiKey" : "cookie"].focus();
}

/** Connect the form; `change` is called after the credentials have changed. */
export function startForm(change) {
  const form = the("access");
  the("open-access").addEventListener("click", () => openForm(form.hidden));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = Object.fromEntries(FIELDS.map((name) => [name, form.elements[name].value.trim()]));
    const wrong = Object.keys(given).find((name) => !/^[ -~]*$/.test(given[name]));
    if (wrong) {
      const { textContent: label } = form.elements[wrong].parentElement;
      clearProblem();
      showProblem(new Failure({ error: `"${label.trim()}" has characters that are not allowed. Copy it again, whole.`, code: "" }));
      form.elements[wrong].focus();
      return;
    }
    credentials.write(given, form.elements.remember.checked);
    change();
  });
  the("forget").addEventListener("click", () => {
    credentials.forget();
    form.reset();
    change();
  });
}

/** Load a module of the page once, and start it. */
function started(name, load) {
  session[name] ??= load().then(
    (module) => {
      module.start();
      return module;
    },
    () => {
      session[name] = null;
      missing();
    },
  );
  return session[name];
}

/** The desk of stems, loaded on first use. */
export const desk = () => started("desk", () => import("./desk.js"));

/** The pane of the song, loaded on first use. */
export const songPane = () => started("songPane", () => import("./song-pane.js"));

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
