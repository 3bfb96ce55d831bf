// The items as points: moved, zoomed, looked at and caught in a lasso. Pixels are written by hand,
// so that ten thousand points take some milliseconds on any machine.

import { element } from "./dom.js";

const NEAR = 12;

export class Scatter {
  // `on` has chosen(item), hovered(item or null, x, y), caught(set or null).
  constructor(on) {
    this.on = on;
    this.canvas = element("canvas", { "aria-hidden": "true" });
    this.marks = element("canvas", { "aria-hidden": "true", class: "marks" });
    this.frame = element(
      "div",
      {
        class: "scatter", tabindex: 0, role: "application", "aria-roledescription": "map of items",
        "aria-label": "Map of all items. Arrow keys go to the next item in that direction, with shift they move the map, plus and minus zoom, 0 shows all. The list below has the same items.",
        onkeydown: (event) => this.key(event),
        onwheel: (event) => this.wheel(event),
        onpointerdown: (event) => this.down(event),
        onpointermove: (event) => this.move(event),
        onpointerup: (event) => this.up(event),
        onpointercancel: (event) => this.up(event),
        onpointerleave: () => this.on.hovered(null),
      },
      this.canvas, this.marks,
    );
    this.points = { x: new Float32Array(0), y: new Float32Array(0) };
    this.pointers = new Map();
    this.catching = false;
    this.lasso = null;
    this.chosen = null;
    this.waiting = false;
    new ResizeObserver(() => this.resize()).observe(this.frame);
  }

  setPoints(x, y) {
    this.points = { x, y };
    this.showAll();
  }

  // Pixels of each point, which are squares (mistakes), hidden or faint.
  setLooks({ pixels, square, hidden, faint }) {
    Object.assign(this, { pixels, square, hidden, faint });
    this.later();
  }

  choose(item) {
    this.chosen = item;
    this.drawMarks();
  }

