// Kernel, stride, padding and dilation along one axis, and the size that comes out.

import { element, scrolls, text } from "./dom.js";

// As striate.geometry: floor((size + 2 padding - extent) / stride) + 1, or null where no window fits.
export function outputSize(size, kernel, stride, padding, dilation) {
  const span = size + 2 * padding - extentOf(kernel, dilation);
  return span < 0 ? null : Math.floor(span / stride) + 1;
}

export function extentOf(kernel, dilation) {
  return (kernel - 1) * dilation + 1;
}

const CONTROLS = [
  ["size", "input size", 1, 24, 9], ["kernel", "kernel size", 1, 9, 3], ["stride", "stride", 1, 6, 1],
  ["padding", "padding", 0, 8, 1], ["dilation", "dilation", 1, 5, 1], ["at", "output cell", 0, 30, 0],
];

export function playground(box) {
  const values = Object.fromEntries(CONTROLS.map(([name, , , , value]) => [name, value]));
  const canvas = element("canvas", { role: "img", "aria-label": "The taps of the window on the input with its padding, and the output below" });
  const formula = scrolls(element("p", { class: "formula", id: "formula" }));
  const words = element("p", { class: "quiet", "aria-live": "polite" });
  const inputs = {};
  const redraw = () => draw(values, inputs, { canvas, formula, words });
  const rows = CONTROLS.map(([name, label, low, high]) => {
    const shown = element("output", { for: `play-${name}` });
    const input = element("input", {
      type: "range", id: `play-${name}`, min: low, max: high, value: values[name],
      oninput: () => {
        values[name] = Number(input.value);
        redraw();
      },
    });
    inputs[name] = { input, shown };
    return element("div", { class: "control" }, element("label", { for: `play-${name}` }, label), input, shown);
  });
  box.append(element(
    "div", { class: "play" },
    element("div", {}, ...rows),
    element("div", {}, formula, words, element("div", { class: "frame" }, canvas)),
  ));
  redraw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  // Settings by name, as from an exercise.
  const set = (settings) => {
    Object.assign(values, settings);
    for (const name of Object.keys(settings)) inputs[name].input.value = settings[name];
    redraw();
  };
  return { values, redraw, set };
}

function draw(values, inputs, { canvas, formula, words }) {
  const { size, kernel, stride, padding, dilation } = values;
  const out = outputSize(size, kernel, stride, padding, dilation);
  values.at = Math.max(0, Math.min(values.at, (out ?? 1) - 1));
  inputs.at.input.max = Math.max((out ?? 1) - 1, 0);
  inputs.at.input.value = values.at;
  for (const [name, { shown }] of Object.entries(inputs)) shown.textContent = String(values[name]);
  const filled = `⌊(${size} + 2·${padding} − ${dilation}·(${kernel} − 1) − 1) / ${stride}⌋ + 1`;
  const result = element("b", { id: "output-size" }, out === null ? "no window fits" : String(out));
  formula.replaceChildren("output = ⌊(input + 2·padding − dilation·(kernel − 1) − 1) / stride⌋ + 1", element("br"), `= ${filled} = `, result);
  words.textContent = out === null
    ? `A window spans ${extentOf(kernel, dilation)}, and input with padding has ${size + 2 * padding}.`
    : `A window spans ${extentOf(kernel, dilation)} positions. Cell ${values.at} begins at position ${text(values.at * stride - padding)}.${left(values, out)}`;
  paint(canvas, values, out);
}

function left({ size, kernel, stride, padding, dilation }, out) {
  const unseen = size + 2 * padding - extentOf(kernel, dilation) - (out - 1) * stride;
  return unseen ? ` The last ${unseen} position${unseen === 1 ? " is" : "s are"} not seen.` : "";
}

// The padded input as squares, the taps of the chosen window filled; below it the output.
function paint(canvas, { size, kernel, stride, padding, dilation, at }, out) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name);
  const [cell, top] = [24, 6];
  const places = Math.max(size + 2 * padding, 16);
  canvas.width = 2 * places * cell;
  canvas.height = 2 * (4 * cell + 2 * top);
  const context = canvas.getContext("2d");
  context.scale(2, 2);
  const taps = [];
  if (out !== null) for (let k = 0; k < kernel; k += 1) taps.push(at * stride - padding + k * dilation);
  const left = (position) => cell * (position + padding) + 1;
  const square = (x, y, fill, dashed) => {
    context.setLineDash(dashed ? [3, 3] : []);
    context.fillStyle = fill;
    context.strokeStyle = colour("--quiet");
    context.fillRect(x, y, cell - 3, cell - 3);
    context.strokeRect(x, y, cell - 3, cell - 3);
  };
  for (let i = -padding; i < size + padding; i += 1) {
    const inside = i >= 0 && i < size;
    const ground = inside ? colour("--card") : colour("--rule");
    square(left(i), top, taps.includes(i) ? colour("--accent") : ground, !inside);
  }
  if (out === null) return;
  const base = top + 3 * cell;
  const middle = (o) => o * stride - padding + (extentOf(kernel, dilation) - 1) / 2;
  for (let o = 0; o < out; o += 1) square(left(middle(o)), base, o === at ? colour("--second") : colour("--card"), false);
  context.setLineDash([]);
  context.strokeStyle = colour("--second");
  for (const tap of taps) {
    context.beginPath();
    context.moveTo(left(tap) + cell / 2 - 1, top + cell - 2);
    context.lineTo(left(middle(at)) + cell / 2 - 1, base);
    context.stroke();
  }
}
