/** One function: its charts, settings, failures, stalls, running jobs and actions. */

import { pause, resize, resume } from "./actions.js";
import { get } from "./api.js";
import { Chart } from "./chart.js";
import { button, el, setText } from "./dom.js";
import { groupsOf } from "./failures.js";
import { count, duration, number, ofLimit, percent, rate } from "./format.js";
import { drawReasons } from "./functions.js";
import { History } from "./history.js";
import { jobTable } from "./jobs.js";
import { deadLetters, queued } from "./model.js";

/** The charts: title, how a value is shown, and its lines with the series of the history that they show. */
const CHARTS = [
  ["Jobs a second", rate, [["ended", "rate"], ["failed", "failed"]]],
  ["Duration", duration, [["p50", "p50"], ["p95", "p95"], ["p99", "p99"]]],
  ["In flight", number, [["in flight", "in_progress"], ["limit", "slots"]]],
  ["Queued", number, [["queued", "queued"]]],
];

export function openFunction({ name, redraw }) {
  const badges = el("span", { class: "badges" });
  const figures = el("p", { class: "figures" });
  let row = null;
  const pauseButton = button("", () => (row.paused ? resume(row) : pause(row)));
  const actions = el("p", { class: "buttons" }, pauseButton, button("Resize…", () => resize(row)));
  const charts = CHARTS.map(([title, show, lines]) => ({ chart: new Chart(title, lines.map(([label]) => label), show), lines }));
  const failures = groupsOf("failures", name);
  const stalls = groupsOf("stalls", name);
  const jobs = jobTable();
  const settings = settingsTable(name);
  const history = new History(name, redraw);
  let drawn = null;
  let generation = null;
  const content = el("div", {}, figures, actions,
    el("div", { class: "charts" }, ...charts.map(({ chart }) => chart.element)),
    section("Failures", failures.element), section("Stalls", stalls.element), section("Running jobs", jobs.element),
    section("Settings", settings.element));
  const missing = el("p", { class: "quiet", text: "The configuration has no such function." });
  return {
    element: el("article", {}, el("h2", {}, el("a", { href: "#functions", text: "Functions" }), " › ", name, " ", badges), content, missing),
    update(model, search) {
      row = model.functions.find((each) => each.name === name) ?? null;
      content.hidden = row === null;
      missing.hidden = row !== null;
      if (row === null) return;
      drawReasons(badges, row.reasons);
      setText(figures, describe(row, model.view));
      setText(pauseButton, row.paused ? "Resume…" : "Pause…");
      failures.update(model, search);
      stalls.update(model, search);
      jobs.update(Object.values(model.view.jobs).filter((job) => job.function === name), search);
      if (history.data !== drawn) {
        drawn = history.data;
        for (const { chart, lines } of charts) chart.update(lines.map(([, series]) => drawn[series]), drawn.step_s);
      }
      if (model.view.status.generation !== generation) {
        generation = model.view.status.generation;
        settings.fetch();
      }
    },
    close: () => history.close(),
  };
}

function section(title, ...nodes) {
  return el("section", {}, el("h3", { text: title }), ...nodes);
}

function describe(row, view) {
  const letters = deadLetters(view).functions.get(row.name) ?? 0;
  const outcomes = Object.entries(row.outcomes).filter(([, times]) => times > 0).map(([name, times]) => `${count(times)} ${name.replace("_", " ")}`);
  const texts = [
    `${rate(row.rates.now)} now`,
    `${ofLimit(row.in_progress, row.slots)} in flight`,
    `${queued(row.queue)} queued (high/normal/low)`,
    `${count(row.waiting_retry)} waiting for a retry`,
    `${count(letters)} dead letters`,
    `since the start: ${outcomes.join(", ") || "no job"}`,
  ];
  if (row.rates.failed_5m) texts.splice(4, 0, `${count(row.rates.failed_5m)} (${percent(Math.min(1, row.failedShare))}) failed in 5 min`);
  return texts.join(" · ");
}

/** The settings in effect, each with the place where it was given. */
function settingsTable(name) {
  const body = el("tbody");
  const note = el("p", { class: "quiet" });
  const head = el("tr", {}, ...["Setting", "Value", "From"].map((text) => el("th", { scope: "col", text })));
  const table = el("table", { class: "settings", "aria-label": "Settings" }, el("thead", {}, head), body);
  return {
    element: el("div", {}, table, note),
    async fetch() {
      try {
        const { settings } = await get(`api/settings?function=${encodeURIComponent(name)}`);
        setText(note, "");
        body.replaceChildren(...Object.entries(settings).map(([key, { value, origin }]) =>
          el("tr", { class: origin === "default" ? "default" : null }, el("th", { scope: "row", text: key }),
            el("td", { text: typeof value === "string" ? value : JSON.stringify(value) }), el("td", { text: origin ?? "the file has changed since" }))));
      } catch (error) {
        setText(note, `The settings cannot be read now: ${error.message}`);
      }
      table.hidden = body.children.length === 0;
    },
  };
}
