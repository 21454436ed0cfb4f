// The panel of a group's meshes: which two are shown, and how.

import { ask, choice, h, picture } from "./dom.js";
import { Scene } from "./scene.js";

export async function panel(parent, { where, gen, id, group, order, chosen }) {
  const canvas = h("canvas", { tabIndex: 0, role: "img", "aria-label": "Meshes in 3-D: drag or arrow keys turn, wheel or + and − zoom, shift and drag moves" });
  const told = h("p", {}, "Loading …");
  const tools = h("div", { class: "toolbar" });
  const box = h("div", {}, tools, h("div", { class: "scene" }, canvas, told), h("p", { class: "hint" }, "Drag or arrow keys turn, wheel zooms, shift and drag moves. It opens as the camera saw it."));
  parent.append(box);
  const state = { a: chosen(), b: null, how: "over", wire: false, board: true, joints: false, spread: false };
  let scene;
  try {
    scene = new Scene(canvas, group.frame);
  } catch (error) {
    told.textContent = `This browser cannot draw in 3-D (${error.message}).`;
    return { choose() {}, toggle() {}, hold() {}, end() {} };
  }
  const place = `${where}/${encodeURIComponent(gen)}/${encodeURIComponent(id)}`;
  await scene.load({ faces: `/api/faces/${where}`, own: (k) => (group.hypotheses[k].topology ? `/api/faces/${place}/${k}` : null), mesh: (k) => `/api/mesh/${place}/${k}`, spread: await ask(`/api/joints/${place}`), board: picture(where, gen, id, "photograph", 0, 1024) });

  function toolbar() {
    const places = order().map((k, at) => [String(k), `#${k + 1}, rank ${at + 1}`]);
    const flag = (name, title) => h("button", { type: "button", "aria-pressed": String(state[name]), onclick: () => toggle(name) }, title);
    tools.replaceChildren(
      choice("First", places, String(state.a), (k) => { state.a = Number(k); draw(); }),
      choice("Second", [["", "none"], ...places], state.b === null ? "" : String(state.b), (k) => { state.b = k === "" ? null : Number(k); draw(); }),
      h("div", { class: "set", role: "group", "aria-label": "Two meshes" }, [["over", "Over each other"], ["beside", "Side by side"]].map(([key, title]) =>
        h("button", { type: "button", disabled: state.b === null, "aria-pressed": String(state.b !== null && state.how === key), onclick: () => { state.how = key; draw(); } }, title))),
      h("div", { class: "set", role: "group", "aria-label": "What is drawn" }, flag("board", "Photograph"), flag("wire", "Wireframe"), flag("joints", "Joints"), flag("spread", "Spread")),
      h("button", { type: "button", onclick: () => scene.home() }, "From the camera"));
  }
  async function draw() {
    toolbar();
    await scene.show(state);
    told.textContent = state.b === null ? `#${state.a + 1}` : `#${state.a + 1} blue, #${state.b + 1} orange`;
    if (state.spread) told.textContent += "; ellipsoids: one standard deviation of each joint over the group";
    canvas.dataset.drawn = [state.a, state.b ?? "", state.how].join();
  }
  function toggle(name) {
    state[name] = !state[name];
    draw();
  }
  await draw();
  return {
    choose(k) { state.a = k; draw(); },
    hold(k) { state.b = state.b === k ? null : k; draw(); },
    toggle,
    end: () => scene.end(),
  };
}
