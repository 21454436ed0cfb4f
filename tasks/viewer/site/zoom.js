// One zoom and one place for all pictures (.pic) of an element: two numbers of its style, which the styles of images read.

const MOST = 8;

export class Zoom {
  constructor(element, given, changed) {
    this.element = element;
    this.changed = changed;
    [this.z, this.x, this.y] = [Number(given.get("z") ?? 1), Number(given.get("x") ?? 0), Number(given.get("y") ?? 0)];
    this.pointers = new Map();
    element.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    element.addEventListener("pointerdown", (event) => this.down(event));
    this.moved = (event) => this.move(event);
    this.lifted = (event) => this.up(event);
    addEventListener("pointermove", this.moved);
    addEventListener("pointerup", this.lifted);
    addEventListener("pointercancel", this.lifted);
    element.addEventListener("click", (event) => { if (this.dragged) { event.preventDefault(); event.stopPropagation(); } }, true);
    element.addEventListener("dblclick", (event) => { if (event.target.closest(".stage .pic")) this.reset(); });
    this.apply(false);
  }

  /** Larger by a factor, about a point (u, v) of the picture's frame, 0..1. */
  by(factor, u = 0.5, v = 0.5) {
    const next = Math.min(MOST, Math.max(1, this.z * factor));
    this.x = u - ((u - this.x) * next) / this.z;
    this.y = v - ((v - this.y) * next) / this.z;
    this.z = next;
    this.apply();
  }

  reset() {
    [this.z, this.x, this.y] = [1, 0, 0];
    this.apply();
  }

  apply(tell = true) {
    this.x = Math.min(0, Math.max(1 - this.z, this.x));
    this.y = Math.min(0, Math.max(1 - this.z, this.y));
    for (const [name, value] of Object.entries({ "--z": this.z, "--x": this.x, "--y": this.y })) this.element.style.setProperty(name, value);
    this.element.classList.toggle("zoomed", this.z > 1);
    if (!tell) return;
    clearTimeout(this.waiting);
    const short = (value, none) => (value === none ? "" : value.toFixed(3));
    this.waiting = setTimeout(() => this.changed({ z: short(this.z, 1), x: short(this.x, 0), y: short(this.y, 0) }), 150);
  }

  place(event) {
    const box = event.target.closest?.(".pic")?.getBoundingClientRect();
    return box && { u: (event.clientX - box.left) / box.width, v: (event.clientY - box.top) / box.height, width: box.width, height: box.height };
  }

  wheel(event) {
    const place = this.place(event);
    if (!place || !(event.ctrlKey || this.z > 1 || event.target.closest(".stage"))) return;
    if (!event.ctrlKey && this.z === 1 && event.deltaY > 0) return; // the page scrolls on
    event.preventDefault();
    this.by(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), place.u, place.v);
  }

  down(event) {
    this.dragged = false;
    const place = this.place(event);
    if (!place) return;
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, ...place });
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId);
    if (others.length) {
      const other = others[0][1];
      const apart = (one) => Math.hypot(one.x - other.x, one.y - other.y) || 1;
      this.by(apart({ x: event.clientX, y: event.clientY }) / apart(before), (before.u + other.u) / 2, (before.v + other.v) / 2);
      this.dragged = true;
    } else if (this.z > 1) {
      this.x += (event.clientX - before.x) / before.width;
      this.y += (event.clientY - before.y) / before.height;
      this.dragged ||= Math.hypot(event.clientX - before.x, event.clientY - before.y) > 2;
      this.apply();
    }
    Object.assign(before, { x: event.clientX, y: event.clientY });
  }

  up(event) {
    this.pointers.delete(event.pointerId);
  }

  end() {
    clearTimeout(this.waiting);
    removeEventListener("pointermove", this.moved);
    removeEventListener("pointerup", this.lifted);
    removeEventListener("pointercancel", this.lifted);
  }
}
