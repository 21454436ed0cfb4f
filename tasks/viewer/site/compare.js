// Two opinions on the same people: two critics, two generations or two runs.

import { address, ask, choice, h, number, picture, remember, signed, whole } from "./dom.js";
import { scatter } from "./charts.js";
import { onPage } from "./keys.js";

const SHOWN = 100;

export async function show(main, { given }, runs) {
  const sides = { a: first(given.get("a"), runs, 0), b: first(given.get("b"), runs, 1) };
  const pickers = h("div", { class: "sides" });
  const out = h("div", {});
  main.append(h("h1", {}, "Compare"), h("p", { class: "soft" }, "Two critics on the same groups, or two generations or runs on the same people. Those that differ most come first."), pickers, out);

  function draw() {
    pickers.replaceChildren(picker("a"), h("button", { type: "button", onclick: swap, "aria-label": "Exchange A and B" }, "⇄"), picker("b"));
  }
  function picker(name) {
    const side = sides[name], run = runs[side.run];
    return h("fieldset", {}, h("legend", {}, name.toUpperCase()),
      runs.length > 1 ? choice("Run", runs.map((one, k) => [String(k), one.name]), String(side.run), (k) => set(name, valid({ ...side, run: Number(k) }, runs))) : null,
      choice("Generation", Object.keys(run.gens).map((gen) => [gen, gen]), side.gen, (gen) => set(name, { ...side, gen })),
      choice("Critic", Object.keys(run.critics).map((critic) => [critic, critic]), side.critic, (critic) => set(name, { ...side, critic })));
  }
  function set(name, side) {
    sides[name] = side;
    draw();
    compare();
  }
  function swap() {
    [sides.a, sides.b] = [sides.b, sides.a];
    draw();
    compare();
  }
  async function compare() {
    const asked = Object.fromEntries(Object.entries(sides).map(([name, side]) => [name, `${side.run},${side.gen},${side.critic}`]));
    remember(asked);
    try {
      out.replaceChildren(...shown(await ask(`/api/compare?${new URLSearchParams(asked)}`), sides, runs));
    } catch (error) {
      out.replaceChildren(h("p", { class: "none", role: "alert" }, error.message));
    }
  }
  onPage([{ keys: ["x"], says: "exchange A and B", does: swap }]);
  draw();
  await compare();
}

function first(text, runs, place) {
  const [run, gen, critic] = (text ?? "").split(",");
  const number = text ? Number(run) : Math.min(place, runs.length - 1);
  const critics = Object.keys(runs[number]?.critics ?? {});
  return valid({ run: number, gen, critic: critic ?? critics[runs.length > 1 ? 0 : Math.min(place, critics.length - 1)] }, runs);
}

function valid(side, runs) {
  const run = runs[side.run] ?? runs[0];
  return { run: runs.indexOf(run), gen: side.gen in run.gens ? side.gen : Object.keys(run.gens)[0],
    critic: side.critic in run.critics ? side.critic : Object.keys(run.critics)[0] ?? "" };
}

function shown(found, sides, runs) {
  const [a, b] = [sides.a, sides.b].map((side) => (runs.length > 1 ? `${runs[side.run].name}, ` : "") + `${side.gen}, ${side.critic}`);
  const facts = [["groups compared", whole(found.groups.length)], ["mean score, B − A", signed(found.mean_change)],
    ...(found.same_meshes ? [["rank correlation", number(found.correlation, 2)], ["same favourite", found.same_favourite === undefined ? "–" : `${Math.round(100 * found.same_favourite)} %`]] : [])];
  const heads = ["group", "A", "B", "B − A", ...(found.same_meshes ? ["rank correlation", "favourite of A, B", "furthest mover"] : ["2-D distance, B − A, px", "true error, B − A, mm"]), "picture"];
  const body = h("tbody", {});
  let count = 0;
  const more = h("button", { type: "button", onclick: add }, "Show more");
  function add() {
    body.append(...found.groups.slice(count, count + SHOWN).map((group) => row(group, found.same_meshes, sides, heads.length)));
    count += SHOWN;
    more.hidden = count >= found.groups.length;
  }
  add();
  return [h("dl", { class: "sum" }, facts.map(([what, value]) => h("div", {}, h("dt", {}, what), h("dd", {}, value)))),
    h("div", { class: "two" }, h("section", {}, h("h2", {}, found.same_meshes ? "Scores of each hypothesis" : "Mean score of each group"), scatter(found.points, a, b)),
      h("section", {}, h("h2", {}, found.same_meshes ? "Who changed rank, the least agreement first" : "Who changed, the most first"),
        h("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": "Groups compared" }, h("table", {}, h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))), body)), more))];
}

function row(group, same, sides, width) {
  const side = sides.b;
  const change = (value, digits) => h("td", { class: value > 0 ? "up" : value < 0 ? "down" : "" }, signed(value, digits));
  const link = address("group", [String(side.run), side.gen, group.group_id], { critic: side.critic, ...(same ? { h: group.mover } : {}) });
  const strip = `/api/strip?${new URLSearchParams(Object.fromEntries(["a", "b"].map((name, k) => [name, `${sides[name].run},${sides[name].gen},${group.favourites[k]},${group.group_id}`])))}`;
  const line = h("tr", {}, h("th", { scope: "row" }, h("a", { class: "who", href: link },
    h("img", { src: picture(side.run, side.gen, group.group_id, "card", group.favourites?.[1] ?? 0, 128), alt: "", loading: "lazy", width: 52, height: 52 }), group.group_id)), h("td", {}, number(group.a)), h("td", {}, number(group.b)), change(group.change),
    same ? [h("td", {}, number(group.correlation, 2)), h("td", {}, group.favourites.map((place) => `#${place + 1}`).join(", ")),
      h("td", {}, group.from === null ? "–" : `#${group.mover + 1}: rank ${number(group.from, 0)} → ${number(group.to, 0)}`)]
      : [h("td", {}, signed(group.distance)), h("td", {}, signed(group.error))],
    h("td", {}, h("button", { type: "button", "aria-expanded": "false", "aria-label": `The favourites of A and B on ${group.group_id}`, onclick: (event) => unfold(event.currentTarget) }, "A | B")));

  function unfold(button) {
    const open = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!open));
    if (open) line.nextSibling.remove();
    else line.after(h("tr", { class: "strip-row" }, h("td", { colSpan: width }, h("img", { src: strip, width: 1956, height: 396, alt: `${group.group_id}: photograph, then the favourites of A and of B, each from front and side` }), h("a", { href: strip, download: `${group.group_id}_A_B.jpg` }, "Download this picture"))));
  }
  return line;
}
