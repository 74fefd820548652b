/** The sections of failures and stalls, each grouped by function and place. */

import { el, setText } from "./dom.js";
import { ago, clock, count, duration, plural } from "./format.js";
import { Groups, facts } from "./groups.js";

let now = 0;

function failureGroups() {
  return new Groups({
    label: "Failures",
    key: (row) => row.id,
    words: (row) => [row.function, row.exception, row.place, row.message, row.handle, row.unique].join(" "),
    head: (row) => [`${row.function}: ${row.exception}`, row.place, `${count(row.count)} × · ${ago(row.last, now)}`],
    create: () => facts(["Message", "Outcome", "First", "Last", "Attempt", "Job", "Unique id", "Server", "Worker"], "Traceback of the last one"),
    patch: (inside, row) => inside.patch([row.message, row.outcome, clock(row.first), clock(row.last),
      row.attempt === null ? null : String(row.attempt), row.handle, row.unique, row.server, String(row.worker)], row.traceback),
    empty: "No failures: a quiet pool.",
  });
}

function stallGroups() {
  return new Groups({
    label: "Stalls",
    key: (row) => row.id,
    words: (row) => [row.function, row.place, row.handle].join(" "),
    head: (row) => [row.function, row.place, `${count(row.count)} × · longest ${duration(row.longest_s)} · ${ago(row.last, now)}`],
    create: () => facts(["Blocked in total", "First", "Last", "Job", "Worker"], "Stack of the last one"),
    patch: (inside, row) => inside.patch([duration(row.total_s), clock(row.first), clock(row.last), row.handle, String(row.worker)], row.stack),
    empty: "No handler has blocked the event loop.",
  });
}

/** A list of failures or stalls: `name` is "failures" or "stalls"; of one function unless `only` is null. */
export function groupsOf(name, only = null) {
  const groups = name === "failures" ? failureGroups() : stallGroups();
  return {
    element: groups.element,
    update(model, search = "") {
      now = model.now;
      const rows = Object.values(model.view[name]).filter((row) => only === null || row.function === only);
      groups.update(rows.sort((a, b) => b.first - a.first), search);
    },
  };
}

function open(name, what) {
  const groups = groupsOf(name);
  const note = el("p", { class: "note", hidden: true });
  return {
    element: el("div", {}, groups.element, note),
    update(model, search) {
      const forgotten = model.view.forgotten[name];
      note.hidden = forgotten === 0;
      setText(note, `${plural(forgotten, `group of ${what} was`, `groups of ${what} were`)} forgotten: there were too many.`);
      groups.update(model, search);
    },
  };
}

export const openFailures = () => open("failures", "failures");
export const openStalls = () => open("stalls", "stalls");
