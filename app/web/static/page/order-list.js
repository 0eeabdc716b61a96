// The latest orders of this caller and account.

import { patiently } from "./api.js";
import { make } from "./dom.js";
import * as rules from "./order-rules.js";

/** Show the orders. */
export async function show(pane, signal) {
  const status = make("p", { role: "status" }, "Looking for orders…");
  pane.replaceChildren(make("p", { className: "back" }, make("a", { href: "#/" }, "All songs")), make("h2", { tabIndex: -1 }, "Orders"), status);
  const { reply } = await patiently("/api/orders", { signal });
  status.textContent = reply.length ? "" : "No orders yet. Choose several songs with Select, or paste the link of a playlist.";
  pane.append(make("ul", { className: "ordered" }, ...reply.map(item)));
}

function item(order) {
  const link = make("a", { href: rules.addressOf(order.id), dir: "auto" }, rules.nameOf(order));
  const { done, failed, all } = rules.tally(order);
  return make("li", { className: order.state }, link, make("span", { className: "small" }, rules.aboutOrder(order)), make("span", { className: "small cost" }, `${done + failed} of ${all}`));
}
