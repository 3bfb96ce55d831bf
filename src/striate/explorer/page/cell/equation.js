// What the steps of all layers are written with: equations, and tables of the greatest products.

import { element, scrollBox, scrolls, text, whole } from "../dom.js";

const FEW_ROWS = 12;

export function term(value, label, strong = false) {
  const shown = strong ? element("b", { "data-value": value }, text(value, 6)) : element("span", { "data-value": value }, text(value, 6));
  return element("span", { class: "term" }, shown, element("small", {}, label));
}

export function equation(...parts) {
  return scrolls(element("p", { class: "equation" }, ...parts));
}

// The greatest of the products, or of `what` they are, `made` as rows, the first of their numbers being a name, and what the others add.
export function greatest(titles, made, row, what = "products") {
  const order = Array.from(made.keys()).sort((a, b) => Math.abs(made[b]) - Math.abs(made[a]));
  const rest = order.slice(FEW_ROWS).reduce((sum, i) => sum + made[i], 0);
  const rows = order.slice(0, FEW_ROWS).map((i) => {
    const [name, ...values] = row(i);
    return element("tr", {}, element("td", {}, String(name)), ...values.map((value) => element("td", { "data-value": value }, text(value))));
  });
  const head = element("tr", {}, ...titles.map((t) => element("th", { scope: "col" }, t)));
  const parts = [scrollBox(element("table", { class: "list" }, element("thead", {}, head), element("tbody", {}, ...rows)))];
  if (order.length > FEW_ROWS) {
    parts.push(element("p", { class: "quiet" }, `These are the ${FEW_ROWS} greatest; the other ${whole(order.length - FEW_ROWS)} ${what} add ${text(rest, 5)}.`));
  }
  return element("div", {}, ...parts);
}
