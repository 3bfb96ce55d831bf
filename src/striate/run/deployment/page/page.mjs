// The page: pictures that are chosen or dropped, the model's answers below them.

import * as ort from "./onnxruntime/ort.wasm.min.mjs";
import { inWords } from "./decision.mjs";
import { readPicture } from "./picture.mjs";

const MOST_CLASSES = 10;

const status = document.getElementById("status");
const answers = document.getElementById("answers");
const drop = document.getElementById("drop");

ort.env.wasm.wasmPaths = new URL("./onnxruntime/", import.meta.url).href;
ort.env.wasm.numThreads = 1; // several need headers that a plain server does not send

const loaded = Promise.all([fetch("card.json").then((answer) => answer.json()), ort.InferenceSession.create("pictures.onnx")]);

/** The numbers that the model gives for a file: a probability for each class, or a prediction. */
async function predict(file) {
  const [card, session] = await loaded;
  const { data, height, width } = await readPicture(file, card.input.pictures.size);
  const images = new ort.Tensor("uint8", data, [1, height, width, 3]);
  const outputs = await session.run({ images });
  return { card, values: Array.from(outputs[card.outputs[1].name].data) };
}

async function show(file) {
  const section = document.createElement("section");
  section.className = "answer";
  const title = document.createElement("h2");
  title.textContent = file.name;
  const picture = document.createElement("img");
  picture.alt = "";
  picture.src = URL.createObjectURL(file);
  section.append(title, picture);
  answers.prepend(section);
  try {
    const { card, values } = await predict(file);
    const verdict = document.createElement("p");
    verdict.className = "verdict";
    verdict.textContent = inWords(card, values);
    if (verdict.textContent) section.append(verdict);
    section.append(table(card.classes, values));
    section.dataset.values = JSON.stringify(values);
  } catch (error) {
    const line = document.createElement("p");
    line.textContent = `This file cannot be used: ${error.message}`;
    section.dataset.error = error.message;
    section.append(line);
  }
}

function table(classes, values) {
  const rows = values.map((value, number) => [classes[number] ?? "", value]);
  if (classes.length) rows.sort((a, b) => b[1] - a[1]);
  const body = document.createElement("table");
  for (const [name, value] of rows.slice(0, MOST_CLASSES)) {
    const row = body.insertRow();
    row.insertCell().textContent = name;
    const number = row.insertCell();
    number.className = "number";
    number.textContent = classes.length ? `${(100 * value).toFixed(1)} %` : String(value);
    if (classes.length) {
      const bar = document.createElement("meter");
      bar.value = value;
      bar.ariaLabel = name;
      row.insertCell().append(bar);
    }
  }
  return body;
}

async function showAll(files) {
  for (const file of files) {
    status.textContent = `Looking at ${file.name} …`;
    await show(file);
  }
  status.textContent = "Ready.";
}

document.getElementById("files").addEventListener("change", (event) => showAll(event.target.files));
for (const name of ["dragover", "dragleave", "drop"]) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", name === "dragover");
    if (name === "drop") showAll(event.dataTransfer.files);
  });
}

loaded.then(
  ([card]) => {
    status.textContent = card.classes.length ? `Ready: ${card.classes.length} classes.` : "Ready.";
    document.body.dataset.ready = "yes";
  },
  (error) => {
    status.textContent = `The model cannot be loaded: ${error.message}`;
  },
);
if ("serviceWorker" in navigator) navigator.serviceWorker.register("offline.js");
