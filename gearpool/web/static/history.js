/** The last hour, fetched again as often as it grows. */

import { get } from "./api.js";

const EVERY_MS = 10_000;

export class History {
  /** The answer of GET /api/history; null before the first. */
  data = null;
  #path;
  #timer = null;
  #onChange;

  /**
   * @param {?string} name of a function; null: the overview of all
   * @param {() => void} onChange called when there is more
   */
  constructor(name, onChange) {
    this.#path = name === null ? "api/history" : `api/history?function=${encodeURIComponent(name)}`;
    this.#onChange = onChange;
    this.#fetch();
  }

  close() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #fetch() {
    try {
      this.data = await get(this.#path);
      if (this.#timer !== undefined) this.#onChange();
    } catch {
      // The connection's state is told at the top; a function that has not run for a moment has no history yet.
    }
    if (this.#timer !== undefined) this.#timer = setTimeout(() => this.#fetch(), EVERY_MS);
  }
}
