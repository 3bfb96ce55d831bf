// The layers in their order, by stage, with lines that show what comes from where.

import { byId, element, times, unpack, whole } from "./dom.js";
import { drawLevels, drawPicture, drawTraces } from "./draw.js";
import { INPUT, fieldText, network, nodeOf, titleOf } from "./network.js";
import { ask } from "./source.js";

const ROW = 44;
const LANE = 12;
const BARS = 5;

export class LayersView {
  constructor(open) {
    this.open = open;
    this.unfolded = new Set();
    this.chosen = INPUT;
  }

  build() {
    const list = byId("layers");
    list.replaceChildren();
    network().stages.forEach((stage, number) => {
      const count = stage.end - stage.first;
      const button = element(
        "button",
        { type: "button", "aria-expanded": "false", "aria-controls": `stage-${number}`, onclick: () => this.fold(number) },
        element("b", {}, stage.name), element("span", { class: "quiet" }, `${count} layer${count === 1 ? "" : "s"}`),
      );
      const rows = element("ol", { id: `stage-${number}`, hidden: true });
      list.append(button, rows);
    });
  }

  fold(number, open = !this.unfolded.has(number)) {
    const rows = byId(`stage-${number}`);
    if (open && !rows.firstChild) this.fill(rows, network().stages[number]);
    rows.hidden = !open;
    rows.previousElementSibling.setAttribute("aria-expanded", String(open));
    if (open) this.unfolded.add(number);
    else this.unfolded.delete(number);
  }

  fill(rows, stage) {
    const { lanes, width } = this.wires(stage);
    rows.style.setProperty("--gutter", `${width}px`);
    rows.append(lanes);
    for (let n = stage.first; n < stage.end; n += 1) {
      const node = nodeOf(n);
      const size = times([node.channels, ...node.space]);
      const button = element(
        "button", { type: "button", id: `layer-${n}`, onclick: () => this.open(n) },
        element("span", { class: "kind" }, `${titleOf(node)} ${node.what}`),
        element("span", { class: "where" }, node.name),
        element("span", { class: "where" }, size),
      );
      rows.append(element("li", {}, button));
    }
  }

  // An SVG of the lines between the layers of a stage: a straight one down, and lanes for the rest.
  wires(stage) {
    const ends = [];
    const paths = [];
    for (let n = stage.first; n < stage.end; n += 1) {
      for (const from of nodeOf(n).inputs) {
        const begin = Math.max(from, stage.first - 1);
        if (n - begin === 1) {
          paths.push({ from: begin, to: n, lane: 0 });
          continue;
        }
        let lane = 1;
        while (ends[lane] !== undefined && ends[lane] > begin) lane += 1;
        ends[lane] = n;
        paths.push({ from: begin, to: n, lane });
      }
    }
    const most = Math.min(Math.max(0, ...paths.map((path) => path.lane)), 6);
    const width = LANE * (most + 1) + 8;
    const y = (n) => (n - stage.first + 0.5) * ROW;
    const x = (lane) => width - 8 - LANE * Math.min(lane, 6);
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("width", width);
    svg.setAttribute("height", ROW * (stage.end - stage.first));
    svg.setAttribute("aria-hidden", "true");
    const shape = (name, attributes) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      svg.append(made);
    };
    for (const { from, to, lane } of paths) {
      const top = Math.max(y(from), 0);
      const d = lane === 0
        ? `M${x(0)} ${top}V${y(to)}`
        : `M${x(0)} ${top}Q${x(lane)} ${top} ${x(lane)} ${top + 10}V${y(to) - 10}Q${x(lane)} ${y(to)} ${x(0)} ${y(to)}`;
      shape("path", { d, class: lane ? "skips" : "" });
    }
    for (let n = stage.first; n < stage.end; n += 1) shape("circle", { cx: x(0), cy: y(n), r: 3.5 });
    return { lanes: svg, width };
  }

  // Mark a layer as the one that is shown; its stage is unfolded.
  choose(number) {
    byId(`layer-${this.chosen}`)?.removeAttribute("aria-current");
    this.chosen = number;
    const at = network().stages.findIndex((s) => s.first <= number && number < s.end);
    if (at >= 0 && !this.unfolded.has(at)) this.fold(at, true);
    const button = byId(`layer-${number}`);
    button?.setAttribute("aria-current", "true");
    const list = byId("layers");
    if (button && list.scrollHeight > list.clientHeight) {
      const place = list.scrollTop + button.getBoundingClientRect().top - list.getBoundingClientRect().top;
      if (place < list.scrollTop || place > list.scrollTop + list.clientHeight - ROW) {
        list.scrollTop = Math.max(0, place - list.clientHeight / 3);
      }
    }
    for (const each of byId("strip").querySelectorAll("button")) {
      each.setAttribute("aria-pressed", String(Number(each.dataset.node) === number));
    }
  }
}

