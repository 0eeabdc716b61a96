// The page: whose account it shows, what its address names, and what a click does. It asks for the account at once, and
// loads the pane of the song meanwhile.

import { the } from "./dom.js";
import * as rules from "./rules.js";
import { Scope, attempt, clearAccount, limits, openForm, orders, session, showAccount, songPane, startForm } from "./session.js";
import * as songs from "./songs.js";

let pane = null; // the module of the song's pane, once it is loaded

/** Do what needs the pane of the song, and show an error. */
const act = (what) => attempt(async () => what(await loadPane()));

async function loadPane() {
  // The page does not wait for these modules: it is usable without them. A browser finds them only one after the other.
  for (const link of document.querySelectorAll("link.later")) link.rel = "modulepreload";
  pane = await songPane();
  return pane;
}

// Account

async function showAll() {
  pane?.showButtons();
  songs.reload();
  pane?.showEarlier();
  await showAccount();
  pane?.showButtons();
}

/** Remove everything of the previous account, and show the new one. */
async function changeAccount() {
  const isShown = session.view.clip || (limits.now && isOfOrders());
  const unseen = isShown ? "" : location.hash; // what the previous account could not show
  session.account.end();
  session.account = new Scope();
  clearAccount();
  history.replaceState(null, "", location.pathname + unseen);
  the("song").value = "";
  pane?.leave();
  const { view } = session;
  openForm(false);
  await attempt(showAll);
  pane?.restoreRuns();
  if (session.view === view) await showAddress();
}

// Orders

/** Show what an address of orders names. */
function openOrders() {
  document.body.dataset.pane = "order"; // before the modules are loaded: nothing else may be opened then
  return act(async ({ show }) => {
    const view = show("");
    document.body.dataset.pane = "order";
    const module = await orders();
    if (session.view === view) await module.open();
  });
}

/** Choose the songs of a playlist, and show what they would cost. */
function openPlaylist(link) {
  the("song").value = "";
  attempt(async () => {
    (await orders()).choosePlaylist(link);
    history.pushState(null, "", "#/order");
    openOrders();
  });
}

const isOfOrders = () => /^#\/orders?(\/|$)/.test(location.hash);

// Reload

/** Go on with what a reload has interrupted. */
async function restore() {
  const loaded = await loadPane().catch(() => null);
  loaded?.restoreRuns();
  if (loaded?.hasInterruptedOrders()) attempt(async () => (await orders()).resume());
  if (document.body.dataset.pane !== "order") await showAddress(); // else opened while the account was read
}

/** Show the song or order of the address, and open the stems that were open before. */
async function showAddress() {
  if (isOfOrders()) return openOrders();
  const id = rules.songIn(location.hash);
  if (!id) return;
  the("song").value = id;
  await act(({ goBackTo }) => goBackTo(id));
}

// Events

/** Show the entered song. */
function onSong(anew) {
  const text = the("song").value.trim();
  const playlist = rules.playlistIn(text);
  if (playlist) openPlaylist(playlist);
  else if (text) act(({ go }) => go(text, anew));
}

the("find").addEventListener("submit", (event) => {
  event.preventDefault();
  onSong(true);
});
// A press on a button ends the entry: the button must not move before the press is over.
let isPressed = false;
addEventListener("pointerdown", () => (isPressed = true), true);
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => (isPressed = false), true);
the("song").addEventListener("change", () => {
  if (isPressed) addEventListener("pointerup", () => setTimeout(onSong, 0, false), { once: true });
  else onSong(false);
});
the("song").addEventListener("input", ({ target: { value }, inputType }) => {
  // Not at each typed letter of an id.
  if (inputType === "insertFromPaste" || rules.isWholeId(value)) onSong(false);
});
addEventListener("popstate", () => {
  const id = rules.songIn(location.hash);
  the("song").value = id;
  if (isOfOrders()) return void openOrders();
  if (session.view.id === id && document.body.dataset.pane !== "order") return;
  act(({ go, show }) => (id ? go(id) : show("")));
});
for (const element of document.querySelectorAll("[data-task]")) {
  element.addEventListener("click", () => act(({ onSplit }) => onSplit(element.dataset.task)));
}
the("select").addEventListener("click", () => attempt(async () => (await orders()).toggleSelect()));
startForm(changeAccount);
songs.start(
  ({ id }) => act(({ choose }) => choose(id)),
  (clip) => [clip.has_stems ? "split" : "", clip.isKept ? "kept here" : "", ...(pane?.marksOf(clip) ?? [])].filter(Boolean),
);
await attempt(() => Promise.all([showAll(), loadPane()]));
if (!session.view.id) await restore();
