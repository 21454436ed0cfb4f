// The keyboard: one table of keys for each page, from which both the keys and their help are made.

import { h } from "./dom.js";

const EVERYWHERE = [];
let here = [];

/** Keys of every page: {keys: ["?"], says: "...", does: f}. */
export function everywhere(keys) {
  EVERYWHERE.push(...keys);
}

/** Keys of the page that is shown now. */
export function onPage(keys) {
  here = keys;
}

/** Whether the user is writing, so that letters are text. */
function writing(target) {
  return target.isContentEditable || target.tagName === "TEXTAREA" || target.tagName === "SELECT"
    || (target.tagName === "INPUT" && !["checkbox", "radio", "range", "button"].includes(target.type));
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  const dialog = document.querySelector("dialog[open]");
  if (dialog) return; // Escape closes it
  if (writing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const found = [...here, ...EVERYWHERE].find((one) => one.keys.includes(event.key));
  if (!found) return;
  if (found.does(event) !== false) event.preventDefault();
});

const NAMES = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", " ": "space", Escape: "Esc" };

/** Show all keys. */
export function help() {
  const dialog = document.getElementById("keys");
  const rows = (keys) => keys.filter((one) => one.says).map((one) =>
    h("div", {}, h("dt", {}, (one.shown ?? one.keys).map((key) => h("kbd", {}, NAMES[key] ?? key))), h("dd", {}, one.says)));
  dialog.replaceChildren(
    h("header", {}, h("h2", { id: "keys-title" }, "Keys"),
      h("button", { type: "button", onclick: () => dialog.close(), autofocus: true }, "Close")),
    h("div", { class: "key-columns" },
      h("section", {}, h("h3", {}, "On this page"), h("dl", {}, rows(here))),
      h("section", {}, h("h3", {}, "Everywhere"), h("dl", {}, rows(EVERYWHERE)))));
  dialog.showModal();
}
