// Elements of the page, and its place for problems: failures as sentences for the people who use it, each with a next step.

import { Failure, credentials } from "./api.js";

/** The element with an id. */
export const the = (id) => document.getElementById(id);

/** Make an element: properties (`aria-…`, `data-…`, `role` and `for` as attributes), then children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A button with a text. */
export const button = (text, onclick, className = "") => make("button", { type: "button", className, onclick }, text);

const styles = new Map();

/** Load a style sheet, once; resolves when it is there. What is shown without it would jump under the pointer. */
export function style(name) {
  if (!styles.has(name)) {
    const href = new URL(name, import.meta.url).pathname;
    styles.set(name, new Promise((resolve) => document.head.append(make("link", { rel: "stylesheet", href, onload: resolve, onerror: resolve }))));
  }
  return styles.get(name);
}

/** Set the text of a live region, unless it is there already: it would be announced again. */
export function say(id, text) {
  if (the(id).textContent !== text) the(id).textContent = text;
}

const IN_DOUBT =
  "Suno was asked, and its reply was lost: it may have charged. Press the same button again to find out. It is the " +
  "same split, and is not charged twice.";
const NOT_ENDED =
  "This split has not ended yet, and may have charged. Press the same button again to find out. It is the same split, " +
  "and is not charged twice.";
const ORDER_IN_DOUBT =
  "The order was sent, and its reply was lost: it may have begun. Look at Orders, or press the same button again: it is " +
  "the same order, and is not charged twice.";
const LEADS_TO_SUNO = new Set(["captcha_required", "out_of_credits", "suno_session_expired"]);
export const SIGN_IN = new Set(["api_key_required", "suno_cookie_missing", "suno_session_expired"]);

/** A failure in a sentence. */
export function sentence(failure) {
  if (!(failure instanceof Failure)) return `This page has a defect. Reload it. If that does not help, tell its operator: ${failure.message}`;
  // The service's own sentences for them are for programs.
  if (failure.isSplit && (failure.code === "outcome_unknown" || failure.said.includes("GET /api/stems"))) return IN_DOUBT;
  if (failure.isSplit && failure.code === "in_progress") return NOT_ENDED;
  if (failure.isOrder) return ORDER_IN_DOUBT;
  if (failure.code === "api_key_required") {
    return credentials.read().apiKey
      ? "This service does not know the API key that you entered. Check it, or ask its operator for a new one."
      : "This service asks for an API key. Enter the one that its operator gave you.";
  }
  if (failure.code === "suno_cookie_missing" && !credentials.read().cookie) {
    return "This service has no Suno account of its own. Enter a Suno cookie, or ask its operator.";
  }
  return failure.message;
}

/** Show a failure; `again` is then offered. */
export function showProblem(failure, again) {
  const error = the("error");
  const shown = sentence(failure);
  error.replaceChildren(make("p", {}, shown));
  if (LEADS_TO_SUNO.has(failure.code)) {
    const link = make("a", { href: "https://suno.com", target: "_blank", rel: "noreferrer" }, "Go to suno.com");
    error.append(make("p", {}, link));
  }
  if (failure.retryAfter && failure.code === "over_budget") {
    const free = new Date(Date.now() + failure.retryAfter * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    error.append(make("p", {}, `There is more from ${free} on.`));
  }
  if (again) error.append(make("p", {}, button("Try again", again)));
  if (failure.requestId) {
    const said = failure.said === shown ? null : make("p", {}, failure.said);
    const id = make("code", {}, `Request ${failure.requestId}`);
    error.append(make("details", {}, make("summary", {}, "For the operator"), said, id));
  }
  error.scrollIntoView({ block: "nearest" });
  if (!(failure instanceof Failure)) console.error(failure);
}

/** Remove what is shown. */
export function clearProblem() {
  if (the("error").contains(document.activeElement)) the("song").focus();
  the("error").replaceChildren();
}
