// Maps, traces and pictures on canvases. Zero is the ground, above is blue, below is orange.

import { element } from "./dom.js";

let colours = null;

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  colours = null;
});

// 255 colours for the levels 1 to 255, of which 128 is zero.
function table() {
  if (colours) return colours;
  const style = getComputedStyle(document.documentElement);
  const [zero, positive, negative] = ["--zero", "--positive", "--negative"].map((name) =>
    style.getPropertyValue(name).trim().split(/\s+/).map(Number),
  );
  colours = new Uint8ClampedArray(256 * 4);
  for (let level = 0; level < 256; level += 1) {
    const share = Math.min(Math.abs(level - 128) / 127, 1) ** 0.8;
    const end = level < 128 ? negative : positive;
    for (let c = 0; c < 3; c += 1) colours[4 * level + c] = zero[c] + share * (end[c] - zero[c]);
    colours[4 * level + 3] = 255;
  }
  return colours;
}

export function levelOf(value, scale) {
  return Math.max(1, Math.min(255, Math.round((value / scale) * 127) + 128));
}

export function colourOf(value, scale) {
  const at = 4 * levelOf(value, scale || 1);
  const [r, g, b] = table().slice(at, at + 3);
  return { fill: `rgb(${r} ${g} ${b})`, ink: inkOn(r, g, b) };
}

// Black or white, whichever is easier to read; one of them always has a contrast over 4.5.
function inkOn(...colour) {
  const [r, g, b] = colour.map((c) => (c <= 10 ? c / 3294.6 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff";
}

// Levels (height x width) as pixels.
export function drawLevels(canvas, levels, width, height) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const known = table();
  for (let i = 0; i < width * height; i += 1) {
    const at = 4 * levels[i];
    image.data.set(known.subarray(at, at + 4), 4 * i);
  }
  context.putImageData(image, 0, 0);
}

export function drawValues(canvas, values, width, height, scale) {
  const levels = new Uint8Array(values.length);
  for (let i = 0; i < values.length; i += 1) levels[i] = levelOf(values[i], scale);
  drawLevels(canvas, levels, width, height);
}

// (height, width, 3) bytes.
export function drawPicture(canvas, pixels, width, height) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i += 1) {
    for (let c = 0; c < 3; c += 1) image.data[4 * i + c] = pixels[3 * i + c];
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

const TRACE = [640, 96];

// Width over height of so many lanes.
export function laneRatio(lanes, [width, lane] = TRACE) {
  return `${width} / ${lane * lanes}`;
}

// Lines of values from -scale to scale, one lane each.
export function drawTraces(canvas, lanes, scale, [width, lane] = TRACE) {
  const style = getComputedStyle(document.documentElement);
  const ratio = Math.min(devicePixelRatio || 1, 2);
  canvas.width = width * ratio;
  canvas.height = lane * lanes.length * ratio;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  lanes.forEach((values, number) => {
    const middle = lane * (number + 0.5);
    context.strokeStyle = style.getPropertyValue("--rule");
    context.beginPath();
    context.moveTo(0, middle);
    context.lineTo(width, middle);
    context.stroke();
    context.strokeStyle = style.getPropertyValue("--accent");
    context.lineWidth = 1.5;
    context.beginPath();
    values.forEach((value, i) => {
      const x = ((i + 0.5) / values.length) * width;
      const y = middle - Math.max(-1, Math.min(1, value / scale)) * (lane / 2 - 3);
      if (i === 0) context.moveTo(x, y);
      else context.lineTo(x, y);
    });
    context.stroke();
  });
}

// A mark over a frame, placed by shares of its width and height.
export function mark(kind) {
  return element("div", { class: `mark ${kind}`, hidden: true });
}

export function place(node, left, top, width, height) {
  node.hidden = false;
  node.style.left = `${100 * left}%`;
  node.style.top = `${100 * top}%`;
  node.style.width = `${100 * width}%`;
  node.style.height = `${100 * height}%`;
}
