// The window of a convolution or a pooling slides over the map before it, product by product.

import { element, product, say, scrollBox, text, unpack } from "./dom.js";
import { colourOf, drawTraces, drawValues, mark, place } from "./draw.js";
import { INPUT, nodeOf, titleOf } from "./network.js";
import { ask } from "./source.js";

const PER_TAP = 140;
const PER_PLACE = 180;
const still = matchMedia("(prefers-reduced-motion: reduce)");
let wanted = false;

// For a cell of a layer with a window: the part that can be played; null for any other.
export function slideView(cell, { item, depth }) {
  const node = nodeOf(cell.node);
  if (!cell.start || !node.window || !node.space.length || node.inputs.length !== 1) return null;
  const source = node.inputs[0];
  if (String(nodeOf(source).space) !== String(cell.space)) return null;
  const box = element("details", { class: "slide" }, element("summary", {}, "Watch the window slide"));
  const fill = async () => {
    wanted = box.open;
    if (!box.open || box.children.length > 1) return;
    const body = element("div");
    box.append(body);
    try {
      const slide = new Slide(cell, node, source, depth);
      await slide.load(item);
      body.replaceChildren(slide.box);
      slide.draw();
    } catch (error) {
      body.replaceChildren(element("p", {}, error.message));
    }
  };
  box.addEventListener("toggle", fill);
  box.open = wanted;
  return box;
}

class Slide {
  constructor(cell, node, source, depth) {
    Object.assign(this, { cell, node, source, depth });
    const { kernel, stride, dilation, padding } = node.window;
    const flat = node.space.length === 1;
    const last = (values, one) => (flat ? [one, values[0]] : values.slice(-2));
    this.kernel = last(kernel, 1);
    this.stride = last(stride, 1);
    this.dilation = last(dilation, 1);
    this.low = last(padding.map(([low]) => low), 0);
    this.given = last(cell.space, 1);
    this.made = last(node.space, 1);
    this.taps = product(this.kernel);
    this.flat = flat;
    this.pick();
    this.at = cell.position.length === 1 ? cell.position[0] : cell.position.at(-2) * this.made[1] + cell.position.at(-1);
    this.tap = 0;
    this.timer = null;
  }

  // The channel of the input that adds most, and its plane of the kernel: of a volume the middle one.
  pick() {
    const { shape, values } = unpack(this.cell.window);
    const size = product(shape.slice(1));
    const slices = size / this.taps;
    const middle = Math.floor(slices / 2);
    const weights = this.cell.kernel ? unpack(this.cell.kernel).values : null;
    const sums = Array.from({ length: shape[0] }, (_, c) => {
      let sum = 0;
      for (let i = c * size; weights && i < (c + 1) * size; i += 1) sum += values[i] * weights[i];
      return Math.abs(sum);
    });
    const best = sums.indexOf(Math.max(...sums));
    const from = best * size + middle * this.taps;
    this.channel = this.cell.channels[0] + best;
    this.channels = this.cell.channels[1];
    this.window = values.slice(from, from + this.taps);
    this.weights = weights && weights.slice(from, from + this.taps);
    this.slice = slices > 1 ? this.cell.start[0] + middle * this.cell.step[0] : null;
    this.slices = slices;
  }

  async load(item) {
    if (this.slice !== null && (this.slice < 0 || this.slice >= this.cell.space[0])) throw new Error("The middle slice of this window is padding; choose a cell further inside.");
    const [before, after] = await Promise.all([
      ask("map", { item, node: this.source, channel: this.channel, depth: this.slice }),
      ask("map", { item, node: this.cell.node, channel: this.cell.channel, depth: this.depth }),
    ]);
    this.before = unpack(before.values).values;
    this.after = unpack(after.values).values;
    const own = Array.from({ length: this.taps }, (_, tap) => this.valueAt(this.at, tap) ?? 0);
    if (own.some((value, i) => Math.abs(value - this.window[i]) > 1e-5 * (1 + Math.abs(value)))) throw new Error("What this layer takes is arranged otherwise than the map before it, so the window cannot be followed on it.");
    this.scales = [this.before, this.after].map((values) => values.reduce((most, v) => Math.max(most, Math.abs(v)), 0) || 1);
    this.build();
  }

