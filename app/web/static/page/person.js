// A split that waits for a person: why, what to do at suno.com, and how it goes on.

import { button, make, the } from "./dom.js";

/** Show what a person has to do for a run; hide it for null. `again` and `cancel` are called by its buttons. */
export const showPerson = (run, again, cancel) => fill(the("person"), run?.person, again, cancel);

/** Show in a panel what a person has to do: {url, what, until}; hide it for null. `leave` are the words of the button that cancels. */
export function fill(panel, person, again, cancel, leave = "Cancel this split") {
  panel.hidden = !person;
  if (!person) {
    panel.replaceChildren();
    return;
  }
  const { url, what, until } = person;
  if (panel.dataset.shows === url + what && panel.childElementCount) return; // the focus stays where it is
  panel.dataset.shows = url + what;
  const link = make("a", { href: /^https:\/\//.test(url) ? url : "https://suno.com", target: "_blank", rel: "noreferrer", className: "button" });
  link.textContent = "Open the song at suno.com";
  const ends = new Date(until).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  panel.replaceChildren(
    make("h3", {}, "Suno wants to see a person"),
    make("p", {}, "Suno asks for a captcha before this split, which only you can solve, on its own page. Nothing was charged for it yet."),
    make("p", {}, what),
    make("p", { className: "row" }, link, button("Try again", again), button(leave, cancel)),
    make("p", { className: "small" }, `This page continues by itself as soon as its stems are there, until ${ends}. It costs nothing while it waits.`),
  );
}
