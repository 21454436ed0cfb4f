// Which page is shown: the address decides. Pages are modules with show(main, {path, given}, runs).

import { ask, h, parse, say } from "./dom.js";
import { everywhere, help, loading, onPage, shown } from "./keys.js";

const PAGES = {
  groups: { title: "Groups", load: () => import("./gallery.js") },
  compare: { title: "Compare", load: () => import("./compare.js") },
  run: { title: "Run", load: () => import("./run.js") },
  group: { load: () => import("./group.js") },
};

const main = document.getElementById("main");
let runs = [];
let leave = () => {};
let turn = 0;

async function route() {
  const asked = parse(location.hash);
  const name = asked.page in PAGES ? asked.page : "groups";
  const mine = ++turn;
  leave();
  leave = () => {};
  loading();
  document.querySelectorAll("#pages a").forEach((link) => {
    const current = link.dataset.page === name || (name === "group" && link.dataset.page === "groups");
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  });
  try {
    const page = await PAGES[name].load();
    if (mine !== turn) return;
    main.replaceChildren();
    main.className = `page-${name}`;
    leave = (await page.show(main, asked, runs)) ?? (() => {});
    if (mine !== turn) leave();
    else shown();
  } catch (error) {
    if (mine !== turn) return;
    onPage([]);
    fault(error);
  }
}

function fault(error) {
  main.replaceChildren(h("div", { class: "fault", role: "alert" }, h("h1", {}, "This cannot be shown"),
    h("p", {}, error.message), h("p", {}, h("a", { href: "#groups" }, "All groups"))));
}

function theme(next) {
  const dark = next === "dark";
  document.documentElement.dataset.theme = next;
  document.getElementById("theme").textContent = dark ? "Light" : "Dark";
  document.dispatchEvent(new CustomEvent("theme"));
}

function otherTheme() {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", next);
  theme(next);
}

async function reread() {
  runs = await ask("/api/reread", { method: "POST" });
  say("The run was read again");
  route();
}

async function start() {
  theme(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
  document.getElementById("theme").addEventListener("click", otherTheme);
  document.getElementById("help").addEventListener("click", help);
  document.getElementById("reread").addEventListener("click", reread);
  document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
  everywhere([
    { keys: ["?"], says: "this list of keys", does: help },
    { keys: ["g"], says: "groups", does: () => { location.hash = "#groups"; } },
    { keys: ["v"], says: "compare", does: () => { location.hash = "#compare"; } },
    { keys: ["u"], says: "the run: stages, curves, results", does: () => { location.hash = "#run"; } },
    { keys: ["d"], says: "light or dark", does: otherTheme },
    { keys: ["r"], says: "read the run again", does: reread },
  ]);
  try {
    runs = await ask("/api/run");
  } catch (error) {
    fault(error);
    return;
  }
  const named = runs.map((run) => run.name).join(" | ");
  document.title = `${named}: HMR-Align viewer`;
  document.getElementById("run-name").textContent = named;
  document.getElementById("pages").append(...Object.entries(PAGES).filter(([, page]) => page.title)
    .map(([key, page]) => h("a", { href: `#${key}`, "data-page": key }, page.title)));
  addEventListener("hashchange", route);
  route();
}

start();
