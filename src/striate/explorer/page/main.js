// The page: what is chosen, and who is told when it changes.

import { cellView, softmaxView } from "./cell/cell_view.js";
import { byId, element, times, whole } from "./dom.js";
import { evidenceView } from "./evidence_view.js";
import { fieldsView } from "./fields_view.js";
import { ItemView } from "./item_view.js";
import { LayersView, buildStrip } from "./layers_view.js";
import { learnView } from "./learn/learn_view.js";
import { MapView } from "./map_view.js";
import { whatItSaw } from "./nearest_view.js";
import { INPUT, fieldAt, fieldText, network, nodeOf, placeText, setNetwork, titleOf } from "./network.js";
import { takeFiles } from "./own_item.js";
import { playground } from "./playground.js";
import { slideView } from "./slide.js";
import { ask, savedCells } from "./source.js";
import { TilesView } from "./tiles_view.js";

const chosen = { item: 0, node: INPUT, channel: 0, position: [], depth: null };
let turn = 0;
let play = null;

const narrow = matchMedia("(max-width: 52rem)");
const layers = new LayersView((number) => attempt(async () => {
  await open(number);
  if (narrow.matches) byId("work").scrollIntoView();
}));
const picture = new ItemView("The item, with what the cell sees of it");
const map = new MapView({
  chosen: (channel, position) => attempt(() => select(channel, position)),
  hovered: (position) => lookAt(position ?? chosen.position),
});
const tiles = new TilesView((channel) => attempt(() => select(channel, chosen.position)));

async function attempt(work) {
  try {
    await work();
    byId("failure").hidden = true;
  } catch (error) {
    byId("failure").textContent = error.message;
    byId("failure").hidden = false;
  }
}

function middle(node) {
  return node.space.map((n) => Math.floor(n / 2));
}

// Show a layer: its facts, its channels, and the middle cell.
async function open(number, channel = 0, position = null) {
  const node = nodeOf(number);
  Object.assign(chosen, { node: number, channel, position: position ?? start(number, node) });
  chosen.channel = startChannel(number, node, channel);
  chosen.depth = node.space.length === 3 ? chosen.position[0] : null;
  layers.choose(number);
  byId("layer").replaceChildren(...facts(number, node), looks(node), tiles.box);
  map.layOut({ ...chosen, number, node });
  const mine = (turn += 1);
  const scale = await tiles.show({ ...chosen, number, node });
  if (mine !== turn) return;
  await Promise.all([map.show({ ...chosen, number, node, scale }), showCell()]);
  lookAt(chosen.position);
}

// A saved page has some cells only: the first of them in place of the middle one.
function start(number, node) {
  const cells = savedCells?.[number];
  if (!cells?.length) return middle(node);
  return cells[0].split(":")[1].split(",").filter(Boolean).map(Number);
}

function startChannel(number, node, channel) {
  const cells = savedCells?.[number];
  return cells?.length && !node.space.length && !cells.includes(`${channel}:`) ? Number(cells[0].split(":")[0]) : channel;
}

async function select(channel, position) {
  const slice = position.length === 3 && position[0] !== chosen.depth;
  const another = channel !== chosen.channel && nodeOf(chosen.node).space.length > 0;
  Object.assign(chosen, { channel, position });
  if (slice) {
    chosen.depth = position[0];
    map.slid?.(position[0]);
  }
  const node = nodeOf(chosen.node);
  tiles.mark(channel);
  if (slice) await tiles.show({ ...chosen, number: chosen.node, node });
  if (slice || another) await map.show({ ...map, ...chosen, number: chosen.node, node });
  else map.move(channel, position);
  lookAt(position);
  await showCell();
}

function lookAt(position) {
  const node = nodeOf(chosen.node);
  picture.point([{ ranges: node.fields ? fieldAt(node, position) : null, kind: "field" }]);
}

let waiting = 0;

