// Where the network found evidence for its answer, over the item, and whether that holds.

import { byId, element, unpack } from "./dom.js";
import { ItemView } from "./item_view.js";
import { answerBars, barsToCome } from "./layers_view.js";
import { network } from "./network.js";
import { ask } from "./source.js";

const NAMES = { gradcam: "Grad-CAM", occlusion: "occlusion" };

class EvidenceView {
  constructor() {
    this.item = null;
  }

  async show(item) {
    if (!this.view) this.build(byId("evidence"));
    await this.changeItem(item);
  }

  async changeItem(item) {
    if (!this.view || item === this.item || byId("evidence").hidden) return;
    this.item = item;
    this.verdict.textContent = "";
    this.words.textContent = "Looking for the evidence.";
    this.heat.hidden = true;
    const [opened] = await Promise.all([ask("item", { item }), this.view.show(item), this.plain.show(item)]);
    if (item !== this.item) return;
    this.answer.replaceChildren(...answerBars(opened));
    try {
      await this.mark(item);
    } catch (error) {
      if (item === this.item) this.words.textContent = error.message;
    }
  }

  // First the marks, which are soon there, and then whether they can be relied on.
  async mark(item) {
    const found = await ask("evidence", { item });
    if (item !== this.item) return;
    const evidence = found.outputs > 1 ? `“${found.class}”` : "a higher number";
    this.words.textContent = found.found
      ? `Marked is where ${NAMES[found.method] ?? found.method} finds evidence for ${evidence}: the stronger, the more.`
      : `${NAMES[found.method] ?? found.method} finds no evidence for ${evidence} in this item.`;
    if (!found.found) return;
    this.draw(unpack(found.heat));
    this.verdict.textContent = "It is being checked …";
    const { faithful } = await ask("verdict", { item });
    if (item !== this.item) return;
    this.verdict.textContent = faithful
      ? "Checked: blanking what is marked counts more than blanking at random."
      : "Checked: no better than marks at random. Do not rely on it.";
    this.verdict.classList.toggle("doubt", !faithful);
  }

  // The heat as a veil over the item: what is marked stays clear, the rest is dark.
  draw({ shape: [height, width], values }) {
    this.heat.hidden = false;
    this.heat.width = width;
    this.heat.height = height;
    const context = this.heat.getContext("2d");
    const image = context.createImageData(width, height);
    values.forEach((value, i) => image.data.set([20, 23, 26, Math.round(200 * (1 - value / 255))], 4 * i));
    context.putImageData(image, 0, 0);
  }

  build(box) {
    this.plain = new ItemView("The item");
    this.view = new ItemView("The item, dark where no evidence was found");
    this.plain.told.remove();
    this.view.told.remove();
    this.heat = element("canvas", { class: "heat", "aria-hidden": "true" });
    this.view.frame.append(this.heat);
    this.words = element("p", { class: "words" });
    this.verdict = element("p", { class: "verdict", role: "status" });
    this.answer = element("div", { class: "answer" }, ...barsToCome());
    const slice = network().input_shape.length === 4 ? " Of a volume the middle slice is shown." : "";
    box.append(
      element("h2", {}, "What it saw"),
      element("p", { class: "quiet" }, `Where in this item the network found evidence for its answer, and whether that holds when it is tried.${slice}`),
      element(
        "div", { class: "looks" },
        element("div", {}, element("h3", {}, "The item"), this.plain.box),
        element("div", {}, element("h3", {}, "The evidence"), this.view.box),
        element("div", {}, this.answer, this.words, this.verdict),
      ),
    );
  }
}

export const evidenceView = new EvidenceView();
