// How one number is computed, with all the numbers that it is computed of.

import { element, product, scrollBox, text, times, unpack, unravel, whole } from "../dom.js";
import { colourOf } from "../draw.js";
import { INPUT, network, nodeOf, placeText, titleOf } from "../network.js";
import { equation, greatest, term } from "./equation.js";
import { attention, dot, kernel, saidOfAll, softmax } from "./mixing_view.js";

const FEW_PARTS = 3;
const MORE_PARTS = 24;
const FEW_ROWS = 12;

export function cellView(cell, { open, outputs, slide }) {
  const node = nodeOf(cell.node);
  const box = document.createDocumentFragment();
  box.append(
    element("h2", {}, `${titleOf(node)}: ${placeText(cell.channel, cell.position)}${classOf(cell)}`),
    element("p", { class: "quiet" }, SAID[cell.form](cell, node)),
    ...step(cell, node, open),
    slide ?? "",
  );
  for (const next of cell.then ?? []) {
    const after = nodeOf(next.node);
    const made = element("div", { class: "step then" }, element("h3", {}, `then ${titleOf(after)}`));
    made.append(...step(next, after, open));
    box.append(made);
  }
  if (outputs) box.append(outputs);
  return box;
}

// Of the last layer the class that a value is the output of.
function classOf(cell) {
  const { classes, nodes } = network();
  const name = cell.node === nodes.length - 1 && !cell.position.length ? classes[cell.channel] : undefined;
  return name === undefined ? "" : `, “${name}”`;
}

const SAID = {
  ...saidOfAll,
  products: (cell, node) => {
    const { shape } = cell.window;
    const count = product(shape);
    if (!cell.start) return `${whole(count)} inputs, each times its weight, added up${cell.bias === null ? "" : ", plus a bias"}.`;
    const [first, channels] = cell.channels;
    const of = channels === 1 && node.channels > 1 ? `of input channel ${first}` : `in ${channels === 1 ? "its input channel" : `each of ${whole(channels)} input channels`}`;
    return `A window of ${times(shape.slice(1))} ${of}, times the kernel, place by place: ${whole(count)} product${count === 1 ? "" : "s"} added up${cell.bias === null ? "" : ", plus a bias"}.`;
  },
  window: (cell) => `The ${cell.operation} of ${whole(cell.count)} values of its own channel.`,
  norm: (cell) => `Minus the mean, over the standard deviation, of ${cell.over}; then a scale and a shift that were learnt.`,
  function: () => "A function of the one number at this place.",
  terms: (cell) => `The ${{ add: "sum", subtract: "difference", multiply: "product", divide: "quotient" }[cell.operation]} of the numbers at this place of ${cell.terms.length} tensors.`,
  copy: () => "The number is handed on as it is.",
  item: () => "A value of the item as the network takes it.",
  none: (cell) => `Not shown: ${cell.why}.`,
};

function step(cell, node, open) {
  const made = STEPS[cell.form](cell, node, open);
  const shown = [element("div", { class: "step" }, ...made)];
  if (cell.result !== undefined && cell.form !== "copy") shown.push(same(cell));
  return shown;
}

function same(cell) {
  const gap = Math.abs(cell.result - cell.value);
  const far = gap === 0 ? "and the steps above give the very same" : `and the steps above differ from it by ${gap.toExponential(0).replace("-", "−")}, which is rounding`;
  return element("p", { class: "same" }, `The network itself has ${text(cell.value, 7)} here, ${far}.`);
}

// Few digits, so that three matrices fit side by side; all of them are in the cell's title.
function short(value) {
  return text(value, Math.abs(value) >= 1 ? 3 : 2);
}

