// Small helpers: elements, answers of the server, numbers as people read them.

/** An element: h("p", {class: "x", onclick: f}, "text", child, ...). Null children and attributes are left out. */
export function h(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "path", "line", "circle", "rect", "text", "polyline", "title"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else if (name in element && !svg && !["list", "form"].includes(name)) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** The answer of the server as JSON; throws what the server said if it refuses. */
export async function ask(address, options) {
  const answer = await fetch(address, options);
  const said = await answer.json().catch(() => ({ error: `${address}: ${answer.status} ${answer.statusText}` }));
  if (!answer.ok) throw new Error(said.error ?? answer.statusText);
  return said;
}

/** Numbers as floats, from bytes that the server sends. */
export async function bytes(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: ${answer.statusText}`);
  return answer.arrayBuffer();
}

/** A number with some digits, or a dash where it is not known. */
export function number(value, digits = 1) {
  return value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(digits).replace("-", "−");
}

/** The same with its sign. */
export function signed(value, digits = 1) {
  if (value === null || value === undefined) return "–";
  const text = Math.abs(value).toFixed(digits);
  return (Number(text) === 0 ? "" : value > 0 ? "+" : "−") + text;
}

/** JSON with line breaks; any other text as it is. */
export function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 1); } catch { return text; }
}

export const whole = (value) => value.toLocaleString("en");

/** Address of a picture: view is photograph, front, side, top or card. */
export function picture(run, gen, id, view, hypothesis = 0, size = 512) {
  return `/api/picture/${run}/${encodeURIComponent(gen)}/${encodeURIComponent(id)}/${view}/${hypothesis}?size=${size}`;
}

/** Address of the stored crop of a person. */
export const crop = (run, gen, id) => `/api/crop/${run}/${encodeURIComponent(gen)}/${encodeURIComponent(id)}`;

/** Page and parameters of an address: "#group/0/round0/ID?h=3" -> {page: "group", path: [...], given: URLSearchParams}. */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split("?");
  const [page, ...rest] = path.split("/").map(decodeURIComponent);
  return { page: page || "groups", path: rest, given: new URLSearchParams(query) };
}

/** The address of a page; empty parameters are left out. */
export function address(page, path = [], given = {}) {
  const kept = Object.entries(given).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const query = new URLSearchParams(kept).toString();
  return "#" + [page, ...path].map(encodeURIComponent).join("/") + (query ? `?${query}` : "");
}

/** Replace parameters of the present address, without a new entry in the history. */
export function remember(given) {
  const now = parse(location.hash);
  const next = address(now.page, now.path, { ...Object.fromEntries(now.given), ...given });
  if (next !== location.hash) history.replaceState(null, "", next);
}

/** Say something to people who cannot see it. */
export function say(text) {
  document.getElementById("said").textContent = text;
}

// Eight colours that people with any colour vision tell apart (Okabe and Ito 2008), darker where text needs it.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#6b6b6b"];
export const colour = (place) => COLOURS[place % COLOURS.length];

/** A labelled <select>: options are [value, text] pairs. */
export function choice(label, options, value, changed, extra = {}) {
  const select = h("select", { onchange: (event) => changed(event.target.value), ...extra },
    options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
  return h("label", { class: "field" }, h("span", {}, label), select);
}