// The input, the last maps of each stage, and the answer.
export async function buildStrip(item, open) {
  const strip = byId("strip");
  const shown = [INPUT, ...network().stages.map((stage) => stage.shown)];
  const cards = shown.map((number, i) => {
    const node = nodeOf(number);
    const name = i ? network().stages[i - 1].name : "Input";
    return element(
      "button", { type: "button", "data-node": number, "aria-pressed": "false", onclick: () => open(number) },
      element("b", {}, name), element("canvas", { "aria-hidden": "true" }),
      element("span", { class: "quiet" }, `${whole(node.channels)} ${node.space.length ? "channel" : "value"}${node.channels === 1 ? "" : "s"}`),
      element("span", { class: "quiet" }, i ? `sees ${fieldText(node)}` : times(node.space)),
    );
  });
  const answer = element("div", { class: "answer" }, ...barsToCome());
  const parts = cards.flatMap((card) => [card, element("span", { class: "arrow", "aria-hidden": "true" }, "→")]);
  strip.replaceChildren(...parts, answer);
  const drawn = cards.map((card, i) => drawCard(card.querySelector("canvas"), item, shown[i]));
  const opened = await ask("item", { item });
  answer.replaceChildren(...answerBars(opened));
  await Promise.all(drawn);
}

// The room that `answerBars` will take.
export function barsToCome() {
  const last = network().nodes.at(-1);
  const count = Math.min(last.space.length ? 0 : last.channels, BARS);
  const rows = Array.from({ length: 3 * count }, () => element("span", {}, "\u00a0"));
  const few = count > 1 ? [element("div", { class: "bars", "aria-hidden": "true" }, ...rows)] : [];
  return [element("span", { "aria-hidden": "true" }, "\u00a0"), ...few];
}

export function answerBars(opened) {
  const key = opened.outputs.some((each) => each.probability !== null) ? "probability" : "share";
  const best = [...opened.outputs].sort((a, b) => b[key] - a[key]).slice(0, BARS);
  const rows = best.flatMap((each) => [
    element("span", { class: "class", title: each.class }, each.class),
    element("meter", { min: 0, max: 1, value: each[key] ?? 0, "aria-label": each.class }),
    element("span", {}, `${(100 * (each[key] ?? 0)).toFixed(1)} %`),
  ]);
  const title = opened.answer ? `Answer: ${opened.answer}` : "Softmax";
  const few = opened.outputs.length > 1 ? [element("div", { class: "bars" }, ...rows)] : [];
  return [element("b", { title }, title), ...few];
}

// Up to nine channels side by side.
async function drawCard(canvas, item, number) {
  const node = nodeOf(number);
  if (number === INPUT && node.space.length === 2) {
    const { picture } = await ask("item", { item });
    const { shape, values } = unpack(picture);
    drawPicture(canvas, values, shape[1], shape[0]);
    return;
  }
  const { levels } = await ask("maps", { item, node: number, first: 0 });
  const { shape, values } = unpack(levels);
  if (shape.length === 2) {
    const lanes = [];
    for (let c = 0; c < Math.min(shape[0], 3); c += 1) {
      lanes.push(Array.from(values.slice(c * shape[1], (c + 1) * shape[1]), (v) => (v - 128) / 127));
    }
    drawTraces(canvas, lanes, 1, [120, 30]);
    return;
  }
  const count = shape.length === 1 ? 1 : Math.min(shape[0], shape[0] >= 9 ? 9 : shape[0] >= 4 ? 4 : 1);
  const rows = shape[0] > 16 ? 4 : 1;
  const [h, w] = shape.length === 1 ? [rows, Math.ceil(shape[0] / rows)] : shape.slice(1);
  if (shape.length === 1) {
    const padded = new Uint8Array(w * h).fill(128);
    padded.set(values);
    drawLevels(canvas, padded, w, h);
    return;
  }
  const side = Math.sqrt(count);
  const gap = w > 12 ? Math.ceil(w / 20) : 0;
  const [width, height] = [side * w + (side - 1) * gap, side * h + (side - 1) * gap];
  const mosaic = new Uint8Array(width * height).fill(128);
  for (let c = 0; c < count; c += 1) {
    const [left, top] = [(c % side) * (w + gap), Math.floor(c / side) * (h + gap)];
    for (let y = 0; y < h; y += 1) {
      mosaic.set(values.subarray(c * w * h + y * w, c * w * h + (y + 1) * w), (top + y) * width + left);
    }
  }
  drawLevels(canvas, mosaic, width, height);
}
