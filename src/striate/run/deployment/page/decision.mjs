// What follows from the model's numbers, as predict.py decides: a class, labels, or a verdict.

/**
 * @param {{classes: string[], outputs: object[]}} card of the model
 * @param {number[]} values the probability of each class, or a number
 * @returns {{label?: string, undecided?: boolean, labels?: string[]}} nothing of a number
 */
export function decided(card, values) {
  const rule = card.outputs[1];
  if (rule.weights) {
    const costs = values.map((value, number) => value * rule.weights[number]);
    const highest = Math.max(...costs);
    const label = card.classes[costs.indexOf(highest)];
    if (rule.cost_unknown === null) return { label };
    const expected = costs.reduce((sum, cost) => sum + cost, 0) - highest;
    return { label, undecided: expected > rule.cost_unknown };
  }
  if (rule.thresholds) {
    return { labels: card.classes.filter((name, number) => values[number] >= rule.thresholds[name]) };
  }
  return {};
}

/** The same as a line for a person; empty of a number. */
export function inWords(card, values) {
  const { label, undecided, labels } = decided(card, values);
  if (labels) return labels.join(", ") || "none";
  return undecided ? `I don't know (${label}?)` : (label ?? "");
}
