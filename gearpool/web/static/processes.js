/** The section of processes: workers by pool, the embedded job server, the web server; restarts with their reasons. */

import { pause, recycle, reload, resume } from "./actions.js";
import { button, el, setAttribute, setText } from "./dom.js";
import { bytes, count, duration, ofLimit, plural } from "./format.js";
import { freshness } from "./model.js";
import { Table, compare, parts } from "./table.js";

const COLUMNS = [
  { label: "Process", value: (row) => row.pid, draw: drawPid },
  { label: "Pool", value: (row) => row.pool, text: (row) => row.pool },
  { label: "State", value: (row) => row.state, text: (row) => row.state },
  { label: "Age", numeric: true, value: (row) => row.age_s, text: (row) => duration(row.age_s) },
  { label: "In flight", hint: "Running jobs of at most how many", numeric: true, value: (row) => row.in_progress, text: (row) => ofLimit(row.in_progress, row.slots) },
  { label: "Jobs", hint: "Jobs that have ended in this process", numeric: true, value: (row) => row.jobs, text: (row) => count(row.jobs) },
  { label: "Memory", numeric: true, value: (row) => row.memory_bytes, text: (row) => bytes(row.memory_bytes) },
  { label: "Loop lag", hint: "How late the event loop ran in the last second", numeric: true, value: (row) => row.loop_lag_s, text: (row) => duration(row.loop_lag_s) },
  { label: "Action", draw: drawRecycle },
];

function drawPid(cell, row) {
  const { pid, note } = parts(cell, () => {
    const made = { pid: el("span", { class: "open", tabindex: -1 }), note: el("span", { class: "badges" }) };
    cell.append(made.pid, made.note);
    return made;
  });
  setText(pid, String(row.pid));
  const text = freshness(row);
  if (note.dataset.text === text) return;
  note.dataset.text = text;
  note.replaceChildren(...(text ? [el("span", { class: row.isBlocked ? "badge bad" : "badge warning", text: `${row.isBlocked ? "⚠" : "•"} ${text}` })] : []));
}

function drawRecycle(cell, row) {
  if (!cell.firstChild) cell.append(button("Recycle", () => recycle(row.pid)));
  setAttribute(cell.firstChild, "aria-label", `Recycle worker ${row.pid}`);
}

export function openProcesses() {
  const table = new Table({
    label: "Worker processes",
    columns: COLUMNS,
    key: (row) => String(row.pid),
    words: (row) => [row.pid, row.pool, row.state, row.function].join(" "),
    order: (a, b) => compare(a.pool, b.pool) || a.rank - b.rank || b.age_s - a.age_s,
    empty: "There are no worker processes.",
  });
  const others = el("ul", { class: "lines" });
  let config = "the configuration";
  const actions = el("p", { class: "buttons" },
    button("Reload…", () => reload(config)),
    button("Recycle all…", () => recycle(null)),
    button("Pause all…", () => pause(null)),
    button("Resume all…", () => resume(null)));
  return {
    element: el("div", {}, actions, table.element, others),
    update({ view: { status }, workers }, search) {
      config = status.config;
      table.update(workers, search);
      lines(others, otherLines(status));
    },
  };
}

function* otherLines({ jobserver, web, restarts, reloads, generation, config, version }) {
  if (jobserver) yield `Embedded job server: process ${jobserver.pid}, ${jobserver.state}${jobserver.silent_s > 3 ? `, silent for ${duration(jobserver.silent_s)}` : ""}.`;
  if (web) yield `Web server: process ${web.pid ?? "–"}, ${web.state}, listens on ${web.listen}.`;
  const reasons = Object.entries(restarts).sort((a, b) => b[1] - a[1]).map(([reason, number]) => `${count(number)} × ${reason}`);
  yield reasons.length ? `Restarts: ${reasons.join(", ")}.` : "No process was restarted.";
  yield `${plural(reloads.ok, "reload")} succeeded, ${count(reloads.failed)} failed; generation ${generation} of ${config}; gearpool ${version}.`;
}

/** Patch the items of a list. */
function lines(list, texts) {
  let at = 0;
  for (const text of texts) {
    if (!list.children[at]) list.append(el("li"));
    setText(list.children[at], text);
    at += 1;
  }
  while (list.children.length > at) list.lastChild.remove();
}
