// Corrected labels: kept here, and saved by the server where it was given a file.

import { byId, element, say } from "./dom.js";
import { ask, post } from "./source.js";

const FORMULA = ["=", "+", "-", "@", "\t", "\r", "'"];

// A cell of CSV as Striate writes it: no text can be taken for a formula.
export function cell(text) {
  const safe = FORMULA.includes(text[0]) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export class Corrections {
  constructor(changed) {
    this.changed = changed;
    this.byItem = new Map();
    this.path = null;
    this.unsaved = false;
    addEventListener("beforeunload", (event) => this.unsaved && event.preventDefault());
  }

  async load(items) {
    this.items = items;
    this.take(await ask("data/patch"));
    this.show();
  }

  take({ path, corrections }) {
    this.path = path;
    this.byItem = new Map(corrections.map(({ item, label, reason }) => [item, { label, reason }]));
  }

  get(item) {
    return this.byItem.get(item)?.label ?? null;
  }

  // A label, "" to leave the item out, null to take a correction back.
  async set(item, label) {
    if (this.path) this.take(await post("data/correct", { item, label }));
    else {
      if (label === null) this.byItem.delete(item);
      else this.byItem.set(item, { label, reason: "by hand" });
      this.unsaved = this.byItem.size > 0;
    }
    this.show();
    this.changed(item);
    const told = label === null ? "stays as it is" : label === "" ? "is left out" : `is ${label}`;
    say(`${this.items.names[item]} ${told}`);
  }

  text() {
    const rows = [...this.byItem].map(([item, { label, reason }]) => [this.items.names[item], label, String(this.items.value("truth", item) ?? ""), reason]);
    return [["id", "label", "was", "reason"], ...rows].map((row) => `${row.map(cell).join(",")}\n`).join("");
  }

  download() {
    const link = element("a", { href: URL.createObjectURL(new Blob([this.text()], { type: "text/csv" })), download: "patch.csv" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    this.unsaved = false;
  }

  show() {
    const rows = [...this.byItem].map(([item, { label, reason }]) => element(
      "tr", {},
      element("td", {}, element("button", { type: "button", class: "link", onclick: () => this.open(item) }, this.items.names[item])),
      element("td", {}, String(this.items.value("truth", item) ?? "–")),
      element("td", {}, label || "left out"),
      element("td", {}, reason),
      element("td", {}, element("button", { type: "button", "aria-label": `Take back the correction of ${this.items.names[item]}`, onclick: () => this.set(item, null) }, "Take back")),
    ));
    const head = element("tr", {}, ...["item", "was", "becomes", "reason", "back"].map((name) => element("th", { scope: "col" }, name)));
    const where = this.path ? `They are saved in ${this.path} at once.` : "Download them before you leave this page.";
    const how = [element("code", {}, "striate fit DATA --patch FILE"), " takes the table; the data stay as they are."];
    byId("corrections").replaceChildren(
      element("h2", { id: "corrections-title" }, `Corrected labels: ${rows.length}`),
      element("p", { class: "quiet" }, `${rows.length ? where : "Open an item and choose its right label, or to leave it out."} `, ...how),
      ...(rows.length ? [
        element("div", { class: "scroll" }, element("table", { class: "items" }, element("thead", {}, head), element("tbody", {}, ...rows))),
        element("p", {}, element("button", { type: "button", id: "download", onclick: () => this.download() }, "Download the table")),
      ] : []),
    );
  }
}
