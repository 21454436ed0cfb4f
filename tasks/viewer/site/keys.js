// The keyboard: one table of keys for each page, from which both the keys and their help are made.

import { h } from "./dom.js";

const EVERYWHERE = [];
let here = [];
let early = null; // keys pressed while a page is loaded, for that page; null = a page is shown

/** Keys of every page: {keys: ["?"], says: "...", does: f}. */
export function everywhere(keys) {
  EVERYWHERE.push(...keys);
}

/** A page is being loaded: its keys may come before it. */
export function loading() {
  here = [];
  early = [];
}

/** Keys of the page that is shown now. */
export function onPage(keys) {
  const events = early ?? [];
  here = keys;
  early = null;
  events.forEach(press);
}

/** The page is there, whether it has keys or not. */
export function shown() {
  if (early) onPage([]);
}

/** Do what a key stands for; false if it stands for nothing here, or for nothing now. */
function press(event) {
  const found = [...here, ...EVERYWHERE].find((one) => one.keys.includes(event.key));
  return Boolean(found) && found.does(event) !== false;
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
  if (press(event)) event.preventDefault();
  else if (early) early.push(event);
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
