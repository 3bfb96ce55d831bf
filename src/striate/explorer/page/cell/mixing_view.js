// The steps of layers that mix: products of matrices, attention, and the kernel machine.

import { element, text, unpack, whole } from "../dom.js";
import { equation, greatest, term } from "./equation.js";

export const saidOfAll = {
  dot: (cell) => {
    const sum = `${whole(cell.window.shape[0])} products added up${cell.divisor === 1 ? "" : ", over the root of how many they are, so that long rows give no larger scores"}.`;
    if (cell.names[0] !== "query") return `A row times a column, number by number: ${sum}`;
    const [asks, asked] = cell.position;
    return `How well what token ${asks} asks for (its query) suits what token ${asked} offers (its key), in head ${cell.channel}: ${sum}`;
  },
  attention: (cell) => `Token ${cell.token} takes from each of ${whole(cell.scores.shape[0])} tokens: softmax makes weights of its scores, and each token's value counts by its weight.`,
  softmax: (cell) => `What share number ${cell.number} of ${whole(cell.scores.shape[0])} scores has: its exponential over the sum of all.`,
  kernel: (cell) => `${cell.features} features of the item are compared with those of ${whole(cell.differences.shape[0])} training items. The nearer one is, the more its weight counts: exp(−γ · difference), γ = ${text(cell.gamma, 5)}, of ${cell.kernel_name === "gaussian" ? "the mean squared" : "the mean absolute"} difference.`,
};

export function dot(cell) {
  const [first, second] = [cell.window, cell.kernel].map((array) => unpack(array).values);
  const made = first.map((value, i) => Math.fround(value * second[i]));
  const over = cell.divisor === 1 ? [] : [" / ", term(cell.divisor, `√${first.length}`)];
  const sum = cell.divisor === 1 ? [] : [term(cell.sum, "sum of products"), ...over, " = "];
  return [
    greatest(["number", ...cell.names, "product"], made, (i) => [i, first[i], second[i], made[i]]),
    equation(...sum, term(cell.result, cell.divisor === 1 ? "sum of products" : "score", true)),
  ];
}

export function attention(cell) {
  const [scores, powers, weights, values] = ["scores", "powers", "weights", "values"].map((name) => unpack(cell[name]).values);
  const made = weights.map((weight, i) => Math.fround(weight * values[i]));
  return [
    greatest(["token", "score", "exp(score − max)", "weight", "value", "product"], made, (i) => [i, scores[i], powers[i], weights[i], values[i], made[i]]),
    element("p", { class: "quiet" }, `A weight is the exponential over the sum of all ${whole(scores.length)}, which is ${text(cell.power, 6)}.`),
    equation(term(cell.result, "sum of products", true)),
  ];
}

export function softmax(cell) {
  const [scores, powers, weights] = ["scores", "powers", "weights"].map((name) => unpack(cell[name]).values);
  return [
    greatest(["number", "score", "exp(score − max)", "weight"], weights, (i) => [i, scores[i], powers[i], weights[i]], "weights"),
    equation(term(powers[cell.number], `exp(score ${cell.number} − max)`), " / ", term(cell.power, "sum of all"), " = ", term(cell.result, "weight", true)),
  ];
}

export function kernel(cell) {
  const [differences, similarities, weights] = ["differences", "similarities", "weights"].map((name) => unpack(cell[name]).values);
  const made = similarities.map((value, i) => Math.fround(value * weights[i]));
  return [
    greatest(["landmark", "difference", "similarity", "weight", "product"], made, (i) => [i, differences[i], similarities[i], weights[i], made[i]]),
    equation(term(cell.sum, "sum of products"), " + ", term(cell.bias, "bias"), " = ", term(cell.result, "result", true)),
  ];
}
