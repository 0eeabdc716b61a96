// The pane of orders: the way back, a heading, and what a view shows.

import { make } from "./dom.js";
import { LIST } from "./order-rules.js";

/** Fill the pane. The focus goes to the heading: the link or button that led here may be gone. */
export function fill(pane, title, ...content) {
  const heading = make("h2", { tabIndex: -1 }, ...title);
  pane.replaceChildren(make("p", { className: "back" }, make("a", { href: "#/" }, "All songs"), make("a", { href: LIST }, "All orders")), heading, ...content);
  heading.focus({ preventScroll: true });
}
