// What is known of the network: its layers by number, -1 being the item itself.

export const INPUT = -1;

let known = null;

export function setNetwork(network) {
  known = network;
}

export function network() {
  return known;
}

export function nodeOf(number) {
  if (number !== INPUT) return known.nodes[number];
  const [channels, ...space] = known.input_shape;
  const fields = space.map(() => ({ size: 1, jump: 1, start: 0 }));
  return {
    name: "", kind: "input", what: "", channels, space, parameters: 0, multiply_adds: 0,
    fields, inputs: [], followers: [],
  };
}

// How a layer is looked at: "vector", "series", "map" or "volume".
export function formOf(node) {
  return ["vector", "series", "map", "volume"][Math.min(node.space.length, 3)];
}

// Input positions that a place sees along each axis, as [from, to); null where it sees everything.
export function fieldAt(node, position) {
  if (!node.fields) return null;
  return node.fields.map((field, axis) => {
    if (!field) return null;
    const from = field.start + position[axis] * field.jump;
    return [from, from + field.size];
  });
}

export function fieldText(node) {
  if (!node.fields || node.fields.every((field) => field === null)) return "the whole input";
  const sizes = node.fields.map((field) => (field ? Math.floor(field.size) : "all"));
  return new Set(sizes).size === 1 && sizes.length > 1 ? `${sizes[0]} × ${sizes.length === 3 ? `${sizes[0]} × ` : ""}${sizes[0]}` : sizes.join(" × ");
}

const AXES = { 1: ["position"], 2: ["row", "column"], 3: ["slice", "row", "column"] };

export function placeText(channel, position) {
  const axes = AXES[position.length] ?? [];
  return [`channel ${channel}`, ...position.map((p, i) => `${axes[i]} ${p}`)].join(", ");
}

// A name for people: what the layer is, and the part of the network that it is in.
export function titleOf(node) {
  if (node.kind === "input") return "Input";
  const names = {
    Conv1d: "Convolution", Conv2d: "Convolution", Conv3d: "Convolution",
    BatchNorm1d: "Batch norm", BatchNorm2d: "Batch norm", BatchNorm3d: "Batch norm",
    MaxPool1d: "Max pooling", MaxPool2d: "Max pooling", MaxPool3d: "Max pooling",
    AvgPool1d: "Average pooling", AvgPool2d: "Average pooling", AvgPool3d: "Average pooling",
    AdaptiveAvgPool1d: "Average to a fixed size", AdaptiveAvgPool2d: "Average to a fixed size",
    AdaptiveAvgPool3d: "Average to a fixed size", GlobalAveragePool: "Global average",
    GlobalMaxPool: "Global maximum", Linear: "Fully connected", LayerNorm: "Layer norm",
    ChannelNorm: "Layer norm", add: "Addition", sub: "Subtraction", mul: "Multiplication", matmul: "Matrix product", cat: "Concatenation",
    stack: "Stack", mean: "Mean", amax: "Maximum", var_mean: "Variance", Dropout: "Dropout (off)", StochasticDepth: "Stochastic depth (off)",
    Identity: "Identity", Pad: "Padding", AddConstant: "Addition of a constant",
    SubtractConstant: "Subtraction of a constant", MultiplyConstant: "Multiplication by a constant",
    DivideConstant: "Division by a constant", Hardtanh: "Clipping",
  };
  return names[node.kind] ?? node.kind;
}
