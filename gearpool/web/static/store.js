/** What is known of the daemon, and how fresh it is. */

import { merge } from "./merge.js";

/** The status is published each second; after this it is told as old. */
const OLD_MS = 4000;
/** While events are tried again, nothing is polled for some seconds. */
const OLD_POLLED_MS = 12_000;

export class Store {
  /** The document of GET /api/view; null before the first. */
  view = null;
  /** "connecting", "live", "polling", "lost" or "denied". */
  state = "connecting";
  /** Why, for "lost". */
  reason = "";
  /** Called after each change. */
  onChange = () => {};

  #heardAt = null;
  #publishedAt = null;

  /** The whole document has come. */
  replace(view) {
    this.#take(view);
  }

  /** A merge patch has come. */
  patch(change) {
    this.#take(merge(this.view, change));
  }

  setState(state, reason = "") {
    if (this.state === state && this.reason === reason) return;
    this.state = state;
    this.reason = reason;
    this.onChange();
  }

  /** Milliseconds since the web server was heard of; null: never. */
  get silentMs() {
    return this.#heardAt === null ? null : performance.now() - this.#heardAt;
  }

  /** Milliseconds since the supervisor published the status, as far as this tab has seen it. */
  get publishedMs() {
    return this.#publishedAt === null ? null : performance.now() - this.#publishedAt;
  }

  /** Whether the figures are from before. */
  get isStale() {
    const old = this.state === "polling" ? OLD_POLLED_MS : OLD_MS;
    return this.state === "lost" || (this.publishedMs !== null && this.publishedMs > old);
  }

  #take(view) {
    const now = performance.now();
    if (this.view === null || view.status.time !== this.view.status.time) this.#publishedAt = now;
    this.#heardAt = now;
    this.view = view;
    this.onChange();
  }
}
