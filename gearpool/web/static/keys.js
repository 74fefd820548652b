/** Keyboard shortcuts. */

import { inform, isOpen } from "./dialog.js";
import { el } from "./dom.js";

const KEYS = [
  ["/", "Search in this section"],
  ["j, k", "Next and previous row"],
  ["Enter", "Open the row"],
  ["Esc", "Close a dialog, clear the search, or go back to the functions"],
  ["1 – 9", "Sections in their order"],
  ["?", "This list"],
];

/** What j and k move through. */
const ROWS = "main tbody tr:not([hidden]) .open, main details > summary";

export function installKeys(search, helpButton) {
  helpButton.addEventListener("click", help);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || isOpen()) return;
    const isTyping = event.target.matches("input, textarea, select");
    if (event.key === "Escape") escape(search);
    else if (isTyping) return;
    else if (event.key === "/") search.focus();
    else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "?") help();
    else if (/^[1-9]$/.test(event.key)) document.querySelectorAll("#sections a")[event.key - 1]?.click();
    else return;
    event.preventDefault();
  });
}

function help() {
  inform("Keyboard shortcuts", el("dl", { class: "keys" },
    ...KEYS.flatMap(([key, text]) => [el("dt", {}, el("kbd", { text: key })), el("dd", { text })])));
}

function escape(search) {
  if (search.value) {
    search.value = "";
    search.dispatchEvent(new Event("input"));
  } else if (document.activeElement === search) {
    search.blur();
  } else if (location.hash.startsWith("#function/")) {
    location.hash = "#functions";
  }
}

function move(step) {
  const rows = [...document.querySelectorAll(ROWS)];
  const row = rows.findIndex((each) => each === document.activeElement);
  const next = row < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, row + step));
  rows[next]?.focus();
}