function table(values, shape, { outside, picked, caption }) {
  const scale = Math.max(...values.map(Math.abs)) || 1;
  const columns = shape.at(-1) ?? 1;
  const rows = product(shape) / columns;
  const perSlice = shape.length > 2 ? shape.at(-2) : rows;
  const body = element("tbody");
  for (let r = 0; r < rows; r += 1) {
    const row = element("tr", { class: r && r % perSlice === 0 ? "slice" : null });
    for (let c = 0; c < columns; c += 1) {
      const at = r * columns + c;
      const hidden = outside?.[at];
      const cell = element("td", { class: hidden ? "outside" : picked === at ? "picked" : null }, hidden ? "pad" : short(values[at]));
      if (!hidden) {
        const { fill, ink } = colourOf(values[at], scale);
        cell.style.background = fill;
        cell.style.color = ink;
        cell.title = String(values[at]);
      }
      row.append(cell);
    }
    body.append(row);
  }
  return scrollBox(element("table", { class: "numbers" }, element("caption", {}, caption), body));
}

// For each tap of a window, whether it is in the padding.
function padding(cell, shape) {
  const found = [];
  for (let at = 0; at < product(shape); at += 1) {
    const taps = unravel(at, shape);
    found.push(taps.some((tap, axis) => {
      const here = cell.start[axis] + tap * cell.step[axis];
      return here < 0 || here >= cell.space[axis];
    }));
  }
  return found;
}

function products(cell) {
  const { shape, values } = unpack(cell.window);
  const kernel = unpack(cell.kernel).values;
  const made = values.map((value, i) => Math.fround(value * kernel[i]));
  const windowed = cell.start && product(shape.slice(1)) > 1;
  const parts = windowed ? triples(cell, shape, values, kernel, made) : list(cell, values, kernel, made);
  const sum = [term(cell.sum, "sum of products")];
  if (cell.bias !== null) sum.push(" + ", term(cell.bias, "bias"));
  return [parts, equation(...sum, " = ", term(cell.result, "result", true))];
}

// Window, kernel and products of each input channel, of a volume slice by slice.
function triples(cell, shape, values, kernel, made) {
  const box = element("div", { class: "triples" });
  const taps = shape.slice(1);
  const plane = taps.slice(-2);
  const size = product(plane);
  const slices = product(taps) / size;
  const outside = padding(cell, taps);
  const count = shape[0] * slices;
  const add = (number) => {
    const part = (array) => Array.from(array.slice(number * size, (number + 1) * size));
    const slice = number % slices;
    const hidden = outside.slice(slice * size, (slice + 1) * size);
    const total = part(made).reduce((a, b) => a + b, 0);
    const channel = `input channel ${cell.channels[0] + Math.floor(number / slices)}`;
    const title = slices > 1 ? `${channel}, slice ${cell.start[0] + slice * cell.step[0]}` : channel;
    box.append(element(
      "div", { class: "triple" },
      element("h3", {}, title),
      table(part(values), plane, { outside: hidden, caption: "window" }),
      element("div", { class: "pair" }, "×", table(part(kernel), plane, { caption: "kernel" })),
      element("div", { class: "pair" }, "=", table(part(made), plane, { outside: hidden, caption: "products" })),
      element("p", { class: "total" }, "their sum is ", element("b", {}, text(total, 5))),
    ));
  };
  let shown = 0;
  for (; shown < Math.min(count, FEW_PARTS); shown += 1) add(shown);
  if (shown < count) box.append(rest(box, made, size, count, shown, add));
  return box;
}

// What the parts that are not shown add, and a button that shows more of them.
function rest(box, made, size, count, shown, add) {
  const line = element("p", {});
  const write = () => {
    const sum = made.slice(shown * size).reduce((a, b) => a + b, 0);
    const left = count - shown;
    line.replaceChildren(`The other ${whole(left)} ${left === 1 ? "part adds" : "parts add"} ${text(sum, 5)}. `, button);
  };
  const button = element("button", {
    type: "button",
    onclick: () => {
      line.remove();
      for (const until = Math.min(count, shown + MORE_PARTS); shown < until; shown += 1) add(shown);
      if (shown < count) {
        write();
        box.append(line);
      }
    },
  }, "Show more of them");
  write();
  return line;
}

function list(cell, values, kernel, made) {
  const first = cell.channels?.[0] ?? 0;
  return greatest(["input", "value", "weight", "product"], made, (i) => [first + i, values[i], kernel[i], made[i]]);
}

