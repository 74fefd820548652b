/** Tables whose rows are patched in place: only the cells that change are touched, and rows keep their place while they are used. */

import { button, el, setAttribute, setText } from "./dom.js";

/** Rows are put in order again this often, for columns whose values change all the time. */
const SORT_MS = 5000;

/**
 * @typedef {object} Column
 * @property {string} label
 * @property {string} [hint] what the figure is, as a tooltip and for screen readers
 * @property {boolean} [numeric] right-aligned
 * @property {boolean} [isWide] takes the whole width of a card on a phone
 * @property {(row) => (number|string)} [value] what to sort by; without it the column cannot be sorted
 * @property {(row) => string} [text] what is shown
 * @property {(cell: HTMLElement, row) => void} [draw] patches a cell that is more than text
 */

export class Table {
  #body = el("tbody", { role: "rowgroup" });
  #rows = new Map();
  #heads;
  #options;
  #sort = null;
  #sortedAt = 0;

  /**
   * @param {object} options
   * @param {string} options.label the table's name for screen readers
   * @param {Column[]} options.columns the first is the row's head
   * @param {(row) => string} options.key the identity of a row
   * @param {(row) => string} options.words where the search looks
   * @param {(a, b) => number} options.order the order without a sorted column
   * @param {string} options.empty shown when there is no row
   */
  constructor(options) {
    this.#options = options;
    this.#heads = options.columns.map((column, at) => this.#head(column, at));
    this.table = el("table", { role: "table", "aria-label": options.label },
      el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...this.#heads)), this.#body);
    this.empty = el("p", { class: "quiet", hidden: true });
    this.element = el("div", { class: "table" }, this.table, this.empty);
  }

  /** Show these rows, of which `search` leaves some out. */
  update(rows, search = "") {
    const wanted = search.toLowerCase();
    const seen = new Set();
    let isNew = false;
    for (const row of rows) {
      if (wanted && !this.#options.words(row).toLowerCase().includes(wanted)) continue;
      const key = this.#options.key(row);
      seen.add(key);
      let line = this.#rows.get(key);
      if (line === undefined) {
        line = this.#line();
        this.#rows.set(key, line);
        this.#body.append(line.element);
        isNew = true;
      } else if (line.row.rank !== row.rank) {
        isNew = true;
      }
      line.row = row;
      this.#patch(line);
    }
    for (const [key, line] of this.#rows) {
      if (seen.has(key)) continue;
      line.element.remove();
      this.#rows.delete(key);
    }
    this.table.hidden = seen.size === 0;
    this.empty.hidden = seen.size > 0;
    setText(this.empty, wanted ? `Nothing here matches “${search}”.` : this.#options.empty);
    const isDue = performance.now() - this.#sortedAt > SORT_MS;
    if ((isNew || isDue) && (this.#sortedAt === 0 || !this.#isInUse())) this.#arrange();
  }

  /** A row must not move away under the pointer or the focus. */
  #isInUse() {
    return this.#body.matches(":hover") || this.#body.contains(document.activeElement);
  }

  #line() {
    const { columns } = this.#options;
    const cells = columns.map((column, at) =>
      el(at === 0 ? "th" : "td", {
        role: at === 0 ? "rowheader" : "cell",
        scope: at === 0 ? "row" : null,
        class: column.numeric ? "number" : column.isWide ? "wide" : null,
        "data-label": at === 0 ? null : column.label,
      }),
    );
    return { element: el("tr", { role: "row" }, ...cells), cells, row: null };
  }

  #patch({ element, cells, row }) {
    const { columns } = this.#options;
    setAttribute(element, "data-rank", row.rank === undefined ? null : String(row.rank));
    for (let at = 0; at < columns.length; at += 1) {
      const column = columns[at];
      if (column.draw) column.draw(cells[at], row);
      else setText(cells[at], column.text(row));
    }
  }

  #head(column, at) {
    const attributes = { role: "columnheader", scope: "col", class: column.numeric ? "number" : null, title: column.hint };
    if (!column.value) return el("th", { ...attributes, text: column.label });
    const sort = button(column.label, () => this.#sortBy(at), { "aria-description": column.hint });
    return el("th", { ...attributes, "aria-sort": "none" }, sort);
  }

  #sortBy(at) {
    // Up, down, and back to the order in which what needs a look comes first.
    const first = this.#options.columns[at].numeric ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    const before = this.#sort?.at === at ? this.#sort.direction : null;
    const direction = before === null ? first : before === first ? second : null;
    this.#sort = direction === null ? null : { at, direction };
    for (const [index, head] of this.#heads.entries()) {
      if (head.hasAttribute("aria-sort")) head.setAttribute("aria-sort", this.#sort?.at === index ? direction : "none");
    }
    this.#arrange();
  }

  #arrange() {
    this.#sortedAt = performance.now();
    const lines = [...this.#rows.values()].sort((a, b) => this.#compare(a.row, b.row));
    let place = this.#body.firstElementChild;
    for (const { element } of lines) {
      if (element === place) place = place.nextElementSibling;
      else this.#body.insertBefore(element, place);
    }
  }

  #compare(a, b) {
    if (this.#sort !== null) {
      const { value } = this.#options.columns[this.#sort.at];
      const order = compare(value(a), value(b));
      if (order !== 0) return this.#sort.direction === "ascending" ? order : -order;
    }
    return this.#options.order(a, b);
  }
}

/** Compares two numbers or two strings; what is not known comes last in descending order. */
export function compare(a, b) {
  if (typeof a === "string") return a.localeCompare(b, undefined, { numeric: true });
  return (a ?? -Infinity) - (b ?? -Infinity) || 0;
}

/** The children of a cell, created when it is patched for the first time. */
export function parts(cell, create) {
  cell.parts ??= create(cell);
  return cell.parts;
}
