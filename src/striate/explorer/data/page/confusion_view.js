// Counts of true and predicted classes; each opens its items in the list.

import { byId, element } from "./dom.js";
import { confusionOf } from "./columns.js";

const MOST = 30;
const TOLD = 40;

export class ConfusionView {
  constructor({ open }) {
    this.open = open;
    this.split = "test";
  }

  build(items) {
    this.items = items;
    const splits = items.column("split").names.filter((name) => confusionOf(items, name).flat().some((count) => count));
    if (!splits.includes(this.split)) this.split = splits[0] ?? this.split;
    const select = element(
      "select", { id: "confusion-split", onchange: () => { this.split = select.value; this.show(); } },
      ...splits.map((name) => element("option", { value: name, selected: name === this.split }, name)),
    );
    this.box = element("div", { class: "scroll" });
    byId("confusion").hidden = !splits.length;
    byId("confusion").replaceChildren(
      element("h2", { id: "confusion-title" }, "What is taken for what"),
      element("p", { class: "field" }, element("label", { for: "confusion-split" }, "items of"), select, element("span", { class: "quiet" }, "Rows are true classes, columns predicted ones; a count opens its items.")),
      this.box,
    );
    this.show();
  }

  show() {
    const counts = confusionOf(this.items, this.split);
    const names = this.items.column("truth").names;
    this.box.replaceChildren(names.length > MOST ? this.list(counts, names) : this.table(counts, names));
  }

  button(count, truth, answer) {
    return element("button", {
      type: "button", "aria-label": `${count} of ${truth} taken for ${answer}`,
      onclick: () => this.open({ split: this.split, truth, answer }),
    }, String(count));
  }

  table(counts, names) {
    const head = element("tr", {}, element("td", {}), ...names.map((name) => element("th", { scope: "col" }, name)));
    const rows = counts.map((row, truth) => {
      const sum = row.reduce((a, b) => a + b, 0) || 1;
      const cells = row.map((count, answer) => {
        const cell = element("td", { class: truth === answer ? "right" : "wrong" }, count ? this.button(count, names[truth], names[answer]) : "0");
        cell.style.setProperty("--share", `${Math.round((70 * count) / sum)}%`);
        return cell;
      });
      return element("tr", {}, element("th", { scope: "row" }, names[truth]), ...cells);
    });
    return element("table", { class: "confusion" }, element("thead", {}, head), element("tbody", {}, ...rows));
  }

  // Of many classes the most frequent mistakes.
  list(counts, names) {
    const found = counts.flatMap((row, truth) => row.map((count, answer) => ({ count, truth, answer })))
      .filter(({ count, truth, answer }) => count && truth !== answer)
      .sort((a, b) => b.count - a.count).slice(0, TOLD);
    return element("ol", { class: "pairs" }, ...found.map(({ count, truth, answer }) => element("li", {}, `${names[truth]} taken for ${names[answer]}: `, this.button(count, names[truth], names[answer]))));
  }
}
