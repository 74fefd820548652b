/**
 * Keeps the store up to date: by server-sent events, or by polling where a proxy holds them back. Comes back by itself.
 *
 * EventSource is not used: it cannot send a token.
 */

import { ApiError, get, open } from "./api.js";
import { EventParser } from "./events.js";

/** Events come at least each second. */
const SILENT_MS = 5000;
const POLL_MS = 2000;
/** How long to poll before events are tried again. */
const POLLING_MS = 60_000;
const MAX_WAIT_MS = 5000;

/** Events do not come through; polling may work. */
class NoEventsError extends Error {}

export class Connection {
  #store;
  #failed = 0;
  #wake = () => {};

  constructor(store) {
    this.#store = store;
  }

  /** Try again at once: there is a new token. */
  retry() {
    this.#failed = 0;
    this.#store.setState("connecting");
    this.#wake();
  }

  /** Never returns. */
  async run() {
    for (;;) {
      try {
        await this.#receive();
        this.#store.setState("lost", "the daemon has closed the connection");
      } catch (error) {
        if (error instanceof NoEventsError) await this.#poll().catch((reason) => this.#lost(reason));
        else this.#lost(error);
      }
      const wait = Math.min(MAX_WAIT_MS, 250 * 2 ** this.#failed);
      this.#failed += 1;
      await new Promise((resolve) => {
        this.#wake = resolve;
        // A wrong token is not tried repeatedly.
        if (this.#store.state !== "denied") setTimeout(resolve, wait);
      });
    }
  }

  #lost(error) {
    if (error.status === 401) this.#store.setState("denied");
    else this.#store.setState("lost", error.message);
  }

  async #receive() {
    const abort = new AbortController();
    let heard = false;
    let timer = setTimeout(() => abort.abort(), SILENT_MS);
    try {
      const response = await open("api/events", abort.signal);
      const parser = new EventParser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        for (const event of parser.push(value)) {
          heard = true;
          this.#take(event);
        }
        clearTimeout(timer);
        timer = setTimeout(() => abort.abort(), SILENT_MS);
      }
    } catch (error) {
      if (error instanceof ApiError && error.status === 503 && /listeners/.test(error.message)) throw new NoEventsError();
      if (error.name !== "AbortError") throw error instanceof ApiError ? error : new ApiError(0, "the connection was lost");
      if (!heard) throw new NoEventsError();
      throw new ApiError(0, `nothing was received for ${SILENT_MS / 1000} s`);
    } finally {
      clearTimeout(timer);
      abort.abort();
    }
  }

  #take(event) {
    const value = JSON.parse(event.data);
    if (event.name === "view") this.#store.replace(value);
    else if (event.name === "change") this.#store.patch(value);
    this.#failed = 0;
    this.#store.setState("live");
  }

  async #poll() {
    const end = performance.now() + POLLING_MS;
    while (performance.now() < end) {
      this.#store.replace(await get("api/view"));
      this.#failed = 0;
      this.#store.setState("polling");
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}
