// An order: what it has done and spent, what comes next, and how it goes on or ends.

import { askJson, credentials, here, patiently, sleep } from "./api.js";
import { ring } from "./bell.js";
import { button, make, say } from "./dom.js";
import { fileName } from "./names.js";
import { bodyOf, choiceOf, choose, askPrice } from "./order-choice.js";
import { fill } from "./order-pane.js";
import * as rules from "./order-rules.js";
import { fill as fillPanel } from "./person.js";
import { question } from "./question.js";
import { addressOf as addressOfSong, capital, count, day } from "./rules.js";
import { save } from "./save.js";
import { attempt, refresh } from "./session.js";
import { noteSplit } from "./songs.js";

const LOOK_EVERY = 2; // seconds
const LOOK_AT_REST_EVERY = 10; // seconds, while nothing changes by itself, or nobody looks

/** Show an order, and follow it until the signal. */
export async function show(pane, signal, id) {
  fill(pane, ["Order"], make("p", { role: "status" }, "Looking for the order…"));
  let { reply } = await patiently(`/api/orders/${id}`, { signal });
  const shown = new Shown(pane, signal, reply);
  for (;;) {
    await shown.tell(reply);
    if (rules.isOver(reply)) return;
    await shown.rest();
    ({ reply } = await patiently(`/api/orders/${id}`, { signal }));
  }
}

class Shown {
  #rows = new Map(); // by song id
  #order = null;
  #asking = false;
  #wake = () => {};

