// The account of this tab: what it has left, and the form for its API key, name and cookie.

import { Failure, askJson, credentials } from "./api.js";
import { the } from "./dom.js";
import { clearProblem, showProblem } from "./problem.js";
import { count } from "./rules.js";
import { isStopped } from "./scope.js";

const FIELDS = ["apiKey", "account", "cookie"];

let shownFor; // the signal of the account that is shown

/** What GET /api/get_limit said last; null until it has. */
export const limits = { now: null, downloadsLeft: null };

/** Ask what the account has left, and show it. */
export async function showAccount(signal) {
  shownFor = signal;
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
  const asked = shownFor;
  try {
    await showAccount(asked);
  } catch (failure) {
    if (isStopped(failure) || asked !== shownFor) return;
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
export function start(change) {
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
