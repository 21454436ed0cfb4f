// Small plots as SVG: curves over steps, and points of two scores.

import { colour, h, number } from "./dom.js";

const W = 340, H = 190, LEFT = 44, RIGHT = 8, TOP = 8, BOTTOM = 30;

/** Curves: lines are {name, x, y, dashed, marked}; y may hold null. `marks` are steps with a ring. */
export function curves(title, lines, { unit = "", zero = false, breaks = [], rings = [] } = {}) {
  const drawn = lines.map((line, place) => ({ ...line, of: colour(place) })).filter((line) => line.y.some((value) => value !== null));
  if (!drawn.length) return null;
  const ys = drawn.flatMap((line) => line.y.filter((value) => value !== null));
  const xs = drawn.flatMap((line) => line.x);
  const [low, high] = spanned([...ys, ...(zero ? [0] : [])]);
  const [x, y] = [scale(Math.min(...xs), Math.max(...xs), LEFT, W - RIGHT), scale(low, high, H - BOTTOM, TOP)];
  const svg = frame(x, y, Math.min(...xs), Math.max(...xs), low, high, `${title}: ${drawn.map((line) => line.name).join(", ")}`);
  if (zero) svg.append(h("line", { class: "axis", x1: LEFT, x2: W - RIGHT, y1: y(0), y2: y(0) }));
  for (const step of breaks) svg.append(h("line", { class: "axis", "stroke-dasharray": "2 3", x1: x(step), x2: x(step), y1: TOP, y2: H - BOTTOM }));
  for (const line of drawn) {
    const points = line.x.map((step, k) => [step, line.y[k]]).filter(([, value]) => value !== null);
    svg.append(h("polyline", { points: points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" "), fill: "none",
      stroke: line.of, "stroke-width": 1.8, "stroke-dasharray": line.dashed ? "5 3" : "none" }));
    if (line.marked) for (const [a, b] of points) {
      svg.append(h("circle", { cx: x(a), cy: y(b), r: rings.includes(a) ? 6 : 3, fill: rings.includes(a) ? "none" : line.of, stroke: line.of, "stroke-width": 2 },
        h("title", {}, `${line.name}, step ${a}: ${number(b, 2)} ${unit}`)));
    }
  }
  return h("figure", { class: "plot" }, h("h3", {}, title),
    h("div", { class: "legend" }, drawn.length > 1 ? drawn.map((line) => h("span", {}, h("i", { style: { "--of": line.of, "--how": line.dashed ? "dashed" : "solid" } }), line.name)) : null), svg);
}

/** Points of two scores of 0-100, with the line on which both are equal. */
export function scatter(points, a, b) {
  const side = 360, x = scale(0, 100, LEFT, side - RIGHT), y = scale(0, 100, side - BOTTOM, TOP);
  const svg = h("svg", { viewBox: `0 0 ${side} ${side}`, role: "img", "aria-label": `${points.length} pairs of scores: ${a} across, ${b} upwards` });
  for (const tick of [0, 25, 50, 75, 100]) {
    svg.append(h("line", { class: "gridline", x1: x(tick), x2: x(tick), y1: TOP, y2: side - BOTTOM }), h("line", { class: "gridline", x1: LEFT, x2: side - RIGHT, y1: y(tick), y2: y(tick) }),
      h("text", { x: x(tick), y: side - BOTTOM + 14, "text-anchor": "middle" }, String(tick)), h("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, String(tick)));
  }
  svg.append(h("line", { class: "axis", "stroke-dasharray": "4 4", x1: x(0), y1: y(0), x2: x(100), y2: y(100) }));
  for (const [p, q] of points) svg.append(h("circle", { cx: x(p).toFixed(1), cy: y(q).toFixed(1), r: 3, class: "dot" }));
  svg.append(h("text", { x: (LEFT + side) / 2, y: side - 2, "text-anchor": "middle" }, `A: ${a}`),
    h("text", { x: 11, y: side / 2, "text-anchor": "middle", transform: `rotate(-90 11 ${side / 2})` }, `B: ${b}`));
  return h("figure", { class: "plot2" }, svg);
}

function frame(x, y, first, last, low, high, says) {
  const svg = h("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": says });
  for (const tick of ticks(low, high)) svg.append(h("line", { class: "gridline", x1: LEFT, x2: W - RIGHT, y1: y(tick), y2: y(tick) }),
    h("text", { x: LEFT - 5, y: y(tick) + 4, "text-anchor": "end" }, short(tick)));
  for (const tick of ticks(first, last)) svg.append(h("text", { x: x(tick), y: H - BOTTOM + 15, "text-anchor": "middle" }, short(tick)));
  svg.append(h("text", { x: (LEFT + W - RIGHT) / 2, y: H - 2, "text-anchor": "middle" }, "step"));
  return svg;
}

const scale = (from, to, low, high) => (value) => low + (to === from ? 0.5 : (value - from) / (to - from)) * (high - low);

function spanned(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const air = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - air, high + air];
}

function ticks(low, high) {
  const rough = (high - low) / 4 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + 1e-9 * step; tick += step) found.push(Math.abs(tick) < step / 1e6 ? 0 : tick);
  return found;
}

const short = (value) => Number(value.toPrecision(3)).toString();
