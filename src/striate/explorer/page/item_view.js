// The item as a picture, traces or a slice, with marks where a place of a layer looks.

import { element, times, unpack } from "./dom.js";
import { drawPicture, drawTraces, drawValues, laneRatio, mark, place } from "./draw.js";
import { network } from "./network.js";
import { ask } from "./source.js";

const LANES = 4;

export class ItemView {
  constructor(label) {
    this.canvas = element("canvas", { role: "img", "aria-label": label });
    this.frame = element("div", { class: "frame clipped" }, this.canvas);
    this.told = element("p", { class: "reading quiet" });
    this.box = element("div", {}, this.frame, this.told);
    this.marks = [];
    this.depth = null;
    this.item = null;
  }

  get space() {
    return network().input_shape.slice(1);
  }

  async show(item) {
    this.item = item;
    const space = this.space;
    const [height, width] = space.slice(-2);
    if (space.length === 1) {
      this.frame.classList.add("wide");
      this.canvas.style.aspectRatio = laneRatio(Math.min(network().input_shape[0], LANES));
      const shown = await ask("maps", { item, node: -1, first: 0 });
      if (item !== this.item) return;
      const { shape, values } = unpack(shown.levels);
      const lanes = [];
      for (let c = 0; c < Math.min(shape[0], LANES); c += 1) {
        lanes.push(Array.from(values.slice(c * shape[1], (c + 1) * shape[1]), (v) => (v - 128) / 127));
      }
      drawTraces(this.canvas, lanes, 1);
      return;
    }
    this.canvas.style.aspectRatio = `${width} / ${height}`;
    const { picture } = await ask("item", { item });
    if (item !== this.item) return;
    if (picture) {
      const { values } = unpack(picture);
      drawPicture(this.canvas, values, width, height);
      return;
    }
    this.depth = null;
    await this.slice(Math.floor(space[0] / 2));
  }

  async slice(depth) {
    const at = Math.max(0, Math.min(this.space[0] - 1, Math.round(depth)));
    if (at === this.depth) return;
    this.depth = at;
    const { values: packed } = await ask("map", { item: this.item, node: -1, channel: 0, depth: at });
    if (at !== this.depth) return;
    const { shape, values } = unpack(packed);
    drawValues(this.canvas, values, shape[1], shape[0], Math.max(...values.map(Math.abs)) || 1);
  }

  // Marks for fields: each is { ranges, kind }, `ranges` as `fieldAt` gives them.
  point(fields) {
    while (this.marks.length < fields.length) {
      const made = mark("field");
      this.marks.push(made);
      this.frame.append(made);
    }
    this.marks.forEach((node, i) => {
      if (i >= fields.length) {
        node.hidden = true;
        return;
      }
      node.className = `mark ${fields[i].kind}`;
      const space = this.space;
      const ranges = space.map((n, axis) => fields[i].ranges?.[axis] ?? [0, n]);
      const [x, y] = [ranges.at(-1), ranges.length > 1 ? ranges.at(-2) : [0, 1]];
      const [width, height] = [space.at(-1), space.length > 1 ? space.at(-2) : 1];
      place(node, x[0] / width, y[0] / height, (x[1] - x[0]) / width, (y[1] - y[0]) / height);
    });
    if (fields.length) this.tell(fields[0].ranges);
    if (this.space.length === 3 && fields.length && fields[0].ranges?.[0]) {
      const [from, to] = fields[0].ranges[0];
      this.slice((from + to - 1) / 2);
    }
  }

  tell(ranges) {
    if (!ranges || ranges.every((range) => range === null)) {
      this.told.textContent = "It sees the whole input.";
      return;
    }
    const size = this.space;
    const beyond = ranges.some((range, i) => range && (range[0] < 0 || range[1] > size[i]));
    const sizes = times(ranges.map((range, i) => (range ? Math.floor(range[1] - range[0]) : size[i])));
    const slice = size.length === 3 && ranges[0] ? `, slices ${ranges[0][0]} to ${ranges[0][1] - 1}` : "";
    this.told.textContent = `It sees ${sizes}${slice}${beyond ? ", partly padding" : ""}.`;
  }
}