  showAll() {
    const { x, y } = this.points;
    let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < x.length; i += 1) {
      if (Number.isNaN(x[i])) continue;
      left = Math.min(left, x[i]);
      right = Math.max(right, x[i]);
      low = Math.min(low, y[i]);
      high = Math.max(high, y[i]);
    }
    if (left > right) [left, right, low, high] = [-1, 1, -1, 1];
    this.home = { x: (left + right) / 2, y: (low + high) / 2, width: right - left || 1, height: high - low || 1 };
    this.fit();
  }

  fit() {
    if (!this.home) return;
    const { clientWidth: width, clientHeight: height } = this.frame;
    const scale = 0.92 * Math.min((width || 1) / this.home.width, (height || 1) / this.home.height);
    this.view = { x: this.home.x, y: this.home.y, scale };
    this.later();
  }

  resize() {
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const { clientWidth: width, clientHeight: height } = this.frame;
    if (!width || !height) return;
    const first = !this.ratio;
    this.ratio = ratio;
    for (const canvas of [this.canvas, this.marks]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    this.image = this.canvas.getContext("2d").createImageData(this.canvas.width, this.canvas.height);
    this.buffer = new Uint32Array(this.image.data.buffer);
    if (first) this.fit();
    else this.later();
  }

  later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  // Where a point lies, in pixels of the page.
  place(item) {
    const { clientWidth: width, clientHeight: height } = this.frame;
    const { x, y, scale } = this.view;
    return [width / 2 + (this.points.x[item] - x) * scale, height / 2 - (this.points.y[item] - y) * scale];
  }

  draw() {
    if (!this.buffer || !this.view || !this.pixels) return;
    const { canvas, ratio, buffer } = this;
    const { x, y } = this.points;
    const [width, height] = [canvas.width, canvas.height];
    const ground = pixelOf(getComputedStyle(this.frame).backgroundColor);
    buffer.fill(ground);
    const many = x.length > 4000;
    const size = Math.round((many ? 2.5 : 4) * ratio);
    const masks = [mask(size, width, false), mask(size, width, true)];
    const scale = this.view.scale * ratio;
    const [left, top] = [width / 2 - this.view.x * scale, height / 2 + this.view.y * scale];
    // Faint points first, then the others, mistakes on top of all.
    for (let turn = 0; turn < 3; turn += 1) {
      for (let i = 0; i < x.length; i += 1) {
        const layer = this.faint[i] ? 0 : this.square[i] ? 2 : 1;
        if (layer !== turn || this.hidden[i] || Number.isNaN(x[i])) continue;
        const px = Math.round(left + x[i] * scale);
        const py = Math.round(top - y[i] * scale);
        if (px < size + 1 || py < size + 1 || px >= width - size - 1 || py >= height - size - 1) continue;
        const { ring, body } = masks[this.square[i]];
        const at = py * width + px;
        if (turn > 0) for (let k = 0; k < ring.length; k += 1) buffer[at + ring[k]] = ground;
        const colour = turn > 0 ? this.pixels[i] : mixed(this.pixels[i], ground);
        for (let k = 0; k < body.length; k += 1) buffer[at + body[k]] = colour;
      }
    }
    canvas.getContext("2d").putImageData(this.image, 0, 0);
    this.drawMarks();
  }

  drawMarks() {
    if (!this.ratio || !this.view) return;
    const context = this.marks.getContext("2d");
    const style = getComputedStyle(this.frame);
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.marks.width, this.marks.height);
    context.strokeStyle = style.color;
    if (this.chosen !== null && !Number.isNaN(this.points.x[this.chosen])) {
      const [x, y] = this.place(this.chosen);
      context.lineWidth = 2.5;
      context.beginPath();
      context.arc(x, y, 9, 0, 2 * Math.PI);
      context.stroke();
    }
    if (!this.lasso?.length) return;
    context.lineWidth = 1.5;
    context.setLineDash([5, 4]);
    context.beginPath();
    this.lasso.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.closePath();
    context.stroke();
    context.setLineDash([]);
  }

  // The item whose point is nearest to a place, at most `most` pixels away.
  at(x, y, most = NEAR) {
    let [found, best] = [null, most * most];
    if (!this.view || !this.hidden) return found;
    for (let i = 0; i < this.points.x.length; i += 1) {
      if (this.hidden[i]) continue;
      const [px, py] = this.place(i);
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < best) [found, best] = [i, distance];
    }
    return found;
  }

  zoom(factor, x = this.frame.clientWidth / 2, y = this.frame.clientHeight / 2) {
    const { clientWidth: width, clientHeight: height } = this.frame;
    const { view } = this;
    const here = [view.x + (x - width / 2) / view.scale, view.y - (y - height / 2) / view.scale];
    view.scale *= factor;
    view.x = here[0] - (x - width / 2) / view.scale;
    view.y = here[1] + (y - height / 2) / view.scale;
    this.later();
  }

  pan(x, y) {
    this.view.x -= x / this.view.scale;
    this.view.y += y / this.view.scale;
    this.later();
  }

  wheel(event) {
    event.preventDefault();
    const [x, y] = this.spot(event);
    this.zoom(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) / 200), x, y);
  }

  spot(event) {
    const box = this.frame.getBoundingClientRect();
    return [event.clientX - box.left - this.frame.clientLeft, event.clientY - box.top - this.frame.clientTop];
  }

  down(event) {
    if (event.button !== 0) return;
    this.frame.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.spot(event));
    this.moved = 0;
    this.lasso = this.catching || event.shiftKey ? [this.spot(event)] : null;
  }

  move(event) {
    const spot = this.spot(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.on.hovered(this.at(...spot), ...spot);
      return;
    }
    this.moved += Math.hypot(spot[0] - before[0], spot[1] - before[1]);
    if (this.pointers.size === 2) {
      const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      const apart = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]) || 1;
      this.zoom(apart(spot) / apart(before), (spot[0] + other[0]) / 2, (spot[1] + other[1]) / 2);
    } else if (this.lasso) {
      this.lasso.push(spot);
      this.drawMarks();
    } else this.pan(spot[0] - before[0], spot[1] - before[1]);
    this.pointers.set(event.pointerId, spot);
  }

  up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    const { lasso } = this;
    this.lasso = null;
    if (this.moved < 5) {
      const item = this.at(...this.spot(event));
      if (item !== null) this.on.chosen(item);
    } else if (lasso?.length > 2) this.on.caught(this.inside(lasso));
    this.drawMarks();
  }

  inside(polygon) {
    const found = new Set();
    for (let i = 0; i < this.points.x.length; i += 1) {
      if (!this.hidden[i] && isInside(this.place(i), polygon)) found.add(i);
    }
    return found;
  }

  key(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (step && event.shiftKey) this.pan(-40 * step[0], -40 * step[1]);
    else if (step) this.walk(step);
    else if (event.key === "+" || event.key === "=") this.zoom(1.25);
    else if (event.key === "-") this.zoom(0.8);
    else if (event.key === "0") this.fit();
    else return;
    event.preventDefault();
  }

  // The nearest item in a direction from the chosen one, or from the middle.
  walk([dx, dy]) {
    const from = this.chosen === null || Number.isNaN(this.points.x[this.chosen])
      ? [this.frame.clientWidth / 2, this.frame.clientHeight / 2] : this.place(this.chosen);
    let [found, best] = [null, Infinity];
    for (let i = 0; i < this.points.x.length; i += 1) {
      if (this.hidden[i] || i === this.chosen) continue;
      const [x, y] = this.place(i);
      const [along, across] = [(x - from[0]) * dx + (y - from[1]) * dy, (x - from[0]) * dy + (y - from[1]) * dx];
      if (!(along > 0.5) || Math.abs(across) > 2 * along) continue;
      const distance = along + 2 * Math.abs(across);
      if (distance < best) [found, best] = [i, distance];
    }
    if (found !== null) this.on.chosen(found);
  }
}

export function isInside([x, y], polygon) {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i, i += 1) {
    const [[ax, ay], [bx, by]] = [polygon[i], polygon[j]];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}

// Offsets of a disc or a square, and of the rim of ground around it.
function mask(size, width, square) {
  const [ring, body] = [[], []];
  const inner = square ? size * 0.9 : size;
  for (let y = -size - 1; y <= size + 1; y += 1) {
    for (let x = -size - 1; x <= size + 1; x += 1) {
      const far = square ? Math.max(Math.abs(x), Math.abs(y)) : Math.hypot(x, y);
      if (far <= inner) body.push(y * width + x);
      else if (far <= inner + 1) ring.push(y * width + x);
    }
  }
  return { ring: Int32Array.from(ring), body: Int32Array.from(body) };
}

function pixelOf(text) {
  const [r, g, b] = text.match(/[\d.]+/g).map(Number);
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

// A colour that is one fifth itself and otherwise ground.
function mixed(colour, ground) {
  let found = 255 << 24;
  for (let shift = 0; shift < 24; shift += 8) {
    const part = 0.2 * ((colour >>> shift) & 255) + 0.8 * ((ground >>> shift) & 255);
    found |= Math.round(part) << shift;
  }
  return found >>> 0;
}