async function showCell() {
  const mine = (waiting += 1);
  const { item, node, channel, position } = chosen;
  let shown;
  try {
    const last = node === network().nodes.length - 1;
    const asked = { item, node, channel, position: position.join(",") };
    const [cell, answer] = await Promise.all([ask("cell", asked), last ? ask("item", { item }) : null]);
    const slide = slideView(cell, { item, depth: chosen.depth });
    shown = cellView(cell, { slide, open: (n) => attempt(() => open(n)), outputs: answer && answer.outputs.length > 1 ? softmaxView(answer) : null });
  } catch (error) {
    if (!savedCells) throw error;
    shown = missing(node, channel, position);
  }
  if (mine === waiting) byId("cell").replaceChildren(shown);
}

// Where a saved page has no steps of a cell: the way to the nearest that it has.
function missing(node, channel, position) {
  const cells = (savedCells[node] ?? []).map((key) => {
    const [c, place] = key.split(":");
    return { channel: Number(c), position: place.split(",").filter(Boolean).map(Number) };
  });
  const gap = (cell) => (cell.channel === channel ? 0 : 1e6 + Math.abs(cell.channel - channel)) + cell.position.reduce((sum, p, i) => sum + (p - position[i]) ** 2, 0);
  const nearest = cells.reduce((best, cell) => (best === null || gap(cell) < gap(best) ? cell : best), null);
  const said = element("p", {}, "The steps of this cell are not in the saved page. ");
  if (nearest) said.append(element("button", { type: "button", onclick: () => attempt(() => select(nearest.channel, nearest.position)) }, `Go to the nearest that is: ${placeText(nearest.channel, nearest.position)}`));
  return said;
}

function facts(number, node) {
  const rows = [
    ["output", times([node.channels, ...node.space])],
    ["parameters", whole(node.parameters)],
    ["multiply-adds", whole(node.multiply_adds)],
    ["receptive field", fieldText(node)],
  ];
  if (node.dense_parameters) rows.push(["weights of a dense layer", whole(node.dense_parameters)]);
  const link = (n) => element("button", { type: "button", onclick: () => attempt(() => open(n)) }, n === INPUT ? "the input" : nodeOf(n).name || titleOf(nodeOf(n)));
  const sources = node.inputs.flatMap((n, i) => [i ? ", " : "", link(n)]);
  return [
    element("h2", { id: "layer-title" }, `${titleOf(node)} ${node.what}`),
    element("p", { class: "sources" }, ...(number === INPUT ? ["The item as the network takes it, normalized."] : [`${node.name} · from `, ...sources])),
    element("dl", { class: "facts" }, ...rows.map(([term, value]) => element("div", {}, element("dt", {}, term), element("dd", {}, value)))),
  ];
}

// The slice of a volume, for those who do not use the keyboard.
function slider(node) {
  if (node.space.length !== 3 || savedCells) return null;
  const input = element("input", {
    type: "range", min: 0, max: node.space[0] - 1, value: chosen.position[0], "aria-label": "slice",
    oninput: () => attempt(() => select(chosen.channel, [Number(input.value), ...chosen.position.slice(1)])),
  });
  map.slid = (slice) => (input.value = slice);
  return element("label", { class: "pages" }, "slice", input);
}

function looks(node) {
  const keys = node.space.length === 3 ? "arrow keys move the cell, page up and down the slice" : "click a cell, or move it with the arrow keys";
  return element(
    "div", { class: "looks" },
    element("div", {}, element("h3", {}, node.space.length ? "One channel" : "All values"), element("p", { class: "quiet" }, keys), slider(node), map.box),
    element("div", {}, element("h3", {}, "What the cell sees"), element("p", { class: "quiet" }, "its theoretical receptive field"), picture.box),
  );
}