  // Row and column of a tap on the map before.
  spot(at, tap) {
    const out = [Math.floor(at / this.made[1]), at % this.made[1]];
    const taps = [Math.floor(tap / this.kernel[1]), tap % this.kernel[1]];
    return out.map((p, axis) => p * this.stride[axis] - this.low[axis] + taps[axis] * this.dilation[axis]);
  }

  valueAt(at, tap) {
    const [y, x] = this.spot(at, tap);
    return y < 0 || x < 0 || y >= this.given[0] || x >= this.given[1] ? null : this.before[y * this.given[1] + x];
  }

  build() {
    const source = nodeOf(this.source);
    const name = this.source === INPUT ? "the input" : titleOf(source);
    this.left = element("canvas", { role: "img", "aria-label": "The map before, with the window" });
    this.right = element("canvas", { role: "img", "aria-label": "The map that is made, as far as it is made" });
    Object.assign(this, { over: mark("field"), tapped: mark("selected"), cellMark: mark("selected") });
    this.table = element("table", { class: "numbers" });
    this.line = element("p", { class: "reading" });
    this.total = element("p", { class: "reading" });
    this.play = element("button", { type: "button", onclick: () => this.toggle() }, "Play");
    this.pace = element(
      "select", { "aria-label": "Pace" },
      element("option", { value: "tap" }, this.weights ? "product by product" : "value by value"), element("option", { value: "place" }, "place by place"),
    );
    const middle = this.slices > 1 ? ", middle slice of the window" : "";
    const wide = this.flat ? "frame wide" : "frame";
    this.box = element(
      "div", {},
      element(
        "div", { class: "pages" },
        still.matches ? null : this.play,
        element("button", { type: "button", onclick: () => this.step(true) }, "Step"),
        element("button", { type: "button", onclick: () => this.restart() }, "From the first place"),
        this.pace,
        still.matches ? element("span", {}, "Your system asks for little motion, so it goes on by steps.") : null,
      ),
      element(
        "div", { class: "looks" },
        element("div", {}, element("h3", {}, `${name}, channel ${this.channel}${middle}`), element("div", { class: `${wide} clipped` }, this.left, this.over, this.tapped)),
        element("div", {}, element("h3", {}, this.weights ? "products" : "values"), scrollBox(this.table), this.line, this.total),
        element("div", {}, element("h3", {}, `the map, channel ${this.cell.channel}`), element("div", { class: wide }, this.right, this.cellMark)),
      ),
    );
    this.cells = Array.from({ length: this.taps }, () => element("td"));
    const rows = Array.from({ length: this.kernel[0] }, (_, r) => element("tr", {}, ...this.cells.slice(r * this.kernel[1], (r + 1) * this.kernel[1])));
    this.table.append(element("tbody", {}, ...rows));
    this.paint(this.left, this.before, this.given, this.scales[0]);
  }

  paint(canvas, values, [height, width], scale) {
    if (this.flat) drawTraces(canvas, [Array.from(values)], scale, [420, 96]);
    else {
      canvas.style.aspectRatio = `${width} / ${height}`;
      drawValues(canvas, values, width, height, scale);
    }
  }

  toggle() {
    if (this.timer) this.pause();
    else {
      this.play.textContent = "Pause";
      this.tick();
    }
  }

  pause() {
    clearTimeout(this.timer);
    this.timer = null;
    this.play.textContent = "Play";
  }

  tick() {
    if (!this.box.isConnected) return;
    this.step(false);
    const wait = this.pace.value === "tap" ? PER_TAP : PER_PLACE;
    this.timer = setTimeout(() => this.tick(), this.tap === this.taps ? 3 * wait : wait);
  }

