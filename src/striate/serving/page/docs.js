"use strict";

const token = document.querySelector("meta[name=token]").content;
const byId = (id) => document.getElementById(id);

function element(tag, text, ...children) {
  const made = document.createElement(tag);
  made.textContent = text;
  made.append(...children);
  return made;
}

function table(head, rows) {
  const body = rows.map((row) => element("tr", "", ...row.map((cell) => element("td", cell))));
  const names = element("tr", "", ...head.map((name) => element("th", name)));
  const made = element("table", "", ...(head.length ? [names] : []), ...body);
  const scroll = element("div", "", made);
  scroll.className = "scroll";
  return scroll;
}

function said(prediction) {
  if (prediction.reason) return prediction.reason;
  if (prediction.labels) return prediction.labels.join(", ") || "none";
  if (prediction.value !== undefined) return `${prediction.value} ${prediction.unit || ""}`;
  return prediction.label;
}

function detail(prediction) {
  if (prediction.interval) return prediction.interval.map((n) => n.toPrecision(4)).join(" to ");
  const shares = Object.entries(prediction.probabilities || {}).sort((a, b) => b[1] - a[1]);
  return shares.slice(0, 5).map(([name, share]) => `${name} ${(100 * share).toFixed(1)} %`).join(", ");
}

function failed(text) {
  const made = element("p", text);
  made.className = "failed";
  byId("answers").replaceChildren(made);
}

async function predict(event) {
  event.preventDefault();
  const button = event.target.querySelector("button");
  button.disabled = true;
  try {
    const form = new FormData();
    for (const file of byId("files").files) form.append("file", file);
    const model = byId("model").value.trim();
    const query = model ? `?model=${encodeURIComponent(model)}` : "";
    const headers = { Authorization: `Bearer ${token || byId("token").value}` };
    const answer = await fetch(`predict${query}`, { method: "POST", body: form, headers });
    const found = await answer.json();
    if (found.error) failed(`${answer.status}: ${found.error}`);
    else {
      const rows = found.predictions.map((p) => [p.item, said(p), detail(p)]);
      byId("answers").replaceChildren(table(["file", "prediction", ""], rows));
    }
  } catch (error) {
    failed(`The server did not answer: ${error.message}`);
  } finally {
    button.disabled = false;
  }
}

async function describe() {
  const api = await (await fetch("openapi.json")).json();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      if (method === "parameters") continue;
      const rows = Object.entries(operation.responses).map(([status, r]) => [status, r.description]);
      const kinds = Object.keys(operation.requestBody?.content || {}).join(", ");
      const summary = element("summary", "", element("span", method.toUpperCase()), element("code", path), ` ${operation.summary}`);
      const takes = kinds ? [element("p", `Takes ${kinds}.`)] : [];
      byId("addresses").append(element("details", "", summary, ...takes, table([], rows)));
    }
  }
}

async function state() {
  const answer = await fetch("v2/health/ready");
  byId("state").textContent = answer.ok ? "Ready." : "Not ready: the models are being loaded.";
  if (!answer.ok) setTimeout(state, 1000);
}

byId("asks").hidden = Boolean(token);
byId("try").addEventListener("submit", predict);
byId("curl").textContent = `curl -F file=@photo.jpg ${location.origin}/predict`;
describe();
state();
