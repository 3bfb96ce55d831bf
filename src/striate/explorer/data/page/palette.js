// Colours of points: one for each text of a column, or a scale for numbers.

// Those of Okabe and Ito, which most people can tell apart; more are spread around the circle.
const FIRST = [
  [0, 114, 178], [230, 140, 0], [0, 158, 115], [204, 85, 150], [86, 180, 233], [213, 74, 0],
  [150, 130, 20], [120, 94, 170],
];
const SCALE = [[68, 40, 120], [49, 104, 142], [33, 145, 140], [90, 190, 96], [245, 215, 50]];
const RIGHT = [0, 114, 178];
const WRONG = [213, 74, 0];
const NAMED = { right: RIGHT, wrong: WRONG, "both right": RIGHT, "both wrong": WRONG };

export function colourOfText(name, number) {
  if (NAMED[name]) return NAMED[name];
  if (number < FIRST.length) return FIRST[number];
  const hue = (number * 137.508) % 360;
  const light = number % 2 ? 0.42 : 0.6;
  const part = (shift) => {
    const k = (shift + hue / 30) % 12;
    return Math.round(255 * (light - 0.6 * Math.min(light, 1 - light) * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [part(0), part(8), part(4)];
}

export function colourOfShare(share) {
  const at = Math.max(0, Math.min(1, share)) * (SCALE.length - 1);
  const low = Math.min(Math.floor(at), SCALE.length - 2);
  return SCALE[low].map((value, c) => Math.round(value + (at - low) * (SCALE[low + 1][c] - value)));
}

export function css([r, g, b]) {
  return `rgb(${r} ${g} ${b})`;
}

// A colour as a pixel of an ImageData in a machine of little-endian numbers, as all of today are.
export function pixel([r, g, b]) {
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

export function rangeOf(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (Number.isNaN(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? [low, high] : [0, 1];
}