  constructor(pane, signal, order) {
    this.signal = signal;
    document.addEventListener("visibilitychange", () => this.#wake(), { signal });
    this.state = make("p", { id: "order-status", role: "status" });
    this.bar = make("progress", { max: order.songs.length, value: 0, "aria-label": "Songs that have ended" });
    this.spent = make("p", { className: "small" });
    this.next = make("p", { className: "small" });
    this.pause = make("div", { className: "person", hidden: true });
    this.person = make("section", { className: "person", "aria-label": "A person is needed", hidden: true });
    this.stop = button("Stop", () => this.#act(() => this.#stop()));
    this.all = make("a", { className: "button", hidden: true }, "Download all");
    this.again = button("Order the rest again", () => this.#orderRest());
    this.list = make("ol", { className: "ordered" }, ...order.songs.map((song) => this.#row(song)));
    const [title, more] = rules.nameParts(order);
    fill(
      pane,
      [make("bdi", {}, title), more],
      make("p", { className: "small" }, [capital(rules.kindWords(order)), day(order.created_at)].filter(Boolean).join(" · ")),
      this.state,
      this.bar,
      this.spent,
      this.next,
      this.pause,
      this.person,
      make("p", { className: "row" }, this.all, this.stop, this.again),
      this.list,
    );
  }

  /** Wait until it is time to look again: at once after a button, or when the page comes to the front. */
  rest() {
    const seconds = rules.isMoving(this.#order) && !document.hidden ? LOOK_EVERY : LOOK_AT_REST_EVERY;
    return Promise.race([sleep(seconds, this.signal), new Promise((resolve) => (this.#wake = resolve))]);
  }

  /** Show the order as it is now. */
  async tell(order) {
    const before = this.#order;
    this.#order = order;
    const { done, failed } = rules.tally(order);
    const person = rules.songOfPerson(order);
    say("order-status", rules.stateWords(order));
    this.bar.value = done + failed;
    this.spent.textContent = rules.spentWords(order);
    this.#showNext(order);
    this.#showPause(order);
    this.#showAll(order);
    this.again.hidden = !rules.restOf(order).length;
    this.stop.hidden = order.state !== "running" && order.state !== "paused";
    for (const song of order.songs) this.#showSong(song, before?.songs.find(({ song_id: id }) => id === song.song_id));
    document.title = `${done + failed}/${order.songs.length} ${rules.nameOf(order)} · Suno Stems`;
    if (before && before.credits !== order.credits) refresh();
    if (before && before.state !== order.state && order.state !== "running") ring(`${rules.nameOf(order)}: ${rules.stateWords(order)}`);
    await this.#showPerson(person);
  }

  #row({ song_id: id, title }) {
    const link = make("a", { href: addressOfSong(id) }, make("bdi", {}, title || id));
    const words = make("span", { className: "small" });
    const cost = make("span", { className: "small cost" });
    const row = make("li", {}, link, words, cost);
    this.#rows.set(id, { row, words, cost });
    return row;
  }

  #showSong(song, before) {
    const { row, words, cost } = this.#rows.get(song.song_id);
    row.className = song.state;
    words.textContent = rules.songWords(song, this.#order);
    cost.textContent = rules.songCost(song);
    if (song.state === "done" && before && before.state !== "done") noteSplit(song.song_id);
  }

  #showNext(order) {
    this.next.hidden = order.state !== "running";
    const next = rules.nextOf(order);
    // Its line stays, or the buttons below would move.
    if (next) this.next.replaceChildren(next.before, make("bdi", {}, next.title), next.after);
    else this.next.replaceChildren("All songs have begun.");
  }

  #showPause({ state, error }) {
    this.pause.hidden = state !== "paused";
    if (state !== "paused") this.pause.replaceChildren();
    else if (this.pause.dataset.code !== error.code || !this.pause.childElementCount) {
      this.pause.dataset.code = error.code;
      const link = make("a", { href: "https://suno.com", target: "_blank", rel: "noreferrer", className: "button" }, "Go to suno.com");
      const goOn = button("Go on", () => this.#act(() => this.#goOn()), "main");
      this.pause.replaceChildren(
        make("h3", {}, "This order is paused"),
        make("p", {}, rules.reasonWords(error)),
        make("p", { className: "row" }, goOn, ...(rules.leadsToSuno(error) ? [link] : [])),
      );
    }
  }

  #showAll(order) {
    const { zip_url: url, id } = order;
    this.all.hidden = !url;
    if (!url) return;
    const { origin, href, searchParams } = new URL(url, location.href);
    const isSigned = origin === location.origin && searchParams.has("token");
    const name = fileName(`${rules.nameOf(order)} - Stems.zip`);
    this.all.href = isSigned ? href : here(`/api/orders/${id}.zip`);
    this.all.download = name;
    this.all.onclick = (event) => {
      if (isSigned || !Object.keys(credentials.headers).length) return;
      event.preventDefault(); // the browser would follow the link without the API key
      this.#act(() => save(`/api/orders/${id}.zip`, name));
    };
  }

  /** Choose the songs that are left, as they were ordered. */
  #orderRest() {
    choose({ songs: rules.restOf(this.#order), playlist: "", ...choiceOf(this.#order) });
    location.hash = rules.NEW;
  }

  async #showPerson(song) {
    const request = song ? await patiently(`/api/requests/${song.request_id}`, { signal: this.signal }) : null;
    const person = request?.reply.person ?? null;
    const again = () => this.#act(() => this.#send(`/api/orders/${this.#order.id}/again`, { body: {} }));
    fillPanel(this.person, person, again, () => this.#act(() => this.#stop()), "Stop this order");
    if (person) this.stop.hidden = true; // the panel has one
  }

  /** Do what a button says, once at a time. */
  async #act(what) {
    if (this.#asking) return;
    this.#asking = true;
    await attempt(what);
    this.#asking = false;
    this.#wake();
  }

  async #send(path, options) {
    const { reply } = await askJson(path, options);
    this.signal.throwIfAborted();
    await this.tell(reply);
  }

  /** Begin no further song; one that waits for a person is cancelled too. */
  #stop() {
    return this.#send(`/api/orders/${this.#order.id}`, { method: "DELETE" });
  }

  /** Go on; ask first if that may spend more than was agreed. */
  async #goOn() {
    const order = this.#order;
    const songs = order.songs.filter(({ state }) => state === "waiting" || state === "needs_person").map(({ song_id: id }) => id);
    let caps = {};
    if (songs.length) {
      const more = rules.capsFor(order, await askPrice(bodyOf({ songs, ...choiceOf(order) }), this.signal));
      caps = more.caps;
      if (more.credits || more.downloads) {
        if (!(await this.#agrees(songs.length, more))) return;
        // Another tab may have continued the order meanwhile, with higher limits.
        const { reply } = await askJson(`/api/orders/${order.id}`, { signal: this.signal });
        if (reply.state !== "paused") return this.tell(reply);
      }
    }
    await this.#send(`/api/orders/${order.id}/again`, { body: caps });
  }

  async #agrees(songs, { credits, downloads, caps }) {
    const more = rules.costWords(credits, downloads);
    const most = rules.costWords(caps.max_credits, caps.max_downloads ?? 0);
    const text = `${count(songs, "song")} ${songs === 1 ? "is" : "are"} left. This order may then spend ${most} in all: up to ${more} more than you agreed to.`;
    return (await question("Go on with this order?", text, [["yes", `Go on · up to ${more} more`]], this.signal)) === "yes";
  }
}
