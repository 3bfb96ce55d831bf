// Two runs on the same items: the paired figures, and where they disagree.

import { byId, element, text } from "./dom.js";
import { ask } from "./source.js";

export async function compareView({ open, colour }) {
  const told = await ask("data/compared");
  const box = byId("compare");
  const row = ({ metric, value, ci95 }) => element(
    "tr", {}, element("th", { scope: "row" }, metric.replaceAll("_", " ")),
    element("td", { "data-metric": metric, "data-value": value }, signed(value)),
    element("td", {}, ci95 ? `${signed(ci95[0])} to ${signed(ci95[1])}` : "–"),
    element("td", {}, ci95 ? (ci95[0] > 0 || ci95[1] < 0 ? "differs" : "may be chance") : ""),
  );
  const counts = Object.entries(told.counts).sort(([, a], [, b]) => b - a).map(([name, count]) => element(
    "li", {}, element("button", { type: "button", "data-agreement": name, onclick: () => open({ agreement: name }) }, `${count} ${name}`),
  ));
  box.hidden = false;
  byId("compare-link").hidden = false;
  box.replaceChildren(
    element("h2", { id: "compare-title" }, "Two runs on the same items"),
    element("p", {}, "First: ", element("b", {}, told.first), " · second: ", element("b", {}, told.second)),
    element("p", { class: "quiet" }, `${told.items} test items of both; they give the same answer for ${told.same}. ${told.better[0].toUpperCase()}${told.better.slice(1)} in the first: ${told.first_better}, in the second: ${told.second_better} (${told.test}: p = ${text(told.p_value, 3)}).`),
    element("ul", { class: "counts" }, ...counts),
    element("p", {}, element("button", { type: "button", onclick: colour }, "Colour the map by this")),
    element(
      "div", { class: "scroll" },
      element(
        "table", { class: "items" },
        element("caption", {}, "Second minus first, on the same items; of errors and losses less is better"),
        element("thead", {}, element("tr", {}, ...["metric", "difference", "95 % interval", "in words"].map((name) => element("th", { scope: "col" }, name)))),
        element("tbody", {}, ...told.lines.map(row)),
      ),
    ),
  );
}

function signed(value) {
  if (value === null) return "–";
  return value > 0 ? `+${text(value, 3)}` : text(value, 3);
}
