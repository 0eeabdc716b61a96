// Questions before something is paid for.

import { button, make } from "./dom.js";

/** Ask a question in a dialog; `answers` are pairs of a value and a button's text. Returns a value, or "" if left or stopped. */
export function question(title, text, answers, signal, leave = "Cancel") {
  const heading = make("h2", { id: "question-title" }, title);
  const dialog = make("dialog", { "aria-labelledby": "question-title", "aria-describedby": "question-text" });
  const buttons = answers.map(([value, name], first) => button(name, () => dialog.close(value), first ? "" : "main"));
  const row = make("p", { className: "row" }, ...buttons, button(leave, () => dialog.close("")));
  dialog.append(heading, make("p", { id: "question-text" }, text), row);
  document.body.append(dialog);
  const closed = new AbortController();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      closed.abort();
      dialog.remove();
      resolve(dialog.returnValue);
    });
    signal.addEventListener("abort", () => dialog.close(""), { once: true, signal: closed.signal });
    dialog.showModal();
    if (signal.aborted) dialog.close("");
  });
}
