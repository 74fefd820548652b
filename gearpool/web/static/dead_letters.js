/** The section of dead letters, by file and kind: retry or drop all of a kind, or one. */

import { dropLetters, retryLetters } from "./actions.js";
import { get } from "./api.js";
import { button, el, setText } from "./dom.js";
import { ago, count, plural } from "./format.js";
import { Groups } from "./groups.js";

let now = 0;

/** Letters of the same function and exception in a file. */
function kinds(files) {
  const found = new Map();
  for (const { file, letters } of files) {
    for (const letter of letters) {
      const prefix = errorPrefix(letter.error);
      const key = [file, letter.function, prefix].join("\n");
      if (!found.has(key)) found.set(key, { key, file, function: letter.function, prefix, letters: [] });
      found.get(key).letters.push(letter);
    }
  }
  return [...found.values()].sort((a, b) => a.key.localeCompare(b.key));
}

/** "gave up after 3 attempts: ValueError: bad image" up to the exception's name; the whole error if it has none. */
export function errorPrefix(error) {
  return /^(gave up after \d+ attempts?: )?[\w.]+:/.exec(error)?.[0] ?? error;
}

function kindGroups() {
  return new Groups({
    label: "Dead letters",
    key: (row) => row.key,
    words: (row) => [row.function, row.file, ...row.letters.map((each) => `${each.error} ${each.unique} ${each.handle}`)].join(" "),
    head: (row) => [`${row.function}: ${row.prefix.replace(/^gave up .*?: |:$/g, "") || "no error"}`, row.file,
      `${count(row.letters.length)} × · ${ago(row.letters[0].time, now)}`],
    create: () => el("div", { class: "inside" }),
    patch: drawKind,
    empty: "There are no dead letters.",
  });
}

function drawKind(inside, row) {
  const ids = row.letters.map((letter) => letter.id).join();
  if (inside.dataset.ids === ids) return;
  inside.dataset.ids = ids;
  const selection = { file: row.file, function: row.function, error: row.prefix };
  const what = `all dead letters of ${row.function} whose error begins with “${row.prefix}”`;
  inside.replaceChildren(
    el("p", { class: "buttons" },
      button("Retry all", () => retryLetters(selection, what)),
      button("Drop all", () => dropLetters(selection, what), { class: "danger" })),
    el("ul", { class: "letters" }, ...row.letters.slice(0, 100).map((letter) => drawLetter(row, letter))),
    row.letters.length > 100 ? el("p", { class: "note", text: `${plural(row.letters.length - 100, "older one is", "older ones are")} not shown.` }) : "");
}

function drawLetter({ file }, letter) {
  const selection = { file, ids: [letter.id] };
  const what = `the dead letter of job ${letter.unique || letter.handle || letter.id}`;
  return el("li", {},
    el("p", {}, el("code", { text: letter.unique || letter.handle || letter.id }),
      ` ${ago(letter.time, now)}, ${plural(letter.attempts, "attempt")}: ${letter.error}`),
    letter.traceback ? el("details", {}, el("summary", { text: "Traceback" }),
      el("pre", { tabindex: 0, "aria-label": "Traceback", text: letter.traceback })) : "",
    el("p", { class: "buttons" },
      button("Retry", () => retryLetters(selection, what), { "aria-label": `Retry ${letter.unique || letter.id}` }),
      button("Drop", () => dropLetters(selection, what), { class: "danger", "aria-label": `Drop ${letter.unique || letter.id}` })));
}

export function openDeadLetters({ redraw }) {
  const groups = kindGroups();
  const note = el("p", { class: "note" });
  let files = [];
  let counted = null;
  let problem = "";
  const fetch = async () => {
    try {
      ({ files } = await get("api/dead-letters"));
      problem = "";
    } catch (error) {
      problem = `The files cannot be read now: ${error.message}`;
    }
    redraw();
  };
  return {
    element: el("div", {}, note, groups.element),
    update({ view, now: time }, search) {
      now = time;
      // They are read again when their number or size has changed.
      const key = JSON.stringify(view.dead_letters);
      if (key !== counted) {
        counted = key;
        fetch();
      }
      setText(note, [problem, ...files.map(describe)].filter(Boolean).join(" "));
      groups.update(kinds(files), search);
    },
  };
}

function describe({ file, error, more }) {
  if (error) return `${file}: ${error}.`;
  return more ? `${file}: ${plural(more, "older dead letter is", "older dead letters are")} not listed; “all” includes them.` : "";
}
