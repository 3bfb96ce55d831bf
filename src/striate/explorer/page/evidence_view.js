// Where the network found evidence for its answer, over the item, and whether that holds.

import { byId, element, unpack } from "./dom.js";
import { ItemView } from "./item_view.js";
import { answerBars, barsToCome } from "./layers_view.js";
import { network } from "./network.js";
import { ask } from "./source.js";

const NAMES = { gradcam: "Grad-CAM", occlusion: "occlusion" };
const nameOf = (method) => NAMES[method] ?? method;
const capital = (text) => text[0].toUpperCase() + text.slice(1);

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
    this.verdict.classList.remove("doubt");
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

  // First the marks of a quick method and whether they can be relied on; where they cannot, those of
  // one that takes longer, for which the rest of the page does not wait.
  async mark(item) {
    const first = await this.tried(item);
    if (first?.then) this.instead(item, first).catch((error) => item === this.item && this.judge(false, ` ${error.message}`));
  }

  async instead(item, { found, then }) {
    const name = capital(nameOf(then));
    this.verdict.textContent = `Checked: no better than marks at random. ${name} is tried, which takes longer …`;
    const second = await ask("evidence", { item, method: then });
    const { faithful } = second.found ? await ask("verdict", { item, method: then }) : {};
    if (item !== this.item) return;
    if (!faithful) {
      this.judge(false, ` ${name} did not do better.`);
      return;
    }
    this.say(second, `${capital(nameOf(found.method))} did no better than marks at random. `);
    this.draw(unpack(second.heat));
    this.judge(true);
  }

  // What the first method finds, and the verdict on it; nothing where another item is looked at.
  async tried(item) {
    const found = await ask("evidence", { item });
    if (item !== this.item) return null;
    this.say(found);
    if (!found.found) return null;
    this.draw(unpack(found.heat));
    this.verdict.textContent = "It is being checked …";
    const { faithful, then } = await ask("verdict", { item });
    if (item !== this.item) return null;
    this.judge(faithful);
    return { found, then };
  }

  say(found, before = "") {
    const name = nameOf(found.method);
    const evidence = found.outputs > 1 ? `“${found.class}”` : "a higher number";
    this.words.textContent = found.found
      ? `${before}Marked is where ${name} finds evidence for ${evidence}: the stronger, the more.`
      : `${capital(name)} finds no evidence for ${evidence} in this item.`;
  }

  judge(faithful, more = "") {
    this.verdict.textContent = faithful
      ? "Checked: blanking what is marked counts more than blanking at random."
      : `Checked: no better than marks at random. Do not rely on it.${more}`;
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
