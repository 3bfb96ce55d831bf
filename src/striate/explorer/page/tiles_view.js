// The channels of a layer as small pictures or traces, a page at a time.

import { element, unpack, whole } from "./dom.js";
import { drawLevels, drawTraces, laneRatio } from "./draw.js";
import { ask } from "./source.js";

const PER_PAGE = 32;
const TRACE = [200, 48];

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
    return this.page(node.space.length ? Math.floor(channel / PER_PAGE) * PER_PAGE : 0);
  }

  async page(first) {
    this.first = first;
    this.layOut();
    const asked = this.number;
    const { levels, scale } = await ask("maps", { item: this.item, node: this.number, first, depth: this.depth });
    if (asked !== this.number || first !== this.first) return scale;
    const { shape, values } = unpack(levels);
    const size = shape.slice(1).reduce((a, b) => a * b, 1);
    // A saved page may have the first channels alone.
    while (this.grid.children.length > shape[0]) this.grid.lastChild.remove();
    [...this.grid.children].forEach((tile, i) => {
      const part = values.subarray(i * size, (i + 1) * size);
      if (shape.length === 2) drawTraces(tile.firstChild, [Array.from(part, (v) => (v - 128) / 127)], 1, TRACE);
      else drawLevels(tile.firstChild, part, shape[2], shape[1]);
    });
    this.controls(scale);
    return scale;
  }

  // The buttons of all channels of the page, before their maps are there.
  layOut() {
    const { first, node } = this;
    const room = [this.number, first].join();
    if (room !== this.room) {
      this.room = room;
      // A vector has nothing to show of a channel by itself: all of it is drawn beside the item.
      const count = node.space.length ? Math.min(PER_PAGE, node.channels - first) : 0;
      const ratio = node.space.length === 1 ? laneRatio(1, TRACE) : `${node.space.at(-1)} / ${node.space.at(-2)}`;
      this.grid.classList.toggle("long", node.space.length === 1);
      this.grid.hidden = count === 0;
      this.grid.replaceChildren(...Array.from({ length: count }, (_, i) => this.tile(first + i, ratio)));
      this.controls(null);
    }
    this.mark(this.channel);
  }

  tile(channel, ratio) {
    const canvas = element("canvas", { "aria-hidden": "true" });
    canvas.style.aspectRatio = ratio;
    const name = `channel ${channel}`;
    return element("button", { type: "button", "aria-label": name, title: name, "data-channel": channel, onclick: () => this.chosen(channel) }, canvas);
  }

  controls(scale) {
    const count = this.node.channels;
    const last = Math.min(this.first + PER_PAGE, count);
    const step = (by, label, off) => element(
      "button", { type: "button", disabled: off, "aria-label": label, onclick: () => this.page(this.first + by) }, by < 0 ? "‹" : "›",
    );
    const end = scale === null ? "\u00a0" : short(scale);
    const shade = element("span", { class: "scale" }, element("b", {}, scale === null ? end : `−${end}`), element("i"), element("b", {}, end));
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
