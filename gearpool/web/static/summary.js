/** The head of the dashboard: is it working, and how fresh is what is shown. */

import { Sparkline } from "./chart.js";
import { el, setAttribute, setText } from "./dom.js";
import { count, duration, ofLimit, percent, plural, rate } from "./format.js";
import { attentionText } from "./model.js";

const FIGURES = ["jobs", "p95", "failing", "waiting", "in flight"];
const where = document.getElementById("where");
const live = document.getElementById("live");
const banner = document.getElementById("banner");
const host = document.getElementById("summary");

const spark = new Sparkline();
const values = Object.fromEntries(FIGURES.map((name) => [name, el("dd")]));
const look = el("p", { class: "look", role: "status" });

/** Build the summary. */
export function installSummary() {
  host.append(el("dl", {}, ...FIGURES.map((name) => el("div", {}, el("dt", { text: name }), values[name]))), spark.element, look);
}

/** Show the figures of a model; `history` is the overview of the last hour. */
export function updateSummary(model, history) {
  const { view, functions } = model;
  const { status, total } = view;
  const pools = new Set(Object.values(status.workers).map((row) => row.pool)).size;
  const parts = [status.host, `up ${duration(status.uptime_s)}`, plural(Object.keys(status.workers).length, "process", "processes")];
  if (pools > 1) parts.splice(2, 0, plural(pools, "pool"));
  if (status.state !== "running") parts.push(status.state);
  setText(where, parts.join(" · "));
  setText(values.jobs, rate(total.now));
  setText(values.p95, duration(total.p95));
  setText(values.failing, total.runs_5m ? percent(total.failed_5m / total.runs_5m) : percent(0));
  setText(values.waiting, count(functions.reduce((sum, row) => sum + row.queue.total, 0)));
  setText(values["in flight"], ofLimit(status.slots.used ?? status.in_progress, status.slots.limit));
  spark.update(history?.total.rate.filter((_, at, all) => (all.length - 1 - at) % 6 === 0));
  const text = attentionText(model);
  setText(look, text ? `⚠ ${text}` : status.problem ? "" : "✓ nothing needs a look");
  setAttribute(look, "data-rank", text ? "0" : null);
  document.title = `${text ? `(${model.attention.length}) ` : ""}gearpool · ${status.host}`;
}

/** Say how fresh the figures are; called each second. */
export function updateFreshness(store) {
  const { view } = store;
  const silent = `${((store.silentMs ?? 0) / 1000).toFixed(1)} s`;
  const texts = {
    connecting: "connecting…",
    live: `● live, ${silent} ago`,
    polling: `● polled, ${silent} ago`,
    lost: "○ no connection",
    denied: "○ needs a token",
  };
  setText(live, texts[store.state]);
  setAttribute(live, "data-state", store.state);
  const text = warning(store, view);
  banner.hidden = text === "";
  setText(banner, text);
  document.body.classList.toggle("stale", store.isStale);
}

function warning(store, view) {
  const since = view === null ? "" : ` Figures are from ${new Date(view.status.time * 1000).toLocaleTimeString()}.`;
  if (store.state === "lost") return `The daemon is away: ${store.reason}.${since} Trying again…`;
  if (store.state === "denied" || view === null) return "";
  if (store.isStale) return `The supervisor does not report.${since}`;
  if (view.status.problem) return view.status.problem;
  if (view.status.state !== "running") return `The daemon is ${view.status.state}.`;
  return "";
}
