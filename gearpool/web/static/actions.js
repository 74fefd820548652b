/** What an operator can do, each with what it will do in words. */

import { post } from "./api.js";
import { confirm } from "./dialog.js";
import { el } from "./dom.js";
import { count, plural } from "./format.js";

let host = "this host";

/** Set the name of the machine, which every confirmation tells. */
export function here(name) {
  host = name;
}

function send(path, body, answer) {
  return async (token) => answer(await post(`api/${path}`, body, token));
}

/** Pause a function, from its row of the model; null: all. */
export function pause(row) {
  const name = row?.name ?? "all functions";
  const waiting = row ? `its ${plural(row.queue.total, "queued job waits", "queued jobs wait")}` : "queued jobs wait";
  confirm({
    title: `Pause ${name}`,
    lines: [`Pause ${name} on ${host}: running jobs go on, ${waiting} on the job servers.`],
    verb: "Pause",
    run: send("pause", { function: row?.name ?? null }, () => (row ? `${name} is paused.` : "All functions are paused.")),
  });
}

/** Resume a function; null: all. */
export function resume(row) {
  const name = row?.name ?? "all functions";
  confirm({
    title: `Resume ${name}`,
    lines: [`Take jobs of ${name} again on ${host}.`],
    verb: "Resume",
    run: send("resume", { function: row?.name ?? null }, () => "Jobs are taken again."),
  });
}

/** Change how many jobs of a function run at once. */
export function resize(row) {
  const input = el("input", { type: "number", min: 1, max: 1000000, required: true, "aria-label": "Jobs at once in one process" });
  confirm({
    title: `Resize ${row.name}`,
    lines: [
      `How many jobs of ${row.name} may run at once in each worker process on ${host}, until the next reload.`,
      `Now ${count(row.slots)} in all processes together.`,
    ],
    verb: "Resize",
    input,
    run: (token) => send("resize", { function: row.name, concurrency: input.valueAsNumber },
      (result) => `${result.function} now runs ${plural(result.concurrency, "job")} at once in each process.`)(token),
  });
}

/** End a job. */
export function kill(job) {
  confirm({
    title: "Kill a job",
    lines: [
      `End job ${job.handle} of ${job.function} in worker ${job.worker} on ${host}.`,
      "Its client is told that it failed, unless the failure policy says otherwise.",
    ],
    verb: "Kill",
    isFinal: true,
    run: send("kill", { handle: job.server ? `${job.server}/${job.handle}` : job.handle }, () => "The job was told to end."),
  });
}

/** Replace a worker process; null: all. */
export function recycle(worker) {
  const what = worker === null ? "every worker process" : `worker ${worker}`;
  confirm({
    title: worker === null ? "Recycle all workers" : `Recycle worker ${worker}`,
    lines: [`Replace ${what} on ${host}: each new one is ready before the old one finishes its jobs and exits.`],
    verb: "Recycle",
    run: send("recycle", { worker }, ({ workers }) => `${plural(workers.length, "process is", "processes are")} being replaced.`),
  });
}

/** Read the configuration and the code again. */
export function reload(config) {
  confirm({
    title: "Reload",
    lines: [`Read ${config} and the handlers' code again on ${host}. If either is broken, everything stays as it is.`],
    verb: "Reload",
    run: send("reload", {}, ({ generation }) => `Generation ${generation} is running.`),
  });
}

/** Submit dead letters again. `selection` is the body of the request, `what` says it in words. */
export function retryLetters(selection, what) {
  confirm({
    title: "Retry dead letters",
    lines: [`Submit ${what} again from ${host}, and remove what was submitted from the file.`],
    verb: "Retry",
    run: send("dead-letters/retry", selection, ({ submitted }) => `${plural(submitted, "job was", "jobs were")} submitted again.`),
  });
}

/** Drop dead letters. */
export function dropLetters(selection, what) {
  confirm({
    title: "Drop dead letters",
    lines: [`Remove ${what} from the file on ${host}. Their jobs are lost.`],
    verb: "Drop",
    isFinal: true,
    run: send("dead-letters/drop", selection, ({ dropped }) => `${plural(dropped, "dead letter was", "dead letters were")} dropped.`),
  });
}
