/** The section of job servers and what they have queued. */

import { el, setAttribute, setText } from "./dom.js";
import { count, duration, plural } from "./format.js";
import { drawReasons, functionLink } from "./functions.js";
import { queued } from "./model.js";
import { Table, compare, parts } from "./table.js";

const SERVERS = [
  { label: "Server", value: (row) => row.name, draw: drawName },
  { label: "Workers connected", value: (row) => String(row.connected), text: (row) => (row.connected === undefined ? "–" : row.connected ? "yes" : "no") },
  { label: "Running", numeric: true, value: (row) => row.totals.running, text: (row) => count(row.totals.running) },
  { label: "Queued h/n/l", hint: "Waiting jobs by priority: high, normal, low", numeric: true, value: (row) => waiting(row.totals), text: (row) => queued(row.totals) },
  { label: "Functions", numeric: true, value: (row) => Object.keys(row.functions).length, text: (row) => count(Object.keys(row.functions).length + row.more) },
  { label: "Asked", hint: "When the server was asked last", numeric: true, value: (row) => row.age_s, text: (row) => (row.age_s === null ? "never" : `${duration(row.age_s)} ago`) },
];

const QUEUES = [
  { label: "Function", value: (row) => row.function, draw: drawFunction },
  { label: "Server", value: (row) => row.server, text: (row) => row.server },
  { label: "Running", numeric: true, value: (row) => row.running, text: (row) => count(row.running) },
  { label: "Queued h/n/l", numeric: true, value: (row) => row.jobs - row.running, text: (row) => queued(row.totals) },
  { label: "Workers", hint: "Connections that have registered the function", numeric: true, value: (row) => row.workers, text: (row) => count(row.workers) },
];

function waiting(totals) {
  return totals.high + totals.normal + totals.low + totals.unknown;
}

function drawName(cell, row) {
  const { name, badges } = parts(cell, () => {
    const made = { name: el("span", { class: "open", tabindex: -1 }), badges: el("span", { class: "badges" }) };
    cell.append(made.name, made.badges);
    return made;
  });
  setText(name, row.name);
  drawReasons(badges, row.reasons);
}

function drawFunction(cell, row) {
  const name = parts(cell, () => {
    const made = row.isServed ? el("a", { class: "open" }) : el("span", { class: "open", tabindex: -1 });
    cell.append(made);
    return made;
  });
  setText(name, row.function);
  if (name.localName === "a") setAttribute(name, "href", functionLink(row.function));
}

function queueRows({ view, servers }) {
  return servers.flatMap((server) => Object.entries(server.functions).map(([name, queue]) => ({
    ...queue,
    server: server.name,
    function: name,
    isServed: Object.hasOwn(view.status.functions, name),
    totals: queue.waiting ? { ...queue.waiting, unknown: 0 } : { high: 0, normal: 0, low: 0, unknown: Math.max(0, queue.jobs - queue.running) },
  })));
}

export function openServers() {
  const servers = new Table({
    label: "Job servers",
    columns: SERVERS,
    key: (row) => row.name,
    words: (row) => `${row.name} ${Object.keys(row.functions).join(" ")}`,
    order: (a, b) => a.rank - b.rank || compare(a.name, b.name),
    empty: "The configuration names no job server.",
  });
  const queues = new Table({
    label: "Queues",
    columns: QUEUES,
    key: (row) => `${row.server}\n${row.function}`,
    words: (row) => `${row.server} ${row.function}`,
    order: (a, b) => compare(a.function, b.function) || compare(a.server, b.server),
    empty: "The job servers know no function.",
  });
  const note = el("p", { class: "note", hidden: true });
  return {
    element: el("div", {}, servers.element, el("h2", { text: "Queues" }), queues.element, note),
    update(model, search) {
      servers.update(model.servers, search);
      queues.update(queueRows(model), search);
      const more = model.servers.reduce((sum, row) => sum + row.more, 0);
      note.hidden = more === 0;
      setText(note, `${plural(more, "function")} with the fewest jobs and workers not shown.`);
    },
  };
}
