// The run as a whole: stages as a timeline, learning curves, results.

import { ask, colour, h, number, signed, whole } from "./dom.js";
import { curves } from "./charts.js";

const ESTIMATES = { zero_noise: "zero noise", mean: "mean of the group", medoid: "medoid", selected: "chosen by the critic", fused: "mean of its first five", best_of_g: "best of the group (oracle)" };

export async function show(main, _, runs) {
  const found = await ask("/api/details");
  found.forEach((run, place) => main.append(h("article", {}, h("h1", {}, run.name), summary(runs[place]), timeline(run.stages),
    ...rounds(run.rounds), strips(run.strips, place), results(run), settings(run))));
}

function summary(run) {
  return h("dl", { class: "sum" }, [["groups", whole(run.groups)], ["hypotheses", whole(run.hypotheses)],
    ["generations", Object.keys(run.gens).length], ["datasets", Object.keys(run.datasets).join(", ")],
    ["critics", Object.keys(run.critics).join(", ") || "none"]].map(([what, value]) => h("div", {}, h("dt", {}, what), h("dd", {}, String(value)))));
}

function timeline(stages) {
  if (!stages.length) return null;
  const total = stages.reduce((sum, one) => sum + one.seconds, 0) || 1;
  let before = 0;
  return h("section", {}, h("h2", {}, `Stages, one after another: ${duration(total)}`), h("div", { class: "times" }, stages.map((one) => {
    const bar = h("i", { style: { left: `${(100 * before) / total}%`, width: `${(100 * one.seconds) / total}%` } });
    before += one.seconds;
    return [h("span", {}, one.name), h("span", { class: "lane" }, bar), h("span", { class: "r" }, duration(one.seconds)),
      h("span", { class: "r items" }, one.items ? `${whole(one.items)} items` : "")];
  })));
}

function rounds(all) {
  if (!all.length) return [];
  const evaluated = joined(all, "evaluations"), trained = joined(all, "curves");
  const line = (table, key, name, more = {}) => (table.columns[key] ? [{ name, x: table.step, y: table.columns[key], ...more }] : []);
  const how = { breaks: trained.breaks, rings: all.map((round, k) => trained.starts[k] + (round.best_step ?? -1)) };
  const both = (key) => [...line(trained, `${key}/joints`, "joints"), ...line(trained, `${key}/twists`, "twists"), ...line(trained, `${key}/all`, "all")];
  const plots = [
    curves("validation MPJPE, mm", [...line(evaluated, "zero_noise_mm", "zero noise", { marked: true }), ...line(evaluated, "best_of_g_mm", "best of the group", { marked: true })], { ...how, unit: "mm" }),
    curves("validation diversity, mm", line(evaluated, "diversity_mm", "diversity", { marked: true }), { ...how, unit: "mm" }),
    curves("group statistic S (below 0 = progress)", both("S"), { ...how, zero: true }),
    curves("winners, change of the noise error", both("winner_change"), { ...how, zero: true }),
    curves("losers, change of the noise error", both("loser_change"), { ...how, zero: true }),
    curves("loss", [...line(trained, "loss", "whole"), ...line(trained, "loss/preference", "preference", { dashed: true }), ...line(trained, "loss/anchor", "anchor"), ...line(trained, "loss/kappa", "pull to the reference")], how),
    curves("gradient norm before clipping", line(trained, "gradient_norm", "norm"), how),
    curves("reward of the groups", line(trained, "reward", "reward"), how),
  ].filter(Boolean);
  return [h("section", {}, h("h2", {}, "Learning curves"), h("p", { class: "soft" }, all.map((round) =>
    `Round ${round.number}: ${round.best_step ? `step ${round.best_step} was kept` : "the start was kept"}${round.reason ? `; the guard: ${round.reason}` : ""}. `)),
  h("div", { class: "plots" }, plots))];
}

function joined(all, name) {
  const step = [], columns = {}, breaks = [], starts = [];
  let offset = 0;
  for (const round of all) {
    const table = round[name];
    starts.push(offset);
    if (!table.step) continue;
    if (offset) breaks.push(offset);
    const before = step.length;
    step.push(...table.step.map((one) => one + offset));
    for (const [key, values] of Object.entries(table)) {
      columns[key] ??= [];
      while (columns[key].length < before) columns[key].push(null);
      columns[key].push(...values);
    }
    offset += Math.max(...table.step);
  }
  for (const values of Object.values(columns)) while (values.length < step.length) values.push(null);
  return { step, columns, breaks, starts };
}

function strips(all, place) {
  if (!all.length) return null;
  return h("section", {}, h("h2", {}, "People before and after alignment"),
    h("p", { class: "soft" }, "Drawn from the same noise with the base and with the aligned model; from the front and from the side."),
    h("div", { class: "strips" }, all.map((one) => {
      const file = `/api/strips/${place}/${one.file}`, name = `${one.group_id}_${one.label.replace(/\W+/g, "_")}.jpg`;
      return h("figure", {}, h("figcaption", {}, h("b", {}, one.photo), ` ${/-(p\d+)$/.exec(one.group_id)?.[1] ?? ""}, ${one.label} `, h("a", { href: file, download: name }, "Download")),
        h("a", { href: file, target: "_blank" }, h("img", { src: file, loading: "lazy", width: 1636, height: 332, alt: `${one.photo}, ${one.label}: photograph, before from front and side, after from front and side` })));
    })));
}

function results(run) {
  const { before, after } = run.benchmark;
  if (!before) return null;
  const rows = Object.entries(ESTIMATES).filter(([key]) => before[key]);
  return h("section", {}, h("h2", {}, "Benchmark, mean errors in mm"), h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, ["estimate", "MPJPE before", "after", "improvement, %", "PA-MPJPE before", "after", "improvement, %"].map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, rows.map(([key, name]) => h("tr", {}, h("th", { scope: "row" }, name), ["mpjpe_mm", "pa_mpjpe_mm"].flatMap((metric) => {
      const gain = run.improvement[key]?.[metric] ?? {};
      const range = gain.low === undefined ? "" : ` [${signed(gain.low)}, ${signed(gain.high)}]`;
      return [h("td", {}, number(before[key][metric])), h("td", {}, number(after?.[key]?.[metric])), h("td", {}, signed(gain.value) + range)];
    })))))), h("p", { class: "soft" }, "Positive = the error became smaller; brackets: 95 % interval over people. Not comparable with published figures unless the body is SMPL."));
}

function settings(run) {
  return h("section", {}, h("h2", {}, "Settings that differ from the defaults"), run.differences.length
    ? h("ul", {}, run.differences.map((line) => h("li", {}, h("code", {}, line)))) : h("p", {}, "None."));
}

function duration(seconds) {
  if (seconds < 90) return `${number(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
