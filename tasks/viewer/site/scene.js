// Meshes of one or two hypotheses with three.js. The camera stands where the photograph's stood; the bodies turn before it.
//
// Ours: metres, x right, y down, z forward. three.js: y up, z backward. So (x, y, z) becomes (x, -y, -z).

import * as THREE from "./vendor/three.module.min.js";
import { bytes } from "./dom.js";

const JOINTS = 29, NEAR = 0.05, FAR = 200;
const BLUE = 0x6aa9dc, ORANGE = 0xe69f00;

export class Scene {
  constructor(canvas, frame) {
    this.canvas = canvas;
    this.frame = frame;
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, alpha: true, preserveDrawingBuffer: true });
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.world = new THREE.Scene();
    this.pivot = new THREE.Group(); // turns about the body's middle
    this.content = new THREE.Group();
    this.pivot.add(this.content);
    this.camera = new THREE.PerspectiveCamera();
    this.camera.matrixAutoUpdate = false;
    const sun = new THREE.DirectionalLight(0xffffff, 2.1);
    sun.position.set(-1.5, 2.5, 3);
    this.world.add(this.pivot, new THREE.HemisphereLight(0xffffff, 0x8a94a0, 1.6), sun);
    this.kept = new Map();
    this.home(false);
    this.listen();
    this.sized = new ResizeObserver(() => this.render());
    this.sized.observe(canvas);
  }

  async load({ faces, own, mesh, spread, board }) {
    this.mesh = mesh;
    this.own = own; // address of the faces of a hypothesis that is a mesh of its own, else null
    this.spread = spread;
    this.faces = new Uint32Array(await bytes(faces));
    this.texture = await new THREE.TextureLoader().loadAsync(board);
    this.texture.colorSpace = THREE.SRGBColorSpace;
  }

  /** {geometry, joints, middle} of a hypothesis. */
  async body(k) {
    if (!this.kept.has(k)) {
      const values = new Float32Array(await bytes(this.mesh(k)));
      const own = this.own(k);
      const faces = own ? new Uint32Array(await bytes(own)) : this.faces;
      for (let i = 0; i < values.length; i += 3) { values[i + 1] *= -1; values[i + 2] *= -1; }
      const count = values.length / 3 - JOINTS;
      const geometry = new THREE.BufferGeometry();
      geometry.setAttribute("position", new THREE.BufferAttribute(values.slice(0, 3 * count), 3));
      geometry.setIndex(new THREE.BufferAttribute(faces, 1));
      geometry.computeVertexNormals();
      geometry.computeBoundingBox();
      this.kept.set(k, { geometry, joints: values.slice(3 * count), middle: geometry.boundingBox.getCenter(new THREE.Vector3()) });
    }
    return this.kept.get(k);
  }

  async show(state) {
    const wanted = [state.a, state.b].filter((k) => k !== null);
    const bodies = await Promise.all(wanted.map((k) => this.body(k)));
    this.state = { ...state };
    this.parts = bodies.map((body, place) => this.part(body, place === 0 ? BLUE : ORANGE, state, place));
    this.middle = bodies[0].middle;
    this.content.clear();
    this.content.position.copy(this.middle).negate();
    this.pivot.position.copy(this.middle);
    this.content.add(...this.parts);
    if (state.board) this.content.add(this.boardAt(bodies));
    this.render();
  }

  part(body, tint, state, place) {
    const seen = state.joints || state.spread ? 0.5 : place === 1 && state.how === "over" ? 0.6 : 1;
    const part = new THREE.Group();
    part.add(new THREE.Mesh(body.geometry, new THREE.MeshStandardMaterial({
      color: tint, roughness: 0.75, wireframe: state.wire, transparent: seen < 1, opacity: seen,
    })));
    if (state.joints) part.add(...this.skeleton(body.joints, tint));
    if (state.spread && place === 0) part.add(...this.ellipsoids(body.joints));
    return part;
  }

  skeleton(joints, tint) {
    const at = (j) => new THREE.Vector3(joints[3 * j], joints[3 * j + 1], joints[3 * j + 2]);
    const dark = new THREE.Color(tint).multiplyScalar(0.35);
    const dots = new THREE.InstancedMesh(new THREE.SphereGeometry(0.014, 12, 8), new THREE.MeshBasicMaterial({ color: dark, depthTest: false }), JOINTS);
    const ends = [];
    const told = (j) => !Number.isNaN(joints[3 * j]);
    for (let j = 0; j < JOINTS; j++) {
      if (!told(j)) { dots.setMatrixAt(j, new THREE.Matrix4().makeScale(0, 0, 0)); continue; }
      dots.setMatrixAt(j, new THREE.Matrix4().setPosition(at(j)));
      if (this.spread.parents[j] !== j && told(this.spread.parents[j])) ends.push(at(j), at(this.spread.parents[j]));
    }
    const bones = new THREE.LineSegments(new THREE.BufferGeometry().setFromPoints(ends), new THREE.LineBasicMaterial({ color: dark, depthTest: false }));
    dots.renderOrder = bones.renderOrder = 3;
    return [bones, dots];
  }

  /** Of each joint, one standard deviation over the group, about its mean; pelvises lie on that of the first mesh. */
  ellipsoids(joints) {
    const material = new THREE.MeshStandardMaterial({ color: 0xb8327f, transparent: true, opacity: 0.6, depthTest: false, roughness: 1 });
    const shape = new THREE.SphereGeometry(1, 20, 14);
    if (Number.isNaN(joints[0])) return []; // where its pelvis is, is not known
    return this.spread.mean.flatMap((mean, j) => {
      if (mean === null) return [];
      const axes = this.spread.axes[j].map(([x, y, z]) => new THREE.Vector3(x, -y, -z));
      axes.forEach((axis) => { if (axis.length() < 0.002) axis.setLength(0.002); });
      const ball = new THREE.Mesh(shape, material);
      ball.matrixAutoUpdate = false;
      ball.matrix.makeBasis(...axes).setPosition(joints[0] + mean[0], joints[1] - mean[1], joints[2] - mean[2]);
      ball.renderOrder = 2;
      return ball;
    });
  }

  /** The photograph as a board behind the bodies, where it lies exactly as the camera saw it. */
  boardAt(bodies) {
    const far = Math.min(...bodies.map((body) => body.geometry.boundingBox.min.z)) - 0.4;
    const [fx, fy, cx, cy] = this.frame.camera, size = this.frame.size, depth = -far;
    const corner = (u, v) => [((u - cx) / fx) * depth, (-(v - cy) / fy) * depth, far];
    const shape = new THREE.BufferGeometry();
    shape.setAttribute("position", new THREE.Float32BufferAttribute([corner(0, 0), corner(size, 0), corner(size, size), corner(0, size)].flat(), 3));
    shape.setAttribute("uv", new THREE.Float32BufferAttribute([0, 1, 1, 1, 1, 0, 0, 0], 2));
    shape.setIndex([0, 2, 1, 0, 3, 2]);
    return new THREE.Mesh(shape, new THREE.MeshBasicMaterial({ map: this.texture, side: THREE.DoubleSide, toneMapped: false }));
  }

  home(draw = true) {
    Object.assign(this, { yaw: 0, pitch: 0, zoom: 1, panX: 0, panY: 0 });
    if (draw) this.render();
  }

  render() {
    if (!this.parts) return;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    this.renderer.setSize(width, height, false);
    this.pivot.rotation.set(this.pitch, this.yaw, 0, "XYZ");
    const beside = this.state.b !== null && this.state.how === "beside";
    this.renderer.setScissorTest(beside);
    const views = beside ? [[0, width / 2, 0], [width / 2, width / 2, 1]] : [[0, width, null]];
    for (const [left, wide, only] of views) {
      this.parts.forEach((part, place) => { part.visible = only === null || place === only; });
      this.renderer.setViewport(left, 0, wide, height);
      this.renderer.setScissor(left, 0, wide, height);
      this.look(wide / height);
      this.renderer.render(this.world, this.camera);
    }
  }

  /** The photograph's camera, cut to the frame that overlays show; a wider canvas sees more at its sides. */
  look(aspect) {
    const [fx, fy, cx, cy] = this.frame.camera, size = this.frame.size;
    const half = size / 2 / this.zoom;
    const [u, v] = [size / 2 - this.panX * size, size / 2 - this.panY * size];
    const [halfU, halfV] = aspect >= 1 ? [half * aspect, half] : [half, half / aspect];
    this.camera.projectionMatrix.makePerspective(
      ((u - halfU - cx) / fx) * NEAR, ((u + halfU - cx) / fx) * NEAR, (-(v - halfV - cy) / fy) * NEAR, (-(v + halfV - cy) / fy) * NEAR, NEAR, FAR);
    this.camera.projectionMatrixInverse.copy(this.camera.projectionMatrix).invert();
  }

  turn(right, down) {
    this.yaw += right;
    this.pitch = Math.min(1.55, Math.max(-1.55, this.pitch + down));
    this.render();
  }

  listen() {
    const canvas = this.canvas, pointers = new Map();
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); pointers.set(event.pointerId, [event.clientX, event.clientY]); });
    const lift = (event) => pointers.delete(event.pointerId);
    canvas.addEventListener("pointerup", lift);
    canvas.addEventListener("pointercancel", lift);
    canvas.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const [x, y] = [event.clientX - before[0], event.clientY - before[1]];
      const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const apart = ([a, b]) => Math.hypot(a - other[0], b - other[1]) || 1;
        this.scale(apart([event.clientX, event.clientY]) / apart(before));
      } else if (event.shiftKey || event.buttons === 2) {
        this.panX += x / canvas.clientHeight / this.zoom;
        this.panY += y / canvas.clientHeight / this.zoom;
        this.render();
      } else this.turn(x / 160, y / 160);
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
    });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.scale(Math.exp(-event.deltaY * 0.0015)); }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const turns = { ArrowLeft: [-0.12, 0], ArrowRight: [0.12, 0], ArrowUp: [0, -0.12], ArrowDown: [0, 0.12] }[event.key];
      if (turns) this.turn(...turns);
      else if (event.key === "+" || event.key === "=") this.scale(1.2);
      else if (event.key === "-") this.scale(1 / 1.2);
      else if (event.key === "Home" || event.key === "0") this.home();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  }

  scale(factor) {
    this.zoom = Math.min(12, Math.max(0.2, this.zoom * factor));
    this.render();
  }

  end() {
    this.sized.disconnect();
    for (const body of this.kept.values()) body.geometry.dispose();
    this.texture?.dispose();
    this.renderer.dispose();
    this.renderer.forceContextLoss();
  }
}
