// The channels of a layer as small pictures or traces, a page at a time.

import { element, unpack, whole } from "./dom.js";
import { drawLevels, drawTraces } from "./draw.js";
import { ask } from "./source.js";

const PER_PAGE = 32;

export class TilesView {
  constructor(chosen) {
    this.chosen = chosen;
    this.first = 0;
    this.grid = element("div", { class: "tiles", role: "group", "aria-label": "Channels", onkeydown: (event) => this.key(event) });
    this.pages = element("div", { class: "pages" });
    this.box = element("div", {}, this.pages, this.grid);
  }

  async show({ item, number, node, channel, depth }) {
    Object.assign(this, { item, number, node, channel, depth });
    this.first = node.space.length ? Math.floor(channel / PER_PAGE) * PER_PAGE : 0;
    return this.page(this.first);
  }

  async page(first) {
    this.first = first;
    const asked = this.number;
    const { levels, scale } = await ask("maps", { item: this.item, node: this.number, first, depth: this.depth });
    if (asked !== this.number || first !== this.first) return scale;
    const { shape, values } = unpack(levels);
    const size = shape.slice(1).reduce((a, b) => a * b, 1);
    this.grid.classList.toggle("long", shape.length === 2);
    this.grid.hidden = shape.length === 1;
    const tiles = [];
    // A vector has nothing to show of a channel by itself: all of it is drawn beside the item.
    for (let i = 0; shape.length > 1 && i < shape[0]; i += 1) {
      const canvas = element("canvas", { "aria-hidden": "true" });
      const part = values.subarray(i * size, (i + 1) * size);
      if (shape.length === 2) drawTraces(canvas, [Array.from(part, (v) => (v - 128) / 127)], 1, 200, 48);
      else drawLevels(canvas, part, shape[2], shape[1]);
      const here = first + i;
      tiles.push(element(
        "button",
        { type: "button", "aria-label": `channel ${here}`, title: `channel ${here}`, "data-channel": here, onclick: () => this.chosen(here) },
        canvas,
      ));
    }
    this.grid.replaceChildren(...tiles);
    this.mark(this.channel);
    this.controls(scale);
    return scale;
  }

  controls(scale) {
    const count = this.node.channels;
    const last = Math.min(this.first + PER_PAGE, count);
    const step = (by, label, off) => element(
      "button", { type: "button", disabled: off, "aria-label": label, onclick: () => this.page(this.first + by) }, by < 0 ? "‹" : "›",
    );
    const shade = element("span", { class: "scale" }, `−${short(scale)}`, element("i"), short(scale));
    const vector = this.node.space.length === 0;
    const many = count > PER_PAGE && !vector ? [
      step(-PER_PAGE, "Channels before", this.first === 0),
      element("span", {}, `channels ${this.first} to ${last - 1} of ${whole(count)}`),
      step(PER_PAGE, "Channels after", last >= count),
    ] : [element("span", {}, `${whole(count)} ${vector ? "value" : "channel"}${count === 1 ? "" : "s"}`)];
    this.pages.replaceChildren(...many, shade);
  }

  mark(channel) {
    this.channel = channel;
    const tiles = [...this.grid.children];
    if (!tiles.length) return;
    const focused = tiles.find((tile) => Number(tile.dataset.channel) === channel) ?? tiles[0];
    for (const tile of tiles) {
      tile.setAttribute("aria-pressed", String(Number(tile.dataset.channel) === channel));
      tile.tabIndex = tile === focused ? 0 : -1;
    }
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const tiles = [...this.grid.children];
    const next = tiles[tiles.indexOf(document.activeElement) + step];
    if (!next) return;
    for (const tile of tiles) tile.tabIndex = tile === next ? 0 : -1;
    next.focus();
  }
}

function short(value) {
  return value >= 100 || value < 0.01 ? value.toExponential(1) : value.toPrecision(2);
}