function windowed(cell) {
  const { shape, values } = unpack(cell.window);
  const taps = shape.slice(1);
  const outside = padding(cell, taps);
  const inside = Array.from(values.keys()).filter((i) => !outside[i]);
  const picked = cell.operation === "maximum" ? inside.reduce((best, i) => (values[i] > values[best] ? i : best), inside[0]) : null;
  const shown = values.length <= 400
    ? table(Array.from(values), taps, { outside, picked, caption: "window" })
    : element("p", {}, `All ${whole(values.length)} values of the channel.`);
  return [shown, CONCLUSIONS[cell.operation](cell)];
}

const CONCLUSIONS = {
  maximum: (cell) => equation("the greatest is ", term(cell.result, "result", true)),
  mean: (cell) => equation(term(cell.sum, "sum"), ` / ${whole(cell.count)} = `, term(cell.result, "mean", true)),
  variance: (cell) => equation("the squared distances from ", term(cell.mean, "mean"), " add up to ", term(cell.sum, "sum"), ` / ${whole(cell.count)} = `, term(cell.result, "variance", true)),
};

function norm(cell) {
  return [equation(
    "(", term(cell.x, "x"), " − ", term(cell.mean, "mean"), ") / √(", term(cell.variance, "variance"), " + ",
    term(cell.epsilon, "ε"), ") × ", term(cell.scale, "scale"), " + ", term(cell.shift, "shift"), " = ", term(cell.result, "result", true),
  )];
}

function applied(cell) {
  return [equation(`${cell.formula} of `, term(cell.x, "x"), " = ", term(cell.result, "result", true))];
}

function opener(number, open) {
  if (number === null || number === undefined) return element("span", {}, "a parameter or several layers");
  const node = nodeOf(number);
  const label = number === INPUT ? "the input" : `${titleOf(node)} (${node.name})`;
  return element("button", { type: "button", class: "link", onclick: () => open(number) }, label);
}

function terms(cell, _, open) {
  const sign = { add: " + ", subtract: " − ", multiply: " × ", divide: " ÷ " }[cell.operation];
  const parts = cell.terms.flatMap((each, i) => [i ? sign : "", term(each.value, `tensor ${i + 1}`)]);
  const sources = cell.terms.map((each, i) => element("li", {}, `tensor ${i + 1} comes from `, opener(each.node, open)));
  return [equation(...parts, " = ", term(cell.result, "result", true)), element("ul", { class: "sources" }, ...sources)];
}

function copied(cell, _, open) {
  return [equation(term(cell.result, "value", true)), element("p", { class: "sources" }, "from ", opener(cell.from, open), `, index ${cell.index.join(", ")}`)];
}

const STEPS = {
  products, dot, attention, softmax, kernel, window: windowed, norm, function: applied, terms, copy: copied,
  item: (cell) => [equation(term(cell.value, "value", true))],
  none: (cell) => [equation(term(cell.value, "value", true))],
};

// The last layer's outputs become shares: softmax, and the run's calibrated probabilities.
export function softmaxView(item) {
  const shown = item.outputs.slice(0, FEW_ROWS);
  const calibrated = item.outputs.some((each) => each.probability !== null);
  const names = ["class", "logit z", "exp(z − max)", "softmax", ...(calibrated ? ["calibrated"] : [])];
  const head = element("tr", {}, ...names.map((t) => element("th", { scope: "col" }, t)));
  const rows = shown.map((each) => element(
    "tr", {},
    ...[each.class, text(each.logit, 5), text(each.power, 5), text(each.share, 5), ...(calibrated ? [text(each.probability, 5)] : [])].map((t) => element("td", {}, t)),
  ));
  const total = item.outputs.reduce((sum, each) => sum + each.power, 0);
  return element(
    "div", { class: "step" },
    element("h3", {}, "then softmax"),
    element("p", { class: "quiet" }, `Each output's exponential over the sum of all ${whole(item.outputs.length)}, which is ${text(total, 6)}.${calibrated ? " The run's own probabilities are calibrated, and averaged over symmetries where it uses any." : ""}`),
    scrollBox(element("table", { class: "list" }, element("thead", {}, head), element("tbody", {}, ...rows))),
  );
}
