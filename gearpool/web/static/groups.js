/** Lists of groups that open: failures, stalls and dead letters of a kind. Patched in place, an open one stays open. */

import { el, setText } from "./dom.js";

export class Groups {
  #rows = new Map();
  #options;

  /**
   * @param {object} options
   * @param {string} options.label the list's name for screen readers
   * @param {(row) => string} options.key the identity of a row
   * @param {(row) => string} options.words where the search looks
   * @param {(row) => [string, string, string]} options.head name, place and count of a row
   * @param {(row) => Node} options.create the inside of a row that is opened
   * @param {(inside: Node, row) => void} options.patch patches it
   * @param {string} options.empty shown when there is no row
   */
  constructor(options) {
    this.#options = options;
    this.list = el("ul", { class: "groups", role: "list", "aria-label": options.label });
    this.empty = el("p", { class: "quiet", hidden: true });
    this.element = el("div", {}, this.list, this.empty);
  }

  /** Show these rows in their order, which must not depend on what changes all the time, of which `search` leaves some out. */
  update(rows, search = "") {
    const wanted = search.toLowerCase();
    const seen = new Set();
    let place = null;
    for (const row of rows) {
      if (wanted && !this.#options.words(row).toLowerCase().includes(wanted)) continue;
      const key = this.#options.key(row);
      seen.add(key);
      let group = this.#rows.get(key);
      if (group === undefined) {
        group = this.#create();
        this.#rows.set(key, group);
      }
      group.row = row;
      this.#patch(group);
      const next = place ? place.nextElementSibling : this.list.firstElementChild;
      if (next !== group.element) this.list.insertBefore(group.element, next);
      place = group.element;
    }
    for (const [key, group] of this.#rows) {
      if (seen.has(key)) continue;
      group.element.remove();
      this.#rows.delete(key);
    }
    this.list.hidden = seen.size === 0;
    this.empty.hidden = seen.size > 0;
    setText(this.empty, wanted ? `Nothing here matches “${search}”.` : this.#options.empty);
  }

  #create() {
    const heads = ["name", "place", "count"].map((name) => el("span", { class: name }));
    const details = el("details", { toggle: () => this.#patch(group) }, el("summary", {}, ...heads));
    const group = { element: el("li", {}, details), details, heads, inside: null, row: null };
    return group;
  }

  #patch(group) {
    for (const [at, text] of this.#options.head(group.row).entries()) setText(group.heads[at], text);
    if (!group.details.open) return;
    if (group.inside === null) {
      group.inside = this.#options.create(group.row);
      group.details.append(group.inside);
    }
    this.#options.patch(group.inside, group.row);
  }
}

/**
 * A list of facts with a long text below, for the inside of a group.
 *
 * @param {string[]} names of the facts
 * @param {string} label what the text is
 */
export function facts(names, label) {
  const values = names.map(() => el("dd"));
  const text = el("pre", { tabindex: 0, "aria-label": label });
  const inside = el("div", { class: "inside" }, el("dl", { class: "facts" },
    ...names.flatMap((name, at) => [el("dt", { text: name }), values[at]])), text);
  inside.patch = (contents, trace) => {
    for (const [at, content] of contents.entries()) setText(values[at], content ?? "–");
    setText(text, trace);
  };
  return inside;
}
