/** The dialog: asks, does it, and shows the daemon's answer. */

import { hasToken, keepToken } from "./api.js";
import { button, el } from "./dom.js";

const dialog = document.getElementById("dialog");

/** Whether a dialog is open. */
export function isOpen() {
  return dialog.open;
}

/**
 * Confirm an action, run it and show the answer.
 *
 * @param {object} action
 * @param {string} action.title
 * @param {string[]} action.lines what it will do
 * @param {string} action.verb on the button
 * @param {boolean} [action.isFinal] it cannot be undone
 * @param {?HTMLInputElement} [action.input] one more thing to ask for, with its name as aria-label
 * @param {(token: ?string) => Promise<string>} action.run sends it; its value is the answer in words
 */
export function confirm({ title, lines, verb, isFinal = false, input = null, run }) {
  const token = hasToken() ? null : tokenField();
  const answer = el("p", { class: "answer", role: "status" });
  const close = button("Cancel", () => dialog.close());
  const go = el("button", { type: "submit", class: isFinal ? "danger" : "primary", text: verb });
  const fields = el("div", { class: "fields" }, ...(input ? [labelled(input)] : []), ...(token ? [labelled(token)] : []));
  const form = el("form", {
    submit: async (event) => {
      event.preventDefault();
      go.disabled = true;
      tell(answer, "", "Waiting for the daemon…");
      try {
        tell(answer, "done", await run(form.token?.value ?? null));
        fields.remove();
        go.remove();
        close.textContent = "Close";
        close.focus();
      } catch (error) {
        refused(error, answer, fields, form);
        go.disabled = false;
      }
    },
  }, ...lines.map((text) => el("p", { text })), isFinal ? el("p", { class: "final", text: "This cannot be undone." }) : "",
  fields, answer, el("p", { class: "buttons" }, close, go));
  show(title, form);
  // Enter must not do by accident what cannot be undone.
  (input ?? token ?? (isFinal ? close : go)).focus();
}

function refused(error, answer, fields, form) {
  const isToken = error.status === 401;
  tell(answer, "failed", isToken ? "The token is wrong: nothing was changed." : `Not done: ${error.message}`);
  if (!isToken) return;
  if (!form.token) fields.append(labelled(tokenField()));
  form.token.value = "";
  form.token.focus();
}

function tell(answer, kind, text) {
  answer.className = `answer ${kind}`;
  answer.textContent = text;
}

/** Ask for the token without which nothing can be read. `done` is called when there is one. */
export function askForToken(done) {
  const token = tokenField();
  const form = el("form", {
    submit: (event) => {
      event.preventDefault();
      keepToken(token.value);
      dialog.close();
      done();
    },
  }, el("p", { text: `This daemon shows its figures only with a token${hasToken() ? ", and refuses the one that was given" : ""}.` }),
  labelled(token), el("p", { class: "buttons" }, el("button", { type: "submit", class: "primary", text: "Show" })));
  show("Token", form, { isRequired: true });
  token.focus();
}

/** Show some nodes with a button to close them. */
export function inform(title, ...nodes) {
  const close = button("Close", () => dialog.close());
  show(title, el("div", {}, ...nodes, el("p", { class: "buttons" }, close)));
  close.focus();
}

/** `isRequired`: Esc does not close it. */
function show(title, body, { isRequired = false } = {}) {
  dialog.setAttribute("closedby", isRequired ? "none" : "closerequest");
  dialog.oncancel = isRequired ? (event) => event.preventDefault() : null;
  dialog.replaceChildren(el("h2", { id: "dialog-title", text: title }), body);
  if (!dialog.open) dialog.showModal();
}

function tokenField() {
  const attributes = { type: "password", name: "token", required: true, autocomplete: "off", "aria-label": "Token" };
  return el("input", attributes);
}

function labelled(input) {
  return el("label", {}, el("span", { text: input.getAttribute("aria-label") }), input);
}
