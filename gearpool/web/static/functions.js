/** The section of all functions: what needs a look comes first. */

import { el, setAttribute, setText } from "./dom.js";
import { Sparkline } from "./chart.js";
import { count, duration, ofLimit, percent, rate } from "./format.js";
import { History } from "./history.js";
import { own } from "./merge.js";
import { BAD, queued } from "./model.js";
import { Table, compare, parts } from "./table.js";

/** Workers report each second. */
const OLD_S = 4;

const COLUMNS = [
  { label: "Function", value: (row) => row.name, draw: drawName },
  { label: "Rate, 1 h", isWide: true, hint: "Jobs a second over the last hour", draw: drawSpark },
  { label: "Now", hint: "Jobs a second over the last 5 s", numeric: true, value: (row) => row.rates.now, text: (row) => rate(row.rates.now) },
  { label: "p50", hint: "Median duration over the last 5 min", numeric: true, value: (row) => row.rates.p50, text: (row) => duration(row.rates.p50) },
  { label: "p95", hint: "95 % of the jobs of the last 5 min were faster", numeric: true, value: (row) => row.rates.p95, text: (row) => duration(row.rates.p95) },
  { label: "p99", hint: "99 % of the jobs of the last 5 min were faster", numeric: true, value: (row) => row.rates.p99, text: (row) => duration(row.rates.p99) },
  { label: "In flight", hint: "Running jobs of at most how many", numeric: true, value: (row) => row.in_progress, text: inFlight },
  { label: "Queued h/n/l", hint: "Jobs that wait on the job servers, by priority: high, normal, low", numeric: true, value: (row) => row.queue.total, text: (row) => queued(row.queue) },
  { label: "Retry", hint: "Jobs that wait for their next attempt", numeric: true, value: (row) => row.waiting_retry, text: (row) => count(row.waiting_retry) },
  { label: "Failed, 5 min", hint: "Failures of the last 5 min and their share of all jobs", numeric: true, value: (row) => row.rates.failed_5m, text: failed },
];

/** A link to a function. */
export function functionLink(name) {
  return `#function/${encodeURIComponent(name)}`;
}

/** Reasons as badges; the sign and the text say it, not only the colour. */
export function drawReasons(node, reasons) {
  const text = reasons.map((reason) => reason.text).join("\n");
  if (node.dataset.text === text) return;
  node.dataset.text = text;
  node.replaceChildren(...reasons.map(({ level, text: words }) =>
    el("span", { class: level === BAD ? "badge bad" : "badge warning", text: `${level === BAD ? "⚠" : "•"} ${words}` })));
}

function drawName(cell, row) {
  const { link, badges } = parts(cell, () => {
    const made = { link: el("a", { class: "open" }), badges: el("span", { class: "badges" }) };
    cell.append(made.link, made.badges);
    return made;
  });
  setText(link, row.name);
  setAttribute(link, "href", functionLink(row.name));
  drawReasons(badges, row.reasons);
}

function drawSpark(cell, row) {
  const spark = parts(cell, () => {
    const made = new Sparkline();
    cell.append(made.element);
    return made;
  });
  spark.update(row.history);
}

/** The figure is as old as what the slowest worker has told last: one that is blocked tells nothing. */
function inFlight(row) {
  const old = row.age_s > OLD_S ? ` (${duration(row.age_s)} old)` : "";
  return ofLimit(row.in_progress, row.slots) + old;
}

function failed(row) {
  return row.rates.failed_5m ? `${count(row.rates.failed_5m)} (${percent(Math.min(1, row.failedShare))})` : "0";
}

export function openFunctions({ redraw }) {
  const table = new Table({
    label: "Functions",
    columns: COLUMNS,
    key: (row) => row.name,
    words: (row) => `${row.name} ${row.reasons.map((reason) => reason.text).join(" ")}`,
    order: (a, b) => a.rank - b.rank || compare(a.name, b.name),
    empty: "The configuration has no functions.",
  });
  const history = new History(null, redraw);
  return {
    element: table.element,
    update({ functions }, search) {
      for (const row of functions) row.history = own(history.data?.functions, row.name)?.rate;
      table.update(functions, search);
    },
    close: () => history.close(),
  };
}
