// Orders of many songs: this module and those that it needs are loaded when they are first used.

import { credentials } from "./api.js";
import { make, style, the } from "./dom.js";
import * as choices from "./order-choice.js";
import * as list from "./order-list.js";
import * as draft from "./order-new.js";
import { fill } from "./order-pane.js";
import * as rules from "./order-rules.js";
import * as select from "./order-select.js";
import * as shown from "./order-shown.js";
import { session } from "./session.js";

const OWN_COOKIE = "Several songs at once are split with the accounts of this service, and not with a cookie of your own: the work goes on after you leave.";

await style("order.css");

/** Begin to choose songs in the library, or end it. */
export function toggleSelect() {
  if (credentials.read().cookie) location.hash = rules.NEW; // where it says why not
  else select.toggle(session.account);
}

/** Choose the songs of a playlist. */
export function choosePlaylist(link) {
  select.stop();
  choices.choose({ playlist: link, songs: [] });
}

/** Show what the address names, in the pane of the song. */
export async function open() {
  const view = rules.viewIn(location.hash) ?? { isList: true };
  const { signal } = session.view;
  const pane = the("order-pane");
  scrollTo(0, 0);
  if (credentials.read().cookie) fill(pane, ["Several songs"], make("p", {}, OWN_COOKIE));
  else if (view.isNew) draft.show(pane, signal, goTo);
  else if (view.id) await shown.show(pane, signal, view.id);
  else await list.show(pane, signal);
}

/** Send again an order that was being sent when the page was left. */
export const resume = () => draft.resume(goTo);

/** Show an order that was paid, in place of what was chosen for it. */
function goTo(id) {
  select.stop();
  const isNew = rules.viewIn(location.hash)?.isNew;
  history[isNew ? "replaceState" : "pushState"](null, "", rules.addressOf(id));
  dispatchEvent(new PopStateEvent("popstate"));
}
