// One group: photograph and all overlays with one zoom, what every critic said, meshes in 3-D.

import { asked } from "./asked.js";
import { address, ask, choice, colour, h, number, picture, pretty, remember, say, signed } from "./dom.js";
import { called, question, cleaned } from "./gallery.js";
import { onPage } from "./keys.js";
import { Zoom } from "./zoom.js";

const VIEWS = { front: "Front", side: "Side", top: "Top", all: "All three" };

export async function show(main, { path, given }, runs) {
  const [number_, gen, id] = path;
  const run = runs[Number(number_)] ?? runs[0];
  const where = runs.indexOf(run);
  const group = await ask(`/api/group/${where}/${encodeURIComponent(gen)}/${encodeURIComponent(id)}`);
  const critics = Object.keys(group.critics);
  const tint = Object.fromEntries(Object.keys(run.critics).map((name, place) => [name, colour(place)]));
  let critic = critics.includes(given.get("critic")) ? given.get("critic") : critics[0] ?? "";
  let view = given.get("view") in VIEWS ? given.get("view") : "front";
  let order = ordered();
  let chosen = Number(given.get("h") ?? order[0]);
  if (!group.hypotheses[chosen]) chosen = order[0];
  let scene = null;

  const bodies = { stage: h("div", { class: "stage" }), tiles: h("ol", { class: "tiles" }), detail: h("aside", { class: "detail", "aria-label": "The chosen hypothesis" }) };
  const pictures = h("div", {});
  const zoom = new Zoom(pictures, given, (state) => { remember(state); stage(); });
  const tools = h("div", { class: "toolbar" });
  const neighbours = h("div", { class: "step" });
  const meshes = h("details", { class: "fold", id: "meshes", open: given.get("mesh") === "1", ontoggle: opened }, h("summary", {}, "In 3-D ", h("small", {}, "m")));
  pictures.append(bodies.stage, bodies.tiles);
  const [name, person] = called(group);
  main.append(
    h("div", { class: "crumb" }, h("a", { class: "button", href: back() }, "← All groups"), h("h1", {}, `${name} ${person}`),
      h("span", { class: "soft" }, [runs.length > 1 ? run.name : null, gen, `${group.hypotheses.length} hypotheses`, `temperature ${number(group.temperature, 1)}`].filter(Boolean).join(" · ")), neighbours),
    h("div", { class: "group" }, h("div", { class: "seen" }, tools, pictures), bodies.detail, h("div", { class: "more" }, meshes, table(), answers())));
  if (!group.photo_is_there) tools.before(h("p", { class: "hint" }, `${group.photo || "The photograph"} is not there any more; the stored crop takes its place.`));

  function ordered() {
    const places = group.hypotheses.map((_, k) => k);
    const ranks = group.critics[critic]?.ranks;
    return ranks ? places.sort((a, b) => (ranks[a] ?? 1e9) - (ranks[b] ?? 1e9) || a - b) : places;
  }

  function back() {
    const rest = Object.fromEntries([...given].filter(([key]) => !["h", "view", "mesh", "z", "x", "y"].includes(key)));
    return address("groups", [], rest);
  }

  function toolbar() {
    tools.replaceChildren(
      choice("Ranked by", critics.map((one) => [one, one]), critic, (next) => rankBy(next)),
      h("div", { class: "set", role: "group", "aria-label": "View" }, Object.entries(VIEWS).map(([key, title]) =>
        h("button", { type: "button", "aria-pressed": String(view === key), onclick: () => look(key) }, title))),
      h("div", { class: "set", role: "group", "aria-label": "Zoom" },
        h("button", { type: "button", onclick: () => zoom.by(1 / 1.5), "aria-label": "Smaller" }, "−"),
        h("button", { type: "button", onclick: () => zoom.reset(), "aria-label": "Whole pictures" }, "1:1"),
        h("button", { type: "button", onclick: () => zoom.by(1.5), "aria-label": "Larger" }, "+")),
      h("span", { class: "hint" }, "Zoom and pan move all pictures together: wheel or + −, drag."));
  }

  function shot(which, place, size) {
    const alt = which === "photograph" ? `the photograph ${group.photo}` : `hypothesis #${place + 1}, ${which} view`;
    return h("div", { class: "pic" }, h("img", { src: picture(where, gen, id, which, which === "photograph" ? 0 : place, size), alt, decoding: "async", draggable: false, loading: size < 512 ? "lazy" : "eager" }));
  }

  function stage() {
    const size = zoom.z > 1.4 ? 1024 : 512;
    const views = view === "all" ? ["front", "side", "top"] : [view];
    const key = [size, views, chosen].join();
    if (bodies.stage.dataset.key === key) return;
    bodies.stage.dataset.key = key;
    bodies.stage.replaceChildren(
      h("figure", {}, shot("photograph", 0, size), h("figcaption", {}, group.photo || "photograph")),
      ...views.map((one) => h("figure", {}, shot(one, chosen, size), h("figcaption", {}, `#${chosen + 1}, ${one}${one === "side" ? ": the camera is on the left" : one === "top" ? ": the camera is below" : ""}`))));
  }

  function tiles() {
    const views = view === "all" ? ["front", "side", "top"] : [view];
    bodies.tiles.style.setProperty("--tile", view === "all" ? "290px" : "150px");
    bodies.tiles.replaceChildren(...order.map((place, at) => {
      const verdict = group.critics[critic];
      const score = verdict?.scores[place];
      return h("li", {}, h("button", { type: "button", class: "tile", "aria-pressed": String(place === chosen), onclick: () => choose(place), "data-h": place,
        "aria-label": `Hypothesis ${place + 1}, ${score === null || score === undefined ? "no score" : `score ${number(score, 0)}`}, place ${at + 1}` },
      h("span", { class: "views" }, views.map((one) => shot(one, place, 256))),
      h("span", { class: "mark" }, h("b", {}, score === null || score === undefined ? "–" : number(score, 0)), h("span", {}, `#${place + 1}`),
        h("span", { class: "soft" }, group.hypotheses[place].zero_start ? "zero noise" : `${number(group.hypotheses[place].distance)} px`)),
      h("span", { class: "bars", "aria-hidden": "true" }, critics.map((one) => h("i", {}, h("i", { style: { "--of": tint[one], width: `${group.critics[one].scores[place] ?? 0}%` } }))))));
    }));
  }

  function mark() {
    bodies.tiles.querySelectorAll(".tile").forEach((tile) => tile.setAttribute("aria-pressed", String(Number(tile.dataset.h) === chosen)));
    main.querySelectorAll("tr[data-h]").forEach((line) => line.classList.toggle("now", Number(line.dataset.h) === chosen));
  }

  function detail() {
    const one = group.hypotheses[chosen];
    const facts = [["2-D distance", `${number(one.distance)} px`], ["true error", one.error === null ? null : `${number(one.error)} mm`],
      ["depth", `${number(one.depth, 2)} m`], ["start", one.topology ? `a mesh of its own (${one.topology})` : one.zero_start ? "zero noise" : `seed ${one.seed}`], ["model", group.model]];
    bodies.detail.replaceChildren(
      h("h2", {}, `Hypothesis #${chosen + 1}`), h("p", { class: "soft" }, `place ${order.indexOf(chosen) + 1} of ${order.length} by ${critic || "nobody: no critic judged"}`),
      h("section", {}, critics.map(opinion)),
      h("section", {}, h("dl", {}, facts.filter(([, value]) => value !== null).map(([what, value]) => [h("dt", {}, what), h("dd", {}, value)]))));
  }

  function opinion(name) {
    const verdict = group.critics[name];
    const score = verdict.scores[chosen], error = verdict.uncertainty?.[chosen], status = verdict.statuses[chosen];
    const known = score !== null;
    return h("div", { class: "opinion", style: { "--of": tint[name] } },
      h("header", {}, h("span", { class: "swatch" }), h("b", {}, name), h("span", { class: "big" }, known ? number(score, 0) : status.replaceAll("_", " "))),
      h("div", { class: "meter", role: "img", "aria-label": known ? `score ${number(score, 0)} of 100` : "no score" }, known ? h("i", { style: { width: `${score}%` } }) : null,
        known && error ? h("u", { style: { left: `${Math.max(0, score - error)}%`, width: `${2 * error}%` } }) : null),
      h("p", {}, verdict.comments[chosen] || "no comment"),
      h("p", { class: "numbers" }, known ? `rank ${number(verdict.ranks[chosen], verdict.ranks[chosen] % 1 ? 1 : 0)} · advantage ${signed(verdict.advantages[chosen], 2)}${error ? ` · ± ${number(error)}` : ""}` : "no rank, no advantage: it teaches nothing"));
  }

  function table() {
    const head = [h("th", { scope: "col" }, "hypothesis"), ...critics.flatMap((name) => [h("th", { scope: "col" }, name), h("th", { scope: "col" }, "advantage")]), h("th", { scope: "col" }, "2-D, px"), h("th", { scope: "col" }, "error, mm")];
    return h("details", { class: "fold" }, h("summary", {}, "All numbers"), h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "All numbers" }, h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, group.hypotheses.map((one, k) =>
      h("tr", { "data-h": k }, h("th", { scope: "row" }, h("button", { type: "button", onclick: () => choose(k) }, `#${k + 1}`)),
        critics.flatMap((name) => [h("td", {}, number(group.critics[name].scores[k])), h("td", {}, signed(group.critics[name].advantages[k], 2))]),
        h("td", {}, number(one.distance)), h("td", {}, number(one.error))))))));
  }

  function answers() {
    const told = critics.filter((name) => group.critics[name].answers.length || group.critics[name].rules.length || group.critics[name].about);
    if (!told.length) return null;
    return h("details", { class: "fold" }, h("summary", {}, "Critics: versions, rules, requests, raw answers"), told.map((name) => {
      const verdict = group.critics[name];
      return h("section", {}, h("h3", {}, name),
        h("p", { class: "soft" }, `${number(verdict.seconds, 2)} s${verdict.cost ? ` · cost ${number(verdict.cost, 4)}` : ""}`),
        verdict.rules.length ? [h("p", {}, "Rules that it was shown:"), h("ul", { class: "rules" }, verdict.rules.map((rule) => h("li", {}, rule.text ?? "(its memory is not here)", " ", h("code", {}, rule.id))))] : null,
        verdict.servers.map((server) => asked({ where, gen, id, critic: server })),
        verdict.answers.map((answer, k) => h("div", { class: "answer" },
          h("p", { class: "soft" }, `Answer ${k + 1}: ${answer.model}, ${answer.status}${answer.finish_reason ? `, ended by ${answer.finish_reason}` : ""}, ${answer.prompt_tokens} tokens sent, ${answer.completion_tokens} received, ${number(answer.seconds, 2)} s, ${answer.tries} ${answer.tries === 1 ? "try" : "tries"}`),
          answer.order.length ? h("p", { class: "soft" }, `Shown as image_2, image_3, …: ${answer.order.map((place) => `#${place + 1}`).join(", ")}`) : null,
          h("pre", { tabIndex: 0 }, pretty(answer.text)))),
        verdict.about ? h("details", {}, h("summary", {}, "What this version stands for"), h("div", { class: "answer" }, h("pre", { tabIndex: 0 }, JSON.stringify(verdict.about, null, 1)))) : null);
    }));
  }

  async function opened() {
    if (!meshes.open || scene) return;
    remember({ mesh: "1" });
    scene = "loading";
    const module = await import("./meshes.js");
    scene = await module.panel(meshes, { where, gen, id, group, order: () => order, chosen: () => chosen });
  }

  function choose(place) {
    chosen = place;
    remember({ h: chosen });
    stage(); mark(); detail();
    scene?.choose?.(place);
    say(`Hypothesis ${place + 1}`);
  }
  function look(next) {
    view = next;
    remember({ view: view === "front" ? "" : view });
    toolbar(); stage(); tiles();
  }
  function rankBy(next) {
    critic = next;
    order = ordered();
    remember({ critic });
    toolbar(); tiles(); detail();
  }
  function along(step) {
    choose(order[(order.indexOf(chosen) + step + order.length) % order.length]);
    bodies.tiles.querySelector(`[data-h="${chosen}"]`)?.scrollIntoView({ block: "nearest" });
  }

  async function beside() {
    if (!given.has("at")) return;
    const at = Number(given.get("at"));
    const { sort, ...rest } = cleaned(question(given, run));
    const start = Math.max(0, at - 1);
    const near = await ask(`/api/groups?${new URLSearchParams({ ...rest, run: where, ...(sort ? { sort } : {}), start, count: 3 })}`);
    const link = (place, text, key) => {
      const row = near.rows[place - start];
      const kept = Object.fromEntries([...given].filter(([name_]) => !["h", "z", "x", "y"].includes(name_)));
      return h("a", { href: row && place >= 0 ? address("group", [String(where), row.gen, row.group_id], { ...kept, at: place, view: view === "front" ? "" : view }) : null, "data-key": key, "aria-disabled": row && place >= 0 ? null : "true" }, text);
    };
    neighbours.replaceChildren(link(at - 1, "← Previous (k)", "k"), link(at + 1, "Next (j) →", "j"));
  }
  const neighbour = (key) => neighbours.querySelector(`[data-key="${key}"][href]`)?.click();

  onPage([
    { keys: ["ArrowRight"], shown: ["ArrowLeft", "ArrowRight"], says: "next or previous hypothesis, by rank", does: (event) => (event.target.tagName === "CANVAS" ? false : along(1)) },
    { keys: ["ArrowLeft"], does: (event) => (event.target.tagName === "CANVAS" ? false : along(-1)) },
    { keys: ["1", "2", "3", "4", "5", "6", "7", "8", "9"], shown: ["1", "…", "9"], says: "the hypothesis at that rank", does: (event) => { const place = order[Number(event.key) - 1]; if (place !== undefined) choose(place); } },
    { keys: ["j"], shown: ["j", "k"], says: "next or previous group of the list", does: () => neighbour("j") },
    { keys: ["k"], does: () => neighbour("k") },
    { keys: ["f"], says: "front view", does: () => look("front") },
    { keys: ["s"], says: "side view", does: () => look("side") },
    { keys: ["t"], says: "top view", does: () => look("top") },
    { keys: ["a"], says: "all three views", does: () => look("all") },
    { keys: ["c"], says: "rank by the next critic", does: () => critics.length && rankBy(critics[(critics.indexOf(critic) + 1) % critics.length]) },
    { keys: ["+", "="], shown: ["+", "-"], says: "zoom", does: () => zoom.by(1.5) },
    { keys: ["-"], does: () => zoom.by(1 / 1.5) },
    { keys: ["0"], says: "whole pictures", does: () => zoom.reset() },
    { keys: ["m"], says: "meshes in 3-D", does: () => { meshes.open = !meshes.open; if (meshes.open) meshes.scrollIntoView({ block: "nearest" }); } },
    { keys: ["w"], says: "3-D: wireframe", does: () => scene?.toggle?.("wire") },
    { keys: ["p"], says: "3-D: photograph behind", does: () => scene?.toggle?.("board") },
    { keys: ["e"], says: "3-D: spread of the joints", does: () => scene?.toggle?.("spread") },
    { keys: ["b"], says: "3-D: hold this hypothesis as the second one", does: () => scene?.hold?.(chosen) },
    { keys: ["Escape"], says: "all groups", does: () => { location.hash = back(); } },
  ]);
  toolbar(); stage(); tiles(); detail(); mark();
  beside();
  return () => { zoom.end(); scene?.end?.(); };
}
