// The theoretical fields of every layer at one place of the item, one inside the other.

import { element, path, text, times, unpack } from "./dom.js";
import { laneRatio, mark, place } from "./draw.js";
import { ItemView } from "./item_view.js";
import { fieldAt, fieldText, network, nodeOf, titleOf } from "./network.js";
import { ask, savedCells } from "./source.js";

class FieldsView {
  constructor() {
    this.built = false;
    this.place = null;
    this.on = null;
  }

  async show(box, item) {
    if (!this.built) {
      this.build(box);
      this.built = true;
    }
    await this.changeItem(item);
  }

  async changeItem(item) {
    if (!this.built) return;
    this.item = item;
    this.effect.hidden = true;
    await this.view.show(item);
    this.draw();
  }

  // One layer for each size of field, the last of those that are alike, as far as there are maps; no
  // function such as an addition, whose effective field cannot be computed.
  get layers() {
    const found = new Map();
    network().nodes.forEach((node, number) => {
      if (node.kind === node.kind.toLowerCase() && node.followers.length) return;
      if (node.space.length && node.fields && node.fields.every((field) => field !== null)) {
        found.set(node.fields.map((f) => `${f.size}/${f.jump}`).join(), { node, number });
      }
    });
    return [...found.values()];
  }

  build(box) {
    const shape = network().input_shape.slice(1);
    this.place = shape.map((n) => Math.floor(n / 2));
    this.view = new ItemView("The item, with the field of each layer at one place");
    const frame = this.view.frame;
    frame.tabIndex = 0;
    frame.setAttribute("role", "application");
    frame.setAttribute("aria-label", "Place on the item; the arrow keys move it");
    frame.addEventListener("pointermove", (event) => this.point(event));
    frame.addEventListener("click", (event) => this.point(event));
    frame.addEventListener("keydown", (event) => this.key(event));
    this.body = element("tbody");
    this.heat = element("canvas", { role: "img", "aria-label": "How much each place of the item moves the unit" });
    this.heat.style.aspectRatio = shape.length === 1 ? laneRatio(1) : `${shape.at(-1)} / ${shape.at(-2)}`;
    this.theory = mark("field");
    this.told = element("p", { class: "reading long", role: "status" });
    this.effect = element("div", { class: "effect", hidden: true }, element("h3", {}, "Its effective field"), element("div", { class: `frame clipped${shape.length === 1 ? " wide" : ""}` }, this.heat, this.theory), this.told);
    const head = ["layer", "field", "from one unit to the next"].map((t) => element("th", { scope: "col" }, t));
    box.append(element(
      "div", { class: "fields" },
      element("div", {}, element("p", { class: "quiet" }, `Move over the item: for each layer, what the unit above this place can see of it. Choose a layer to mark its own${savedCells ? "" : ", and press it to see how much each place of the item really counts"}.`), this.view.box),
      element("div", { class: "tablebox" }, element("table", { class: "list" }, element("thead", {}, element("tr", {}, ...head)), this.body)),
      this.effect,
    ));
    this.rows();
  }

  rows() {
    this.body.replaceChildren(...this.layers.map(({ node, number }) => {
      const button = element("button", { type: "button", onclick: () => this.press(number), onfocus: () => this.choose(number) }, `${titleOf(node)} (`, ...path(node.name), ")");
      return element(
        "tr", { "data-node": number, onpointerenter: () => this.choose(number) },
        element("td", {}, button), element("td", {}, fieldText(node)),
        element("td", {}, times(node.fields.map((f) => text(f.jump, 3)))),
      );
    }));
  }

  choose(number) {
    const row = (each) => each.node.fields?.map((f) => `${f?.size}/${f?.jump}`).join();
    const own = this.layers.find((each) => each.number === number || row(each) === row({ node: nodeOf(number) }));
    number = own?.number ?? number;
    this.on = number;
    for (const row of this.body.children) row.classList.toggle("on", Number(row.dataset.node) === number);
    this.draw();
  }

  // What of the item really moves the unit above this place: gradients, from the server.
  async press(number) {
    this.choose(number);
    if (savedCells) return;
    const node = nodeOf(number);
    const [item, unit] = [this.item, this.unit(node)];
    const mine = (this.turn = (this.turn ?? 0) + 1);
    this.effect.hidden = false;
    if (!this.told.textContent) this.told.textContent = "Computing.";
    this.effect.scrollIntoView({ block: "nearest" });
    try {
      const found = await ask("effective", { item, node: number, position: unit.join(",") });
      if (mine !== this.turn) return;
      this.drawHeat(unpack(found.levels));
      const space = this.view.space;
      const ranges = fieldAt(node, unit);
      const [x, y] = [ranges.at(-1), space.length > 1 ? ranges.at(-2) : [0, 1]];
      const [width, height] = [space.at(-1), space.length > 1 ? space.at(-2) : 1];
      place(this.theory, x[0] / width, y[0] / height, (x[1] - x[0]) / width, (y[1] - y[0]) / height);
      this.told.textContent = `In theory ${titleOf(node)} (${node.name}) sees ${fieldText(node)} here, the frame. ${Math.round(100 * found.share)} % of what moves it, for this item, lies within ${times(found.size)}.`;
    } catch (error) {
      if (mine !== this.turn) return;
      this.heat.width = 1;
      this.theory.hidden = true;
      this.told.textContent = error.message;
    }
  }

  drawHeat({ shape: [height, width], values }) {
    this.heat.width = width;
    this.heat.height = height;
    const context = this.heat.getContext("2d");
    const image = context.createImageData(width, height);
    values.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
    context.putImageData(image, 0, 0);
  }

  // The position of the unit whose field has its middle nearest to the place.
  unit(node) {
    return node.fields.map((field, axis) => {
      const at = (this.place[axis] - field.start - (field.size - 1) / 2) / field.jump;
      return Math.max(0, Math.min(node.space[axis] - 1, Math.round(at)));
    });
  }

  draw() {
    const shown = this.layers.map(({ node, number }) => ({
      ranges: fieldAt(node, this.unit(node)), kind: number === this.on ? "layer on" : "layer",
    }));
    const first = shown.find((each) => each.kind === "layer on") ?? shown[0];
    this.view.point([first, ...shown.filter((each) => each !== first)].filter(Boolean));
  }

  point(event) {
    const box = this.view.canvas.getBoundingClientRect();
    const shape = this.view.space;
    const share = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    const inside = (value, n) => Math.max(0, Math.min(n - 1, Math.floor(value * n)));
    this.place[shape.length - 1] = inside(share[0], shape.at(-1));
    if (shape.length > 1) this.place[shape.length - 2] = inside(share[1], shape.at(-2));
    this.draw();
  }

  key(event) {
    const steps = { ArrowLeft: [-1, -1], ArrowRight: [-1, 1], ArrowUp: [-2, -1], ArrowDown: [-2, 1] };
    if (!steps[event.key]) return;
    event.preventDefault();
    const axis = this.place.length + steps[event.key][0];
    if (axis < 0) return;
    const n = this.view.space[axis];
    this.place[axis] = Math.max(0, Math.min(n - 1, this.place[axis] + steps[event.key][1] * Math.max(1, Math.round(n / 64))));
    this.draw();
  }
}

export const fieldsView = new FieldsView();
