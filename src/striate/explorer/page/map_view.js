// One channel of a layer, large: a cell is chosen with the mouse, a finger or the arrow keys.

import { element, say, text, unpack } from "./dom.js";
import { drawTraces, drawValues, laneRatio, mark, place } from "./draw.js";
import { formOf, placeText } from "./network.js";
import { ask, savedCells } from "./source.js";

// A vector is drawn as rows of cells, about twice as wide as high.
function columnsOf(count) {
  return count <= 16 ? count : Math.ceil(Math.sqrt(2 * count));
}

export class MapView {
  // `chosen(channel, position)` and `hovered(position | null)` are told what the user does.
  constructor({ chosen, hovered }) {
    this.chosen = chosen;
    this.hovered = hovered;
    this.canvas = element("canvas", { "aria-hidden": "true" });
    this.selected = mark("selected");
    this.hover = mark("hover");
    this.frame = element(
      "div",
      {
        class: "frame", tabindex: "0", role: "application", id: "map",
        "aria-roledescription": "feature map",
        onpointermove: (event) => this.look(event),
        onpointerleave: () => this.leave(),
        onclick: (event) => this.choose(this.placeOf(event)),
        onkeydown: (event) => this.key(event),
      },
      this.canvas, this.hover, this.selected,
    );
    this.reading = element("p", { class: "reading" });
    this.box = element("div", {}, this.frame, this.reading);
  }

  // Width and height of what is drawn, in cells.
  get size() {
    const { space, channels } = this.node;
    if (this.form === "vector") {
      const columns = columnsOf(channels);
      return [columns, Math.ceil(channels / columns)];
    }
    return this.form === "series" ? [space[0], 1] : [space.at(-1), space.at(-2)];
  }

  // The room and the name of what is shown next, before its values are there.
  layOut({ item, number, node, channel, position, depth }) {
    const other = number !== this.number;
    Object.assign(this, { item, number, node, channel, position, depth, form: formOf(node) });
    const [width, height] = this.size;
    this.frame.classList.toggle("wide", this.form === "series" || this.form === "vector");
    this.canvas.style.aspectRatio = this.form === "series" ? laneRatio(1) : `${width} / ${height}`;
    this.frame.setAttribute("aria-label", `${placeText(channel, position)}; the arrow keys move the cell`);
    if (!other) return;
    this.values = null;
    this.canvas.width = 1;
    this.canvas.height = 1;
    this.selected.hidden = true;
  }

  async show({ item, number, node, channel, position, depth, scale }) {
    this.layOut({ item, number, node, channel, position, depth });
    this.scale = scale;
    const asked = this.form === "vector" ? { item, node: number } : { item, node: number, channel, depth };
    const [width, height] = this.size;
    const values = await this.load(asked);
    if (asked.node !== this.number || channel !== this.channel) return;
    this.values = values;
    if (this.form === "series") drawTraces(this.canvas, [values], scale);
    else if (this.form === "vector") {
      const padded = new Float32Array(width * height);
      padded.set(values);
      drawValues(this.canvas, padded, width, height, scale);
    } else drawValues(this.canvas, values, width, height, scale);
    this.markChosen();
  }

  async load(asked) {
    const name = this.form === "vector" ? "vector" : "map";
    return unpack((await ask(name, asked)).values).values;
  }

  // Index into what is drawn of the cell that is chosen.
  cellXY() {
    if (this.form === "vector") {
      const columns = columnsOf(this.node.channels);
      return [this.channel % columns, Math.floor(this.channel / columns)];
    }
    return this.form === "series" ? [this.position[0], 0] : [this.position.at(-1), this.position.at(-2)];
  }

  markChosen() {
    const [width, height] = this.size;
    const [x, y] = this.cellXY();
    place(this.selected, x / width, y / height, 1 / width, 1 / height);
    this.tell(this.channel, this.position);
  }

  move(channel, position) {
    Object.assign(this, { channel, position });
    this.frame.setAttribute("aria-label", `${placeText(channel, position)}; the arrow keys move the cell`);
    this.markChosen();
  }

  valueAt(channel, position) {
    if (!this.values) return null;
    if (this.form === "vector") return this.values[channel];
    const [width] = this.size;
    const y = this.form === "series" ? 0 : position.at(-2);
    return this.values[y * width + position.at(-1)];
  }

  tell(channel, position) {
    const value = text(this.valueAt(channel, position), 6);
    this.reading.replaceChildren(element("b", {}, value), ` at ${placeText(channel, position)}`);
  }

  placeOf(event) {
    const box = this.canvas.getBoundingClientRect();
    const [width, height] = this.size;
    const x = Math.max(0, Math.min(width - 1, Math.floor(((event.clientX - box.left) / box.width) * width)));
    const y = Math.max(0, Math.min(height - 1, Math.floor(((event.clientY - box.top) / box.height) * height)));
    return this.at(x, y);
  }

  at(x, y) {
    const [width] = this.size;
    if (this.form === "vector") {
      return { channel: Math.min(this.node.channels - 1, y * width + x), position: [], x, y };
    }
    const position = this.form === "series" ? [x] : this.form === "volume" ? [this.depth, y, x] : [y, x];
    return { channel: this.channel, position, x, y };
  }

  look(event) {
    const { channel, position, x, y } = this.placeOf(event);
    const [width, height] = this.size;
    place(this.hover, x / width, y / height, 1 / width, 1 / height);
    this.tell(channel, position);
    this.hovered(position);
  }

  leave() {
    this.hover.hidden = true;
    this.tell(this.channel, this.position);
    this.hovered(null);
  }

  choose({ channel, position }) {
    this.chosen(channel, position);
    say(`${placeText(channel, position)}: ${text(this.valueAt(channel, position))}`);
  }

  key(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const deep = { PageUp: -1, PageDown: 1 }[event.key];
    const [width, height] = this.size;
    if (deep !== undefined && this.form === "volume" && !savedCells) {
      event.preventDefault();
      const slice = Math.max(0, Math.min(this.node.space[0] - 1, this.depth + deep));
      this.chosen(this.channel, [slice, ...this.position.slice(1)]);
      return;
    }
    if (!steps[event.key]) return;
    event.preventDefault();
    const [x, y] = this.cellXY();
    const [dx, dy] = steps[event.key];
    if (x + dx < 0 || x + dx >= width || y + dy < 0 || y + dy >= height) return;
    this.choose(this.at(x + dx, y + dy));
  }
}
