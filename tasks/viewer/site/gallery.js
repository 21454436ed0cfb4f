// All groups as cards: filtered, sorted and searched by the server; only cards near the window exist.

import { address, ask, choice, crop, h, number, picture, remember, say, whole } from "./dom.js";
import { onPage } from "./keys.js";

let ready = false; // whether the server can draw meshes
const PAGE = 60; // rows in one question to the server
const KEPT = 12; // answers that are kept
const QUESTION = ["run", "critic", "gen", "dataset", "status", "tag", "words", "sort"];

/** The question that an address asks; `limits` are the parameters min.NAME and max.NAME. */
export function question(given, run) {
  const asked = Object.fromEntries(QUESTION.map((key) => [key, given.get(key) ?? ""]));
  if (!(asked.critic in run.critics)) asked.critic = Object.keys(run.critics)[0] ?? "";
  const limits = Object.fromEntries([...given].filter(([key]) => /^(min|max)\./.test(key)));
  return { ...asked, ...limits };
}

export async function show(main, { given }, runs) {
  const where = Number(given.get("run") ?? 0) in runs ? Number(given.get("run") ?? 0) : 0;
  const run = runs[where];
  let asked = question(given, run);
  let matched = 0, columns = 1, height = 1, bare = false;
  let left = false;
  let cursor = Number(given.get("at") ?? 0);
  let pages = new Map();
  let turn = 0;

  const list = h("div", { class: "cards", role: "list", "aria-label": "Groups" });
  const count = h("p", { class: "count", "aria-live": "polite" });
  const search = h("input", {
    type: "search", placeholder: "Search comments, photographs, ids", value: asked.words, "aria-label": "Search",
    oninput: later((event) => change({ words: event.target.value }), 120),
  });
  const filters = h("div", { class: "filters" });
  const sorts = h("div", { class: "sorts" });
  main.append(
    h("h1", { class: "sr" }, `Groups of ${run.name}`),
    h("aside", { class: "side" }, h("details", { class: "drawer", open: innerWidth > 900 }, h("summary", {}, "Filters"), filters)),
    h("section", { class: "main-column" }, h("div", { class: "bar" }, search, sorts, count), list));

  function controls() {
    const statuses = Object.entries(run.critics[asked.critic]?.statuses ?? {});
    filters.replaceChildren(
      ...(runs.length > 1 ? [choice("Run", runs.map((one, k) => [String(k), one.name]), String(where), (k) => { location.hash = address("groups", [], { run: k === "0" ? "" : k }); })] : []),
      choice("Critic", Object.keys(run.critics).map((name) => [name, name]), asked.critic, (critic) => change({ critic, status: "" })),
      choice("Generation", all(run.gens), asked.gen, (gen) => change({ gen })),
      choice("Dataset", all(run.datasets), asked.dataset, (dataset) => change({ dataset })),
      choice("Status", [["", "any"], ...statuses.map(([name, n]) => [name, `${name.replaceAll("_", " ")} (${whole(n)})`])],
        asked.status, (status) => change({ status })),
      choice("Comments speak of", [["", "anything"], ...run.tags.map((tag) => [tag, tag.replaceAll("_", " ")])], asked.tag, (tag) => change({ tag })),
      h("fieldset", {}, h("legend", {}, "Between"),
        Object.entries(run.sorts).filter(([key]) => key !== "order").map(([key, title]) =>
          h("div", { class: "range" }, h("span", { id: `range-${key}` }, title),
            ["min", "max"].map((end) => h("input", {
              type: "number", step: "any", placeholder: end === "min" ? "from" : "to", value: asked[`${end}.${key}`] ?? "",
              "aria-label": `${title}, ${end === "min" ? "at least" : "at most"}`,
              oninput: later((event) => change({ [`${end}.${key}`]: event.target.value }), 200),
            }))))),
      h("button", { type: "button", onclick: () => { location.hash = "#groups"; } }, "Show all"));
    const down = asked.sort.startsWith("-");
    const key = asked.sort.replace(/^-/, "") || "order";
    sorts.replaceChildren(
      choice("Sort by", Object.entries({ ...run.sorts, ...run.orders }), key, (next) => change({ sort: next === "order" ? "" : (next in run.orders || next === "distance" || next.includes("error") ? "" : "-") + next })),
      h("button", { type: "button", class: "square", "aria-label": down ? "Sorted downwards; turn" : "Sorted upwards; turn",
        onclick: turned }, down ? "↓" : "↑"));
  }

  function turned() {
    const key = asked.sort.replace(/^-/, "") || "order";
    change({ sort: asked.sort.startsWith("-") ? (key === "order" ? "" : key) : `-${key}` });
  }

  function change(next) {
    asked = { ...asked, ...next };
    Object.keys(asked).filter((key) => asked[key] === "" && key.includes(".")).forEach((key) => delete asked[key]);
    cursor = 0;
    const kept = Object.fromEntries(Object.keys(next).map((key) => [key, asked[key] ?? ""]));
    remember({ ...kept, at: "" });
    if (!("words" in next) && !Object.keys(next)[0].includes(".")) controls();
    scrollTo(0, 0);
    return read();
  }

  async function read() {
    const mine = ++turn;
    for (const card of list.children) dropped(card); // pictures that nobody will see must not keep the answer waiting
    pages = new Map();
    const first = await rows(0);
    if (mine !== turn) return;
    matched = first.matched;
    count.textContent = matched === run.groups ? `${whole(matched)} groups` : `${whole(matched)} of ${whole(run.groups)} groups`;
    list.replaceChildren();
    list.dataset.answers = turn;
    if (!matched) list.append(h("p", { class: "none" }, "No group fits. ", h("a", { href: "#groups" }, "Show all")));
    place();
  }

  function rows(page) {
    if (!pages.has(page)) {
      if (pages.size >= KEPT) pages.delete(pages.keys().next().value);
      const { sort, ...rest } = asked;
      const query = new URLSearchParams({ ...rest, ...(sort ? { sort } : {}), start: page * PAGE, count: PAGE });
      pages.set(page, ask(`/api/groups?${query}`));
    }
    return pages.get(page);
  }

  /** Stop loading the picture of a card. */
  function dropped(card) {
    const image = card.querySelector("img");
    if (image && !image.complete) image.removeAttribute("src");
    return card;
  }
  const drop = (card) => dropped(card).remove();

  function measure() {
    const width = list.clientWidth;
    const least = innerWidth < 520 ? 150 : 196;
    columns = Math.max(1, Math.floor((width + 14) / (least + 14)));
    const side = (width - 14 * (columns - 1)) / columns;
    height = Math.round(side + 112) + 14;
    list.style.setProperty("--columns", columns);
    list.style.height = `${Math.ceil(matched / columns) * height}px`;
  }

  async function place() {
    if (!matched) return;
    measure();
    const top = list.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor((-top - 300) / height)) * columns;
    const last = Math.min(matched, Math.ceil((innerHeight - top + 300) / height) * columns);
    for (const card of [...list.children]) {
      const at = Number(card.dataset.at);
      if (at < first || at >= last) drop(card);
    }
    const there = new Map([...list.children].map((card) => [Number(card.dataset.at), card]));
    const mine = turn;
    for (let at = first; at < last; at++) {
      const put = (card) => {
        card.style.transform = `translate(${(at % columns) * 100}%, ${Math.floor(at / columns) * height}px)`;
        card.style.height = `${height - 14}px`;
      };
      if (there.has(at)) { put(there.get(at)); continue; }
      const page = await rows(Math.floor(at / PAGE));
      if (mine !== turn) return;
      if (list.querySelector(`[data-at="${at}"]`)) continue;
      const card = cardOf(page.rows[at - page.start], at);
      card.row = page.rows[at - page.start];
      put(card);
      list.append(card);
    }
  }

  function cardOf(row, at) {
    const [name, person] = called(row);
    const facts = [
      ["2-D", row.distance, "px", 1, "distance of the zero-noise body to the landmarks, px of a 256 px crop"], ["spread", row.spread, "", 0, "standard deviation of the scores"],
      ["disagree", row.disagreement, "", 2, "of the critics: 0 = they rank alike, 1 = unrelated, 2 = in reverse"], ["error", row.error, "mm", 0, "true MPJPE of the zero-noise body"],
    ].filter(([, value]) => value !== null && value !== undefined);
    const link = address("group", [String(where), row.gen, row.group_id], { ...cleaned(asked), at });
    return h("div", { role: "listitem", class: "slot", "data-at": at },
      h("a", { class: "card", href: link, onfocus: () => { cursor = at; } },
        h("span", { class: "shot" },
          h("img", { src: shot(row), alt: "", width: 256, height: 256,
            decoding: "async" }),
          row.status && row.status !== "ok" ? h("span", { class: "chip" }, row.status.replaceAll("_", " ")) : null,
          Object.keys(run.gens).length > 1 ? h("span", { class: "chip gen" }, row.gen) : null),
        h("span", { class: "name" }, h("b", {}, name), h("span", {}, person)),
        strip(row),
        h("span", { class: "facts" }, facts.map(([what, value, unit, digits, means]) =>
          h("span", { title: means }, `${what} `, h("b", {}, number(value, digits)), unit ? ` ${unit}` : "")))));
  }

  /** The crop that is stored, until meshes can be drawn over it. */
  function shot(row) {
    return bare || !ready ? crop(where, row.gen, row.group_id) : picture(where, row.gen, row.group_id, "card", row.favourite ?? 0, 256);
  }

  async function meshes() {
    while (!ready && !left) {
      await new Promise((done) => setTimeout(done, 400));
      if ([...list.querySelectorAll("img")].every((image) => image.complete)) ready = (await ask("/api/ready")).ready;
    }
    if (left || bare) return;
    for (const slot of list.children) if (slot.row) slot.querySelector("img").src = shot(slot.row);
    list.dataset.meshes = "drawn";
  }

  function strip(row) {
    if (!row.scores) return h("span", { class: "strip" });
    const known = row.scores.filter((score) => score !== null);
    return h("span", { class: "strip" },
      h("svg", { viewBox: "0 0 200 16", preserveAspectRatio: "none", "aria-hidden": "true" },
        h("line", { x1: 4, x2: 196, y1: 8, y2: 8, class: "track" }),
        known.map((score) => h("circle", { cx: 4 + 1.92 * score, cy: 8, r: 4, class: "dot" }))),
      h("span", {}, row.mean === null ? "no score" : `mean ${number(row.mean, 0)}, best ${number(row.best, 0)}`));
  }

  function go(step) {
    const next = Math.min(Math.max(cursor + step, 0), matched - 1);
    const top = list.getBoundingClientRect().top + scrollY;
    const y = top + Math.floor(next / columns) * height;
    if (y < scrollY + 120) scrollTo(0, y - 130);
    else if (y + height > scrollY + innerHeight) scrollTo(0, y + height - innerHeight + 20);
    cursor = next;
    place().then(() => list.querySelector(`[data-at="${next}"] a`)?.focus({ preventScroll: true }));
  }

  onPage([
    { keys: ["ArrowRight"], says: "next group", does: () => go(document.activeElement?.closest(".slot") ? 1 : 0), shown: ["ArrowLeft", "ArrowRight"] },
    { keys: ["ArrowLeft"], does: () => go(-1) },
    { keys: ["ArrowDown"], says: "a line down or up", shown: ["ArrowUp", "ArrowDown"], does: () => go(document.activeElement?.closest(".slot") ? columns : 0) },
    { keys: ["ArrowUp"], does: () => go(-columns) },
    { keys: ["Enter"], says: "open the group", does: () => false },
    { keys: ["1", "2", "3", "4", "5", "6", "7", "8", "9"], shown: ["1", "…", "9"], says: "open the group at that place of the list shown",
      does: (event) => list.querySelector(`[data-at="${firstVisible() + Number(event.key) - 1}"] a`)?.click() },
    { keys: ["/"], says: "search", does: () => { search.focus(); search.select(); } },
    { keys: ["o"], says: "with or without meshes", does: () => { bare = !bare; swap(); } },
    { keys: ["c"], says: "next critic", does: () => {
      const names = Object.keys(run.critics);
      const critic = names[(names.indexOf(asked.critic) + 1) % names.length];
      say(`Critic ${critic}`);
      change({ critic, status: "" });
    } },
    { keys: ["s"], says: "sort upwards or downwards", does: turned },
  ]);

  function firstVisible() {
    const visible = [...list.children].filter((slot) => slot.getBoundingClientRect().bottom > 140).map((slot) => Number(slot.dataset.at));
    return Math.min(...visible);
  }

  function swap() {
    [...list.children].forEach(drop);
    place();
  }

  const moved = throttled(place);
  addEventListener("scroll", moved, { passive: true });
  const sized = new ResizeObserver(moved);
  sized.observe(list);
  controls();
  await read();
  if (cursor > 0) go(0);
  meshes();
  return () => { left = true; removeEventListener("scroll", moved); sized.disconnect(); };
}

/** File name without its ending, and which person in it. */
export function called(row) {
  const person = /-(p\d+)$/.exec(row.group_id)?.[1] ?? "";
  return [row.photo ? row.photo.replace(/\.[^.]+$/, "").replaceAll("_", " ") : row.group_id, person];
}

/** Parameters that ask for something. */
export function cleaned(asked) {
  return Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== ""));
}

const all = (counts) => [["", "all"], ...Object.entries(counts).map(([name, n]) => [name, `${name} (${whole(n)})`])];

function later(work, milliseconds) {
  let waiting;
  return (event) => { clearTimeout(waiting); waiting = setTimeout(() => work(event), milliseconds); };
}

function throttled(work) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; work(); });
  };
}
