// How long work on the page may go on: until what it is for is replaced.

/** Ends once; its `signal` stops requests and waits. Work that was stopped throws an AbortError. */
export class Scope {
  #controller = new AbortController();

  get signal() {
    return this.#controller.signal;
  }

  get isOver() {
    return this.signal.aborted;
  }

  end() {
    this.#controller.abort();
  }

  /** A scope that ends with this one, or before it. */
  child() {
    const inner = new Scope();
    if (this.isOver) inner.end();
    else this.signal.addEventListener("abort", () => inner.end(), { once: true, signal: inner.signal });
    return inner;
  }
}

/** Whether an error only says that its work was stopped. */
export const isStopped = (error) => error?.name === "AbortError";
