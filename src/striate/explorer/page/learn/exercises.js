// An exercise: a question about the network, the means to answer it, and the check.

import { element, product, scrollBox, text, unpack } from "../dom.js";
import { drawLevels, drawTraces, drawValues } from "../draw.js";
import { ItemView } from "../item_view.js";
import { placeText } from "../network.js";

const LETTERS = "ABCD";
const TRIES = 2;

// `solved()` is called when the answer is right or has been shown; `go(look)` opens the place in the network.
export function exerciseView(exercise, { id, item, solved, go }) {
  const box = element("section", { class: "card exercise", "aria-labelledby": `${id}-title` }, element("h3", { id: `${id}-title` }, exercise.name));
  if (exercise.form === "missing") {
    box.append(element("p", {}, exercise.missing));
    return box;
  }
  const told = element("div", { class: "told", role: "status" });
  const parts = FORMS[exercise.form](exercise, { id, item });
  let wrong = 0;
  const done = (text) => {
    solved();
    check.disabled = true;
    const link = exercise.look && element("button", { type: "button", onclick: () => go(exercise.look) }, exercise.look.view === "playground" ? "Try it in the playground" : "See it in the network");
    told.replaceChildren(element("p", {}, element("b", {}, text), ` ${exercise.because}`), link ?? "");
  };
  const check = element("button", { type: "submit", class: "main" }, "Check");
  const submit = (event) => {
    event.preventDefault();
    const given = parts.given();
    if (given === null) {
      told.replaceChildren(element("p", {}, "Give an answer first."));
      return;
    }
    if (given === exercise.answer) {
      done("Right.");
      return;
    }
    wrong += 1;
    const more = parts.wrong?.(given) ?? [];
    const reveal = wrong >= TRIES && element("button", { type: "button", onclick: () => done(parts.reveal()) }, "Show the answer");
    told.replaceChildren(element("p", {}, element("b", {}, "Not yet."), ` ${exercise.hint}`), ...more, reveal || "");
  };
  const given = exercise.given.map(([term, value]) => element("div", {}, element("dt", {}, term), element("dd", {}, value)));
  box.append(element(
    "form", { onsubmit: submit, novalidate: true },
    given.length ? element("dl", { class: "facts" }, ...given) : null,
    ...parts.shown,
    element("div", { class: "pages" }, check),
  ), told);
  return box;
}

function number(exercise, { id }) {
  const input = element("input", { type: "number", id, min: 0, inputmode: "numeric" });
  return {
    shown: [element("label", { for: id }, exercise.question), input],
    given: () => (input.value === "" ? null : Number(input.value)),
    reveal: () => `The answer is ${exercise.answer}.`,
  };
}

function options(question, id, labels, extra) {
  const radios = labels.map((_, i) => element("input", { type: "radio", name: id, value: i, id: `${id}-${i}` }));
  const rows = labels.map((label, i) => element("div", { class: "option" }, radios[i], element("label", { for: `${id}-${i}` }, label, extra?.(i))));
  const set = element("fieldset", {}, element("legend", {}, question), ...rows);
  return { set, given: () => {
    const at = radios.findIndex((radio) => radio.checked);
    return at < 0 ? null : at;
  } };
}

function choice(exercise, { id }) {
  const { set, given } = options(exercise.question, id, exercise.options);
  return { shown: [set], given, reveal: () => `The answer is: ${exercise.options[exercise.answer].replace(/\.$/, "")}.` };
}

// The map, the item beside it, and kernels to choose from; a wrong one shows the map that it makes.
function kernel(exercise, { id, item }) {
  const maps = unpack(exercise.maps.levels);
  const kernels = unpack(exercise.kernels);
  const names = exercise.channels.map((_, i) => `kernel ${LETTERS[i]}`);
  const shown = [figure(mapOf(maps, exercise.answer), "the map")];
  if (exercise.of_item) {
    const view = new ItemView("The item");
    view.show(item);
    view.told.remove();
    shown.unshift(element("figure", {}, view.box, element("figcaption", {}, "the item")));
  }
  const { set, given } = options(exercise.question, id, names, (i) => kernelOf(kernels, i));
  return {
    shown: [element("div", { class: "figures" }, ...shown), set, numbers(exercise, names)],
    given,
    wrong: (i) => [figure(mapOf(maps, i), `the map of ${names[i]}`)],
    reveal: () => `It is ${names[exercise.answer]}.`,
  };
}

function figure(canvas, caption) {
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", caption);
  return element("figure", {}, canvas, element("figcaption", {}, caption));
}

function mapOf({ shape, values }, i) {
  const size = product(shape.slice(1));
  const part = values.subarray(i * size, (i + 1) * size);
  const canvas = element("canvas");
  if (shape.length === 2) drawTraces(canvas, [Array.from(part, (v) => (v - 128) / 127)], 1, [320, 72]);
  else drawLevels(canvas, part, shape[2], shape[1]);
  return canvas;
}

// The parts of a kernel, one for each input channel: beside each other, of a series below each other.
function kernelOf({ shape, values }, i) {
  const [, channels, height, width] = shape;
  const size = channels * height * width;
  const own = values.subarray(i * size, (i + 1) * size);
  const scale = Math.max(...values.map(Math.abs)) || 1;
  const box = element("span", { class: height === 1 ? "kernel rows" : "kernel", "aria-hidden": "true" });
  for (let c = 0; c < channels; c += 1) {
    const canvas = element("canvas");
    drawValues(canvas, own.subarray(c * height * width, (c + 1) * height * width), width, height, scale);
    box.append(canvas);
  }
  return box;
}

// One window, the kernels and the number that was made: enough to compute which it was.
function numbers({ numbers: given }, names) {
  const box = element("details", {}, element("summary", {}, "The same in numbers"));
  const fill = () => {
    if (box.children.length > 1) return;
    const place = placeText(0, given.position).replace("channel 0, ", "");
    box.append(
      element("p", {}, `At ${place} the map has ${text(given.value, 5)}. It is the sum of the products of the window and the kernel${given.biases.some((b) => b) ? ", plus the bias" : ""}.`),
      grid(given.window, "window"),
      ...given.kernels.map((each, i) => grid(each, `${names[i]}${given.biases[i] ? `, bias ${text(given.biases[i], 4)}` : ""}`)),
    );
  };
  box.addEventListener("toggle", fill);
  return box;
}

function grid(packed, caption) {
  const { shape, values } = unpack(packed);
  const columns = shape.at(-1);
  const perChannel = product(shape.slice(1)) / columns;
  const rows = [];
  for (let r = 0; r * columns < values.length; r += 1) {
    const cells = Array.from(values.subarray(r * columns, (r + 1) * columns), (v) => element("td", {}, text(v, 3)));
    rows.push(element("tr", { class: r && r % perChannel === 0 ? "slice" : null }, ...cells));
  }
  return scrollBox(element("table", { class: "numbers" }, element("caption", {}, caption), element("tbody", {}, ...rows)));
}

const FORMS = { number, choice, kernel };
