// The chosen item: picture, facts, probabilities, its label to correct, and its nearest neighbours.

import { byId, element, text } from "./dom.js";
import { bars, cards, patiently, percent } from "./nearest_view.js";
import { picture } from "./pictures.js";
import { ask } from "./source.js";

export class DetailView {
  constructor({ about, items, corrections, choose }) {
    Object.assign(this, { about, items, corrections, choose, item: null });
    this.turn = 0;
    this.show(null);
  }

  async show(item) {
    this.item = item;
    const mine = (this.turn += 1);
    const box = byId("detail");
    if (item === null) {
      box.replaceChildren(element("p", { class: "quiet" }, `Choose ${this.about.nouns[0] === "image" ? "an image" : "an item"} on the map, in the table of classes or in the list.`));
      return;
    }
    const told = element("div", {});
    const nearest = element("div", {}, element("p", { class: "quiet", role: "status" }, ""));
    const large = picture(item);
    large.classList.add("large");
    box.classList.add("chosen");
    box.replaceChildren(element("h2", {}, this.items.names[item]), large, this.facts(item), this.form(item), told);
    const neighbours = this.neighbours(item, nearest, () => mine === this.turn);
    await this.tell(item, told);
    // What comes later is added below, so that nothing moves.
    if (mine === this.turn) box.append(element("h3", {}, "Nearest training items"), nearest);
    await neighbours;
  }

  facts(item) {
    const rows = this.items.columns.map(({ key, title }) => {
      const value = this.items.value(key, item);
      if (value === null) return null;
      const shown = typeof value === "string" ? value : key === "confidence" ? percent(value) : `${text(value)}${["truth", "answer", "error"].includes(key) && this.about.unit ? ` ${this.about.unit}` : ""}`;
      return element("div", {}, element("dt", {}, title), element("dd", { "data-key": key }, shown));
    });
    return element("dl", { class: "facts" }, ...rows);
  }

  async tell(item, box) {
    const { probabilities, set, interval } = await this.maybe("data/item", { item });
    box.replaceChildren(
      ...(set?.length ? [element("p", { class: "quiet" }, `Prediction set: ${set.join(", ")}`)] : []),
      ...(interval?.length && interval[0] !== "" ? [element("p", { class: "quiet" }, `Interval: ${text(Number(interval[0]))} to ${text(Number(interval[1]))}`)] : []),
      ...(probabilities?.length ? [bars(probabilities)] : []),
    );
  }

  // A saved page has this of some items only.
  async maybe(name, parameters) {
    try {
      return await ask(name, parameters);
    } catch (error) {
      return { why: error.message };
    }
  }

  async neighbours(item, box, alive) {
    let answer;
    try {
      answer = await patiently("data/nearest", { item }, (line) => alive() && box.replaceChildren(element("p", { class: "quiet", role: "status" }, line)), alive);
    } catch (error) {
      answer = { why: error.message };
    }
    if (!alive()) return;
    const { nearest, why } = answer;
    if (nearest?.length) box.replaceChildren(element("p", { class: "quiet" }, "Most like it in what the network makes of them: it predicts this because of these."), cards(nearest, this.choose));
    else box.replaceChildren(element("p", { class: "quiet" }, why || "They are not known: this item was not found in the data."));
  }

  form(item) {
    const truth = this.items.value("truth", item);
    const kept = this.corrections.get(item);
    const option = (value, name) => element("option", { value, selected: value === (kept === null ? "keep" : `=${kept}`) }, name);
    const classes = this.about.one_class ? this.about.classes.filter((name) => name !== truth) : [];
    const select = element(
      "select", { id: "correct", onchange: () => this.corrections.set(item, select.value === "keep" ? null : select.value.slice(1)) },
      option("keep", `stays ${truth === null ? "as it is" : typeof truth === "number" ? text(truth) : truth}`), ...classes.map((name) => option(`=${name}`, name)), option("=", "leave it out"),
    );
    return element("p", { class: "correct" }, element("label", { for: "correct" }, this.about.one_class ? "Right label" : "In a patch"), select);
  }
}
