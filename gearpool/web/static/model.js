/** What the sections show, worked out once from each document. Pure. */

import { count, duration, percent, plural } from "./format.js";
import { own } from "./merge.js";

/** How much a row needs a look; rows are sorted by it. */
export const BAD = 0;
export const WARNING = 1;
export const FINE = 2;

/** From this share of failures on, a function is failing rather than unlucky. */
const FAILING = 0.05;
/** A worker whose event loop is blocked for longer than this is shown as blocked. */
const BLOCKED_S = 2;

/**
 * @param {object} view the document of GET /api/view
 * @returns {{view, now, functions, workers, servers, attention}} lists of rows; a row of `functions` and `servers` has
 *     `reasons`, a list of {level, text}, and the level of the worst as `rank`
 */
export function model(view) {
  const now = view.status.time;
  const workers = Object.values(view.status.workers).map(workerRow);
  const queues = queuesByFunction(view.queues.servers);
  const blocked = new Map(workers.filter((row) => row.isBlocked && row.function).map((row) => [row.function, row]));
  const functions = Object.entries(view.status.functions).map(([name, row]) =>
    functionRow(name, row, own(view.rates, name), queues.get(name), blocked.get(name)),
  );
  const servers = Object.entries(view.queues.servers).map(([name, row]) => serverRow(name, row, own(view.status.servers, name)));
  return { view, now, functions, workers, servers, attention: functions.filter((row) => row.rank < FINE) };
}

function functionRow(name, status, rates, queue, blocked) {
  const row = {
    name,
    ...status,
    rates: rates ?? { now: null, runs_5m: 0, failed_5m: 0, p50: null, p95: null, p99: null },
    queue: queue ?? { high: 0, normal: 0, low: 0, unknown: 0, total: 0 },
  };
  row.failedShare = row.rates.runs_5m ? row.rates.failed_5m / row.rates.runs_5m : 0;
  row.reasons = [...reasons(row, blocked)].sort((a, b) => a.level - b.level);
  row.rank = row.reasons.length ? row.reasons[0].level : FINE;
  return row;
}

function* reasons(row, blocked) {
  if (row.breaker_open) yield { level: BAD, text: "breaker open" };
  if (blocked) yield { level: BAD, text: `blocks worker ${blocked.pid} for ${duration(blocked.stalled_s)}` };
  if (row.rates.failed_5m > 0) {
    const level = row.failedShare >= FAILING ? BAD : WARNING;
    yield { level, text: `${percent(Math.min(1, row.failedShare))} failed` };
  }
  if (row.paused) yield { level: WARNING, text: "paused" };
  if (row.slots && row.in_progress >= row.slots && row.queue.total > 0) yield { level: WARNING, text: "at its limit" };
}

function workerRow(row) {
  return { ...row, isBlocked: row.stalled_s > BLOCKED_S, rank: row.stalled_s > BLOCKED_S ? BAD : FINE };
}

function serverRow(name, row, connected) {
  const totals = { jobs: 0, running: 0, high: 0, normal: 0, low: 0, unknown: 0 };
  for (const queue of Object.values(row.functions)) addQueue(totals, queue);
  const reasons = [];
  if (!row.up) reasons.push({ level: BAD, text: row.error ?? "not asked yet" });
  if (connected === false) reasons.push({ level: BAD, text: "no worker is connected" });
  return { name, ...row, connected, totals, reasons, rank: reasons.length ? BAD : FINE };
}

function queuesByFunction(servers) {
  const found = new Map();
  for (const server of Object.values(servers)) {
    for (const [name, queue] of server.up ? Object.entries(server.functions) : []) {
      if (!found.has(name)) found.set(name, { jobs: 0, running: 0, high: 0, normal: 0, low: 0, unknown: 0, total: 0 });
      addQueue(found.get(name), queue);
    }
  }
  return found;
}

function addQueue(totals, queue) {
  totals.jobs += queue.jobs;
  totals.running += queue.running;
  const waiting = Math.max(0, queue.jobs - queue.running);
  totals.total += waiting;
  if (queue.waiting === null) totals.unknown += waiting;
  else for (const name of ["high", "normal", "low"]) totals[name] += queue.waiting[name];
}

/** Queued jobs as "high/normal/low", or their sum where the server does not tell priorities. */
export function queued(queue) {
  const known = `${count(queue.high)}/${count(queue.normal)}/${count(queue.low)}`;
  if (!queue.unknown) return known;
  return queue.high || queue.normal || queue.low ? `${known} + ${count(queue.unknown)}` : count(queue.unknown);
}

/** How a worker's figures are to be read when they are not fresh; otherwise an empty string. */
export function freshness(row) {
  if (!row.told) return "has not reported yet";
  const age = `figures from ${duration(row.told_s)} ago`;
  if (row.isBlocked) return `blocked for ${duration(row.stalled_s)}${row.function ? ` by ${row.function}` : ""}; ${age}`;
  return row.told_s > 3 ? age : "";
}

/** Dead letters in all files, and by function. */
export function deadLetters(view) {
  const functions = new Map();
  for (const file of view.dead_letters.files) {
    for (const [name, number] of Object.entries(file.functions)) functions.set(name, (functions.get(name) ?? 0) + number);
  }
  return { total: [...functions.values()].reduce((sum, each) => sum + each, 0), functions };
}

/** "Failures 3": how much there is in each section. */
export function badges({ view, functions, workers, servers }) {
  return {
    functions: functions.length,
    processes: workers.length,
    servers: servers.length,
    running: Object.keys(view.jobs).length + view.jobs_left_out,
    failures: Object.keys(view.failures).length,
    stalls: Object.keys(view.stalls).length,
    "dead-letters": deadLetters(view).total,
  };
}

/** The line that says how many functions need a look. */
export function attentionText({ attention }) {
  if (attention.length === 0) return "";
  return `${plural(attention.length, "function needs", "functions need")} a look`;
}
