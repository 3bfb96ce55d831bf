// The data of a run: what is chosen, and who is told when it changes.

import { Items } from "./columns.js";
import { compareView } from "./compare_view.js";
import { ConfusionView } from "./confusion_view.js";
import { Corrections } from "./corrections.js";
import { DetailView } from "./detail_view.js";
import { byId, element, say, text, whole } from "./dom.js";
import { ListView } from "./list_view.js";
import { patiently } from "./nearest_view.js";
import { colourOfShare, colourOfText, css, pixel, rangeOf } from "./palette.js";
import { picture, setPictures } from "./pictures.js";
import { Scatter } from "./scatter.js";
import { ask } from "./source.js";

let about = null;
let items = null;
let detail = null;
let list = null;
let colour = null;
const muted = new Set();

async function attempt(work) {
  try {
    await work();
    byId("failure").hidden = true;
  } catch (error) {
    byId("failure").textContent = error.message;
    byId("failure").hidden = false;
  }
}

const hint = element("div", { class: "hint", hidden: true });
let hinted = null;
const scatter = new Scatter({
  chosen: (item) => attempt(() => choose(item)),
  hovered: hover,
  caught: (found) => list.catch(found.size ? found : null),
});
const corrections = new Corrections(() => list.show(list.page));
corrections.open = (item) => attempt(() => choose(item, true));
const confusion = new ConfusionView({ open: (filters) => reveal(filters) });

function reveal(filters) {
  list.only(filters);
  byId("items").scrollIntoView();
  byId("items").focus({ preventScroll: true });
}

async function choose(item, move = false) {
  scatter.choose(item);
  say(factsLine(item));
  if (move) {
    byId("detail").scrollIntoView({ block: "nearest" });
    byId("detail").focus({ preventScroll: true });
  }
  await detail.show(item);
}

function factsLine(item) {
  const told = ["truth", "answer", "split"].map((key) => [items.column(key)?.title, items.value(key, item)]);
  return [items.names[item], ...told.filter(([, value]) => value !== null).map(([title, value]) => `${title} ${typeof value === "number" ? text(value) : value}`)].join(", ");
}

function hover(item, x, y) {
  hint.hidden = item === null;
  if (item === null || !items) {
    hinted = null;
    return;
  }
  if (hinted !== item) {
    hinted = item;
    const line = element("span", {}, factsLine(item));
    hint.replaceChildren(line);
    // Of a point that is only passed over no picture is asked for.
    setTimeout(() => hinted === item && line.before(picture(item)), 80);
  }
  const { clientWidth: width, clientHeight: height } = scatter.frame;
  hint.style.left = `${Math.min(x + 14, width - 230)}px`;
  hint.style.top = `${y > height - 150 ? y - 130 : y + 14}px`;
}

// Pixels of the points by the column that is chosen, squares for mistakes, faint what is not listed.
function paint() {
  const column = items.column(colour);
  const looks = {
    pixels: new Uint32Array(items.size), square: new Uint8Array(items.size),
    hidden: new Uint8Array(items.size), faint: new Uint8Array(items.size),
  };
  const listed = new Set(list.found);
  const result = items.column("result");
  const wrong = items.code("result", "wrong");
  const [low, high] = column.names ? [0, 1] : rangeOf(column.values);
  const palette = column.names?.map((name, number) => pixel(colourOfText(name, number)));
  const none = pixel([150, 150, 150]);
  for (let i = 0; i < items.size; i += 1) {
    const value = column.values[i];
    if (column.names) looks.pixels[i] = value < 0 ? none : palette[value];
    else looks.pixels[i] = Number.isNaN(value) ? none : pixel(colourOfShare((value - low) / (high - low || 1)));
    looks.square[i] = result && result.values[i] === wrong ? 1 : 0;
    looks.hidden[i] = column.names && muted.has(value) ? 1 : 0;
    looks.faint[i] = listed.has(i) ? 0 : 1;
  }
  scatter.setLooks(looks);
}

