// The items as a list with filters, a page at a time.

import { byId, element, say, text, whole } from "./dom.js";
import { filtered, ordered } from "./columns.js";
import { percent } from "./nearest_view.js";
import { picture } from "./pictures.js";

const PER_PAGE = 25;
const LIMITS = ["confidence", "error", "novelty"];

export class ListView {
  constructor({ about, choose, changed }) {
    Object.assign(this, { about, choose, changed, page: 0, among: null });
    this.wanted = { filters: {}, least: {}, most: {}, text: "" };
    this.sort = "";
  }

  build(items, corrections) {
    Object.assign(this, { items, corrections });
    const kept = items.columns.filter(({ names }) => names && names.length > 1);
    this.controls = new Map();
    const fields = kept.map((column) => this.select(column));
    const limits = items.columns.filter(({ key, names }) => !names && LIMITS.includes(key)).map(({ key, title }) => element(
      "span", { class: "field" }, element("span", {}, title),
      this.limit("least", key, `${title}, at least`), "to", this.limit("most", key, `${title}, at most`),
    ));
    const name = element("input", { type: "search", id: "part", value: this.wanted.text, oninput: () => this.want({ text: name.value }) });
    this.sorting = element(
      "select", { id: "sort", onchange: () => { this.sort = this.sorting.value; this.show(0); } },
      element("option", { value: "" }, "order of the data"),
      ...items.columns.filter(({ names }) => !names).flatMap(({ key, title }) => [
        element("option", { value: `-${key}`, selected: this.sort === `-${key}` }, `${title}, highest first`), element("option", { value: `+${key}`, selected: this.sort === `+${key}` }, `${title}, lowest first`),
      ]),
    );
    this.count = element("p", { class: "quiet", id: "count", role: "status" });
    this.body = element("tbody", {});
    this.columns = ["truth", "answer", "answer2", "confidence", "error", "split", "agreement"].map((key) => items.column(key)).filter((column) => column);
    const head = element("tr", {}, ...[...(this.about.pictures ? ["picture"] : []), "item", ...this.columns.map(({ title }) => title)].map((title) => element("th", { scope: "col" }, title)));
    this.pages = element("div", { class: "pages" });
    this.caught = element("div", { class: "field" });
    byId("items").replaceChildren(
      element("h2", { id: "items-title" }, "Items"),
      element(
        "div", { class: "tools" },
        ...(items.column("result") ? [element("button", { type: "button", id: "mistakes", onclick: () => this.only({ split: "test", result: "wrong" }, items.column("confidence") ? "-confidence" : "") }, "Mistakes on test items")] : []),
        ...(items.column("error") ? [element("button", { type: "button", id: "mistakes", onclick: () => this.only({ split: "test" }, "-error") }, "Largest errors on test items")] : []),
        element("button", { type: "button", id: "all", onclick: () => this.only({}) }, "All items"),
      ),
      element("div", { class: "filters" }, ...fields, ...limits, element("span", { class: "field" }, element("label", { for: "part" }, "name contains"), name), element("span", { class: "field" }, element("label", { for: "sort" }, "sorted by"), this.sorting), this.caught),
      this.count,
      element("div", { class: "scroll" }, element("table", { class: "items" }, element("thead", {}, head), this.body)),
      this.pages,
    );
    this.show(this.page);
  }

  select({ key, title, names }) {
    const control = element(
      "select", { id: `filter-${key}`, onchange: () => this.want({ filters: { ...this.wanted.filters, [key]: control.value } }) },
      element("option", { value: "" }, "any"),
      ...names.map((name) => element("option", { value: name, selected: this.wanted.filters[key] === name }, name)),
    );
    this.controls.set(key, control);
    return element("span", { class: "field" }, element("label", { for: `filter-${key}` }, title), control);
  }

  limit(which, key, label) {
    const input = element("input", {
      type: "number", step: "any", "aria-label": label, value: this.wanted[which][key] ?? "", id: `${which}-${key}`,
      oninput: () => this.want({ [which]: { ...this.wanted[which], [key]: input.value } }),
    });
    return input;
  }

  want(change) {
    Object.assign(this.wanted, change);
    this.show(0);
  }

  // These filters and no others; the list comes into view.
  only(filters, sort = "") {
    this.wanted = { filters, least: {}, most: {}, text: "" };
    this.sort = sort;
    this.among = null;
    this.page = 0;
    this.build(this.items, this.corrections);
    say(this.count.textContent);
  }

  catch(among) {
    this.among = among;
    this.show(0);
    say(this.count.textContent);
  }

  show(page) {
    const { items } = this;
    this.found = ordered(items, filtered(items, { ...this.wanted, among: this.among }), this.sort.slice(1), this.sort[0] === "-");
    this.page = Math.max(0, Math.min(page, Math.ceil(this.found.length / PER_PAGE) - 1));
    const first = this.page * PER_PAGE;
    const rows = this.found.slice(first, first + PER_PAGE).map((item) => this.row(item));
    this.body.replaceChildren(...rows);
    const [one, many] = this.about.nouns;
    this.count.textContent = `${whole(this.found.length)} of ${whole(items.size)} ${items.size === 1 ? one : many}`;
    const step = (by, label, off) => element("button", { type: "button", disabled: off, "aria-label": label, onclick: () => this.show(this.page + by) }, by < 0 ? "‹" : "›");
    this.pages.replaceChildren(...(this.found.length > PER_PAGE ? [
      step(-1, "Items before", this.page === 0),
      element("span", {}, `${first + 1} to ${Math.min(first + PER_PAGE, this.found.length)}`),
      step(1, "Items after", first + PER_PAGE >= this.found.length),
    ] : []));
    this.caught.replaceChildren(...(this.among ? [
      element("span", {}, `${whole(this.among.size)} caught in the lasso`),
      element("button", { type: "button", onclick: () => this.catch(null) }, "Let go"),
    ] : []));
    this.changed();
  }

  row(item) {
    const cells = this.columns.map(({ key }) => {
      const value = this.items.value(key, item);
      const shown = value === null ? "–" : typeof value === "string" ? value : key === "confidence" ? percent(value) : text(value);
      return element("td", { "data-key": key }, shown);
    });
    const name = element("button", { type: "button", class: "link", onclick: () => this.choose(item, true) }, this.items.names[item]);
    const corrected = this.corrections.get(item);
    const mark = corrected === null ? null : element("small", { class: "quiet" }, corrected ? ` becomes ${corrected}` : " left out");
    return element("tr", { "data-item": item, class: this.items.value("result", item) === "wrong" ? "wrong" : null }, this.about.pictures ? element("td", {}, picture(item)) : null, element("td", { class: "name" }, name, mark), ...cells);
  }
}
