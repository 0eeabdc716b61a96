// The latest orders of this caller and account.

import { patiently, sleep } from "./api.js";
import { make } from "./dom.js";
import { fill } from "./order-pane.js";
import * as rules from "./order-rules.js";

const LOOK_EVERY = 5; // seconds: it makes no call to Suno

/** Show the orders, and how far they are, until the signal. */
export async function show(pane, signal) {
  const status = make("p", { role: "status" }, "Looking for orders…");
  const list = make("ul", { className: "ordered" });
  fill(pane, ["Orders"], status, list);
  for (let before = ""; ; await sleep(LOOK_EVERY, signal)) {
    const { reply } = await patiently("/api/orders", { signal });
    status.textContent = reply.length ? "" : "No orders yet. Choose several songs with Select, or paste the link of a playlist.";
    const now = JSON.stringify(reply);
    if (now !== before) draw(list, reply);
    before = now;
    if (!reply.some(rules.isMoving)) return;
  }
}

/** Show the orders as they are now; the focus stays on its order. */
function draw(list, reply) {
  const focused = list.contains(document.activeElement) ? document.activeElement.hash : "";
  list.replaceChildren(...reply.map(item));
  if (focused) list.querySelector(`a[href="${focused}"]`)?.focus();
}

function item(order) {
  const [title, more] = rules.nameParts(order);
  const link = make("a", { href: rules.addressOf(order.id) }, make("bdi", {}, title), more);
  const { done, failed, all } = rules.tally(order);
  return make("li", { className: order.state }, link, make("span", { className: "small" }, rules.aboutOrder(order)), make("span", { className: "small cost" }, `${done + failed} of ${all}`));
}