async function changeItem(item) {
  chosen.item = item;
  byId("item").value = String(item);
  byId("before").disabled = item === 0;
  byId("after").disabled = item === network().items.length - 1;
  // What is looked at comes first: the rest of the page waits for the same processor.
  const seen = byId("evidence").hidden ? null : attempt(() => evidenceView.changeItem(item));
  await seen;
  if (item !== chosen.item) return;
  await Promise.all([
    picture.show(item), buildStrip(item, (n) => attempt(() => open(n))),
    open(chosen.node, chosen.channel, chosen.position.length ? chosen.position : null),
  ]);
  lookAt(chosen.position);
  await fieldsView.changeItem?.(item);
  await Promise.all([learnView.changeItem(item), seen ?? evidenceView.changeItem(item)]);
  attempt(() => whatItSaw(item));
}

// Open what a step of the tour or an exercise leads to.
async function go({ view, node, channel, position, part, values }) {
  chooseView(view);
  if (view === "network") {
    await open(node, channel, position);
    const then = part === "then" ? byId("cell").querySelector(".then") : null;
    (then ?? (part === "layer" ? byId("work") : byId("cell"))).scrollIntoView({ block: "start" });
    return;
  }
  if (view === "fields") {
    await fieldsView.show(byId("fields"), chosen.item);
    if (node !== undefined) fieldsView.choose(node);
  } else if (values) play.set(values);
  byId(view).scrollIntoView({ block: "start" });
}

function chooseView(name) {
  for (const button of byId("views").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === name));
    byId(button.dataset.view).hidden = button.dataset.view !== name;
  }
  if (name === "evidence") attempt(() => Promise.all([evidenceView.show(chosen.item), whatItSaw(chosen.item)]));
  if (name === "learn") attempt(() => learnView.show(byId("learn"), chosen.item));
  if (name === "fields") attempt(() => fieldsView.show(byId("fields"), chosen.item));
}

function describe() {
  const { name, input_shape: shape, parameters, multiply_adds: work, notes, advice, items } = network();
  document.title = `${name} – Striate`;
  byId("name").textContent = name;
  byId("totals").textContent = `input ${times(shape)} · ${whole(parameters)} parameters · ${whole(work)} multiply-adds`;
  const said = [...notes, ...advice.map((line) => `Note: ${line}.`)].join(" ");
  byId("notes").textContent = said;
  byId("notes").hidden = !said;
  byId("item").replaceChildren(...items.map((each, i) => element("option", { value: i }, itemText(each))));
  byId("data-link").hidden = !network().data;
  byId("chooser").hidden = Boolean(savedCells) && items[0].label === null && items[0].answer === null;
  byId("views").hidden = false;
  byId("main").hidden = false;
}

function itemText({ name, label, answer }) {
  const told = answer && label ? `${answer === label ? "✓" : "✗"} ${answer}` : answer;
  return [name, label && `is ${label}`, told].filter(Boolean).join(" · ");
}

// A file that the server has taken is one more item, and shown at once.
async function added({ item, ...listed }) {
  network().items.push(listed);
  byId("item").append(element("option", { value: item }, itemText(listed)));
  await changeItem(item);
}

async function begin() {
  setNetwork(await ask("network"));
  describe();
  layers.build();
  byId("item").addEventListener("change", (event) => attempt(() => changeItem(Number(event.target.value))));
  byId("before").addEventListener("click", () => attempt(() => changeItem(chosen.item - 1)));
  byId("after").addEventListener("click", () => attempt(() => changeItem(chosen.item + 1)));
  for (const button of byId("views").querySelectorAll("button")) {
    button.addEventListener("click", () => chooseView(button.dataset.view));
  }
  takeFiles(attempt, added);
  play = playground(byId("playground"));
  learnView.begin({ go, attempt, view: chooseView });
  // What is shown at once takes the room of all that the items' answers bring: nothing moves then.
  const first = network().nodes.findIndex((node) => node.what);
  chosen.node = Math.max(first, 0);
  await changeItem(network().first);
  document.body.dataset.ready = "true";
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => attempt(() => changeItem(chosen.item)));
attempt(begin);
