/** Line charts and sparklines in SVG. */

import { el, setAttribute, setText, svg } from "./dom.js";
import { UNKNOWN, duration } from "./format.js";

const WIDTH = 480;
const HEIGHT = 150;
const LEFT = 52;
const BOTTOM = 20;
const TOP = 8;
/** What a chart spans. */
const SPAN_S = 3600;

/**
 * The line through some values as the "d" of a path. A value that is not known breaks it.
 *
 * @param {(?number)[]} values
 * @param {(at: number) => number} x
 * @param {(value: number) => number} y
 */
export function line(values, x, y) {
  let path = "";
  let isOpen = false;
  for (let at = 0; at < values.length; at += 1) {
    if (values[at] === null) {
      isOpen = false;
      continue;
    }
    const point = `${x(at).toFixed(1)} ${y(values[at]).toFixed(1)}`;
    // A lone value is a dot: a line of no length with a round cap.
    path += isOpen ? `L${point}` : `M${point}h0`;
    isOpen = true;
  }
  return path;
}

/** A small line without axes; 60 points at most, the newest on the right. */
export class Sparkline {
  #path = svg("path", { class: "line a" });
  #values = null;

  constructor() {
    this.element = svg("svg", { class: "spark", viewBox: "0 0 120 20", "aria-hidden": "true" }, this.#path);
  }

  update(values) {
    if (values === this.#values) return;
    this.#values = values;
    const most = Math.max(...(values ?? []), 0) || 1;
    const first = 60 - (values?.length ?? 0);
    setAttribute(this.#path, "d", line(values ?? [], (at) => (first + at) * 2, (value) => 18 - (value / most) * 16));
  }
}

/** The smallest of 1, 2, 5 times a power of ten that is not below a value. */
export function niceCeiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= value * 0.999999);
}

/**
 * A chart of the last hour with some lines. Each has a colour and a dash of its own, and its name and newest value in the
 * legend; the pointer shows the values of another time there.
 */
export class Chart {
  #lines;
  #ticks;
  #pointer = svg("line", { class: "pointer", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  #drawing;
  #when = el("span", { class: "when" });
  #show;
  #data = null;
  #at = null;

  /**
   * @param {string} title
   * @param {string[]} names of the lines
   * @param {(value: ?number) => string} show a value as text
   */
  constructor(title, names, show) {
    this.#show = show;
    this.#lines = names.map((name, at) => ({
      name,
      path: svg("path", { class: `line ${"abc"[at]}` }),
      value: el("output", { text: UNKNOWN }),
      swatch: svg("svg", { class: "swatch", viewBox: "0 0 24 8", "aria-hidden": "true" },
        svg("path", { class: `line ${"abc"[at]}`, d: "M1 4H23" })),
    }));
    this.#ticks = [0, 0.5, 1].map((share) => ({
      share,
      text: svg("text", { x: LEFT - 6, y: place(share) + 4, "text-anchor": "end" }),
    }));
    this.#drawing = svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      role: "img",
      "aria-label": `${title}, last hour: nothing is known yet`,
      pointermove: (event) => this.#point(event),
      pointerleave: () => this.#leave(),
    },
      ...this.#ticks.map(({ share }) => svg("line", { class: "grid", x1: LEFT, x2: WIDTH, y1: place(share), y2: place(share) })),
      ...this.#ticks.map(({ text }) => text),
      ...[60, 45, 30, 15].map((minutes) => svg("text", { x: across(minutes * 60), y: HEIGHT - 4, text: `−${minutes} min`,
        "text-anchor": minutes === 60 ? "start" : "middle" })),
      svg("text", { x: WIDTH, y: HEIGHT - 4, "text-anchor": "end", text: "now" }),
      ...this.#lines.map(({ path }) => path), this.#pointer);
    this.element = el("figure", {},
      el("figcaption", {}, el("b", { text: title }), this.#when,
        ...this.#lines.map(({ name, value, swatch }) => el("span", { class: "legend" }, swatch, `${name} `, value))),
      this.#drawing);
    this.title = title;
  }

  /**
   * @param {(?number)[][]} series the values of each line, the newest last
   * @param {number} step_s seconds between two of them
   */
  update(series, step_s) {
    this.#data = { series, step_s };
    const top = niceCeiling(Math.max(0, ...series.flat().filter((value) => value !== null)));
    for (const { share, text } of this.#ticks) setText(text, this.#show(top * share));
    for (const [at, values] of series.entries()) {
      const x = (index) => across((values.length - 1 - index) * step_s);
      setAttribute(this.#lines[at].path, "d", line(values, x, (value) => place(value / top)));
    }
    const newest = this.#lines.map(({ name }, at) => `${name} ${this.#show(series[at].at(-1))}`);
    setAttribute(this.#drawing, "aria-label", `${this.title}, last hour: now ${newest.join(", ")}; top of the scale ${this.#show(top)}`);
    this.#tell();
  }

  #tell() {
    const back = this.#at ?? 0;
    setText(this.#when, back ? `${duration(back * this.#data.step_s)} ago` : "");
    for (const [at, each] of this.#lines.entries()) setText(each.value, this.#show(this.#data.series[at].at(-1 - back)));
  }

  #point(event) {
    if (this.#data === null) return;
    const box = this.#drawing.getBoundingClientRect();
    const share = 1 - ((event.clientX - box.left) / box.width * WIDTH - LEFT) / (WIDTH - LEFT);
    const last = this.#data.series[0].length - 1;
    this.#at = Math.min(Math.max(0, Math.round((share * SPAN_S) / this.#data.step_s)), Math.max(0, last));
    const x = across(this.#at * this.#data.step_s);
    for (const end of ["x1", "x2"]) this.#pointer.setAttribute(end, x);
    this.#pointer.setAttribute("visibility", "visible");
    this.#tell();
  }

  #leave() {
    this.#at = null;
    this.#pointer.setAttribute("visibility", "hidden");
    if (this.#data !== null) this.#tell();
  }
}

function place(share) {
  return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP);
}

function across(seconds) {
  return WIDTH - Math.min(1, seconds / SPAN_S) * (WIDTH - LEFT);
}