  // One product more, or one place more; `told` where somebody pressed the button.
  step(told) {
    if (told && this.timer) this.pause();
    if (this.pace.value === "place" && this.tap < this.taps) this.tap = this.taps;
    else if (this.tap < this.taps) this.tap += 1;
    else {
      this.at = (this.at + 1) % this.after.length;
      this.tap = this.pace.value === "place" ? this.taps : 1;
    }
    this.draw();
    if (told) say(`${this.line.textContent} ${this.total.textContent}`);
  }

  restart() {
    Object.assign(this, { at: 0, tap: 0 });
    this.draw();
  }

  draw() {
    const [y, x] = this.spot(this.at, 0);
    const extent = this.kernel.map((n, axis) => (n - 1) * this.dilation[axis] + 1);
    const [height, width] = this.given;
    place(this.over, x / width, y / height, extent[1] / width, extent[0] / height);
    const done = Array.from({ length: this.tap }, (_, tap) => this.part(tap));
    const all = Array.from({ length: this.taps }, (_, tap) => Math.abs(this.part(tap) ?? 0));
    this.fillTable(done, Math.max(...all) || 1);
    this.tell(done);
    this.reveal();
  }

  // What a tap brings to the sum or the maximum; null in the padding.
  part(tap) {
    const value = this.valueAt(this.at, tap);
    return value === null ? null : this.weights ? value * this.weights[tap] : value;
  }

  fillTable(done, scale) {
    this.cells.forEach((cell, tap) => {
      const value = done[tap];
      cell.className = value === null ? "outside" : tap === this.tap - 1 ? "picked" : "";
      cell.textContent = value === undefined ? "·" : value === null ? "pad" : text(value, 2);
      const { fill, ink } = value === undefined || value === null ? { fill: "", ink: "" } : colourOf(value, scale);
      cell.style.background = fill;
      cell.style.color = ink;
    });
    if (!this.tap) {
      this.tapped.hidden = true;
      return;
    }
    const [y, x] = this.spot(this.at, this.tap - 1);
    place(this.tapped, x / this.given[1], y / this.given[0], 1 / this.given[1], 1 / this.given[0]);
  }

  tell(done) {
    const inside = done.filter((v) => v !== null);
    const sum = inside.reduce((a, b) => a + b, 0);
    const most = this.cell.operation === "maximum";
    const now = this.tap ? this.valueAt(this.at, this.tap - 1) : undefined;
    const last = now === undefined ? "" : now === null ? "padding counts as nothing; " : this.weights ? `${text(now, 3)} × ${text(this.weights[this.tap - 1], 3)} = ${text(done.at(-1), 3)}; ` : `${text(now, 3)}; `;
    const so = !inside.length ? "nothing added yet." : most ? `the greatest so far is ${text(Math.max(...inside), 4)}.` : `the sum so far is ${text(sum, 4)}.`;
    this.line.textContent = last + so;
    const value = text(this.after[this.at], 5);
    const others = this.weights && (this.channels > 1 || this.slices > 1);
    const bias = this.weights && this.cell.bias ? " and the bias" : "";
    const how = others ? `With ${this.channels > 1 ? "the other channels" : "the other slices"}${bias} it makes ${value}.` : bias ? `With the bias it makes ${value}.` : `It makes ${value}.`;
    this.total.textContent = this.tap === this.taps ? how : "\u00a0";
  }

  reveal() {
    const upto = this.at + (this.tap === this.taps ? 1 : 0);
    const shown = Float32Array.from(this.after, (v, i) => (i < upto ? v : this.flat ? NaN : 0));
    this.paint(this.right, shown, this.made, this.scales[1]);
    const [height, width] = this.made;
    place(this.cellMark, (this.at % width) / width, Math.floor(this.at / width) / height, 1 / width, 1 / height);
  }
}
