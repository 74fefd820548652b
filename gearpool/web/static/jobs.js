/** The section of running jobs. */

import { kill } from "./actions.js";
import { button, el, setAttribute, setText } from "./dom.js";
import { count, duration, percent, plural } from "./format.js";
import { functionLink } from "./functions.js";
import { Table, compare, parts } from "./table.js";

const COLUMNS = [
  { label: "Job", value: (row) => row.handle, draw: drawHandle },
  { label: "Function", value: (row) => row.function, draw: drawFunction },
  { label: "Age", hint: "How long it has been running; a negative one waits for its retry", numeric: true, value: (row) => row.age_s, text: age },
  { label: "Attempt", numeric: true, value: (row) => row.attempt, text: (row) => count(row.attempt) },
  { label: "Progress", isWide: true, value: (row) => share(row) ?? -1, draw: drawProgress },
  { label: "Worker", numeric: true, value: (row) => row.worker, text: (row) => String(row.worker) },
  { label: "Server", isWide: true, value: (row) => row.server ?? "", text: (row) => row.server ?? "–" },
  { label: "Action", draw: drawKill },
];

function age(row) {
  return row.state === "waiting" || row.age_s < 0 ? `retry in ${duration(Math.max(0, -row.age_s))}` : duration(row.age_s);
}

/** The progress from 0 to 1; null: the job does not tell. */
function share(row) {
  return row.progress && row.progress[1] > 0 ? Math.min(1, Math.max(0, row.progress[0] / row.progress[1])) : null;
}

function drawHandle(cell, row) {
  const { handle, unique } = parts(cell, () => {
    const made = { handle: el("code"), unique: el("code", { class: "unique" }) };
    cell.append(made.handle, made.unique);
    return made;
  });
  setText(handle, row.handle ?? "–");
  setText(unique, row.unique ?? "");
}

function drawFunction(cell, row) {
  const link = parts(cell, () => {
    const made = el("a", { class: "open" });
    cell.append(made);
    return made;
  });
  setText(link, row.function);
  setAttribute(link, "href", functionLink(row.function));
}

function drawProgress(cell, row) {
  const { bar, text } = parts(cell, () => {
    const made = { bar: el("progress", { max: 1, "aria-label": "Progress" }), text: el("span", { class: "number" }) };
    cell.append(made.bar, made.text);
    return made;
  });
  const value = share(row);
  bar.hidden = value === null;
  if (value !== null && bar.value !== value) bar.value = value;
  setText(text, value === null ? "–" : `${percent(value)} (${row.progress[0]} of ${row.progress[1]})`);
}

function drawKill(cell, row) {
  const state = parts(cell, () => {
    const made = { row };
    cell.append(button("Kill", () => kill(made.row)));
    return made;
  });
  state.row = row;
  setAttribute(cell.firstChild, "aria-label", `Kill job ${row.handle}`);
}

/** A table of running jobs. */
export function jobTable() {
  return new Table({
    label: "Running jobs",
    columns: COLUMNS,
    key: (row) => `${row.worker}/${row.server}/${row.handle}`,
    words: (row) => [row.handle, row.unique, row.function, row.worker, row.server].join(" "),
    order: (a, b) => compare(b.age_s, a.age_s),
    empty: "No job is running.",
  });
}

export function openJobs() {
  const notes = el("p", { class: "note", hidden: true });
  const table = jobTable();
  return {
    element: el("div", {}, notes, table.element),
    update({ view }, search) {
      const lines = Object.values(view.blocked).map(({ worker, function: name, blocked_s, error }) =>
        blocked_s ? `Worker ${worker} has been blocked for ${duration(blocked_s)}${name ? ` by ${name}` : ""}: its other jobs cannot be listed.`
          : `Worker ${worker} did not list its jobs: ${error}`);
      if (view.jobs_left_out) lines.push(`${plural(view.jobs_left_out, "younger job is", "younger jobs are")} not shown.`);
      notes.hidden = lines.length === 0;
      setText(notes, lines.join(" "));
      table.update(Object.values(view.jobs), search);
    },
  };
}
