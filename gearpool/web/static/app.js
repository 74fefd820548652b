/** The dashboard: which section is shown, and when it is drawn. */

import { here } from "./actions.js";
import { Connection } from "./connection.js";
import { openDeadLetters } from "./dead_letters.js";
import { askForToken, isOpen } from "./dialog.js";
import { el, setAttribute, setText } from "./dom.js";
import { openFailures, openStalls } from "./failures.js";
import { count } from "./format.js";
import { openFunction } from "./function.js";
import { openFunctions } from "./functions.js";
import { History } from "./history.js";
import { openJobs } from "./jobs.js";
import { installKeys } from "./keys.js";
import { badges, model } from "./model.js";
import { openProcesses } from "./processes.js";
import { openServers } from "./servers.js";
import { Store } from "./store.js";
import { installSummary, updateFreshness, updateSummary } from "./summary.js";
import { installTheme } from "./theme.js";

/** The sections: title, and what opens one. An open one has `element`, `update(model, search)` and sometimes `close()`. */
const SECTIONS = {
  functions: ["Functions", openFunctions],
  processes: ["Processes", openProcesses],
  servers: ["Servers", openServers],
  running: ["Running", openJobs],
  failures: ["Failures", openFailures],
  stalls: ["Stalls", openStalls],
  "dead-letters": ["Dead letters", openDeadLetters],
};

const content = document.getElementById("content");
const search = document.getElementById("search");
const store = new Store();
const connection = new Connection(store);
const links = new Map();
let overview = null;
let section = null;
let shown = null;
let isScheduled = false;

/** Draw once before the next frame, however often something has changed. A hidden page is not drawn. */
function redraw() {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
    draw();
  });
}

function draw() {
  updateFreshness(store);
  if (store.state === "denied") {
    if (!isOpen()) askForToken(() => connection.retry());
    return;
  }
  if (store.view === null) return;
  overview ??= new History(null, redraw);
  here(store.view.status.host);
  const now = model(store.view);
  updateSummary(now, overview.data);
  for (const [name, number] of Object.entries(badges(now))) setText(links.get(name).badge, number ? count(number) : "");
  route();
  section.update(now, search.value);
}

/** Open the section that the address names. */
function route() {
  const hash = location.hash.slice(1) || "functions";
  if (hash === shown) return;
  section?.close?.();
  section = openSection(hash);
  const isFirst = shown === null;
  shown = hash;
  const name = hash.startsWith("function/") ? "functions" : hash;
  for (const [each, { link }] of links) setAttribute(link, "aria-current", each === name ? "page" : null);
  content.replaceChildren(section.element);
  if (!isFirst) {
    content.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
}

function openSection(hash) {
  if (hash.startsWith("function/")) return openFunction({ name: decoded(hash.slice("function/".length)), redraw });
  return (Object.hasOwn(SECTIONS, hash) ? SECTIONS[hash][1] : openFunctions)({ redraw });
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function installSections() {
  for (const [name, [title]] of Object.entries(SECTIONS)) {
    const badge = el("span", { class: "count" });
    const link = el("a", { href: `#${name}` }, title, " ", badge);
    links.set(name, { link, badge });
    document.getElementById("sections").append(el("li", {}, link));
  }
}

installTheme(document.getElementById("theme"));
installKeys(search, document.getElementById("keys"));
installSummary();
installSections();
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  content.focus();
});
search.addEventListener("input", redraw);
window.addEventListener("hashchange", redraw);
store.onChange = redraw;
setInterval(() => updateFreshness(store), 1000);
connection.run();