function legend() {
  const column = items.column(colour);
  const mistakes = items.column("result") ? element("span", { class: "quiet" }, "squares: mistakes · faint: not in the list below") : element("span", { class: "quiet" }, "faint: not in the list below");
  if (!column.names) {
    const [low, high] = rangeOf(column.values);
    byId("legend").replaceChildren(element("span", { class: "ramp" }, text(low, 3), element("i", {}), text(high, 3)), mistakes);
    return;
  }
  const counts = new Map();
  for (const value of column.values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const entries = [...column.names.entries(), [-1, "not known"]].filter(([number]) => counts.has(number)).map(([number, name]) => {
    const swatch = element("i", { class: "swatch" });
    swatch.style.background = number < 0 ? "rgb(150 150 150)" : css(colourOfText(name, number));
    const box = element("input", { type: "checkbox", checked: !muted.has(number), onchange: () => {
      if (box.checked) muted.delete(number);
      else muted.add(number);
      paint();
    } });
    return element("label", {}, box, swatch, `${name} (${whole(counts.get(number))})`);
  });
  byId("legend").replaceChildren(...entries, mistakes);
}

function setColour(key) {
  colour = key;
  muted.clear();
  byId("colour").value = key;
  legend();
  paint();
}

function tools() {
  const select = element("select", { id: "colour", onchange: () => setColour(select.value) }, ...items.columns.map(({ key, title }) => element("option", { value: key }, title)));
  const lasso = element("button", { type: "button", id: "lasso", "aria-pressed": "false", onclick: () => {
    scatter.catching = !scatter.catching;
    lasso.setAttribute("aria-pressed", String(scatter.catching));
    scatter.frame.classList.toggle("catching", scatter.catching);
  } }, "Lasso");
  const planes = element("select", { id: "plane", onchange: () => attempt(() => plane(planes.value)) }, element("option", { value: "pca" }, "principal components"), about.umap ? element("option", { value: "umap" }, "UMAP") : null);
  byId("map-tools").replaceChildren(
    element("span", { class: "field" }, element("label", { for: "colour" }, "colour"), select),
    element("span", { class: "field" }, element("label", { for: "plane" }, "map by"), planes),
    lasso,
    element("button", { type: "button", "aria-label": "Zoom in", onclick: () => scatter.zoom(1.4) }, "+"),
    element("button", { type: "button", "aria-label": "Zoom out", onclick: () => scatter.zoom(1 / 1.4) }, "−"),
    element("button", { type: "button", onclick: () => scatter.fit() }, "Show all"),
  );
}

// Everything that shows the items, anew: once with the answers on file, once with all of them.
async function build(part) {
  items = new Items(await ask("data/items", { part }));
  byId("views").hidden = false;
  byId("main").hidden = false;
  corrections.items = items;
  list.build(items, corrections);
  if (about.one_class) confusion.build(items);
  const item = detail?.item ?? null;
  detail = new DetailView({ about, items, corrections, choose: (other) => attempt(() => choose(other)) });
  tools();
  const first = ["truth", "answer"].find((key) => items.column(key));
  setColour(items.column(colour) ? colour : first);
  if (item !== null) await detail.show(item);
}

async function plane(kind) {
  const line = byId("progress");
  line.textContent = kind === "umap" ? "Computing UMAP; this takes a while." : "";
  const found = await patiently("data/map", { kind }, (told) => (line.textContent = told), () => byId("plane").value === kind);
  if (found.state === "failed") throw new Error(`There is no map: ${found.why}`);
  if (found.state !== "ready") return;
  const [x, y] = [found.x, found.y].map((each) => new Items({ names: [], columns: [{ key: "v", numbers: each }] }).column("v").values);
  scatter.setPoints(x, y);
  const shares = found.shares ? `The two directions hold ${found.shares.map((share) => `${(100 * share).toFixed(0)} %`).join(" and ")} of all variation.` : "Distances between groups mean little.";
  line.textContent = [shares, ...found.notes].join(" ");
}

// The head of the page; with a second run, what the two differ in is there in the end.
async function describe() {
  const { name, data, nouns, num_items: count, compared, summary } = about;
  document.title = `${name} – data – Striate`;
  byId("name").textContent = name;
  byId("totals").textContent = [`${whole(count)} ${nouns[1]} of ${data}`, ...summary.slice(0, 2)].join(" · ");
  byId("network-link").hidden = !about.network;
  if (compared) return attempt(() => compareView({ open: reveal, colour: () => { setColour("agreement"); byId("map-view").scrollIntoView(); } }));
  return null;
}

async function begin() {
  about = await ask("data/about");
  setPictures(about.pictures);
  const compared = describe();
  byId("map").append(scatter.frame);
  scatter.frame.append(hint);
  list = new ListView({ about, choose: (item) => attempt(() => choose(item, true)), changed: () => colour && items.column(colour) && paint() });
  const [state] = await Promise.all([ask("data/state", { turn: 0 }), compared]);
  if (state.state !== "ready") await build("table");
  else await build("all");
  await corrections.load(items);
  document.body.dataset.ready = "true";
  if (state.state !== "ready") {
    const line = (told) => (byId("progress").textContent = told);
    const ended = await patiently("data/state", { turn: "a" }, line, () => true);
    if (ended.state === "failed") {
      line(`There is no map: ${ended.why}`);
      document.body.dataset.map = "failed";
      return;
    }
    await build("all");
    corrections.show();
  }
  await plane("pca");
  document.body.dataset.map = "true";
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => items && paint());
attempt(begin);
