// Training items that are like an item in what the network makes of it, and what the run says of a
// file that was given to the page.

import { byId, element, path, text } from "./dom.js";
import { network } from "./network.js";
import { picture } from "./pictures.js";
import { ask } from "./source.js";

const PATIENCE = 700;

// `nearest` as cards; `open(item)` is called with the one that is chosen, where that is possible.
export function cards(nearest, open = null) {
  const list = nearest.map(({ item, name, label, similarity }) => {
    const told = [
      picture(item), element("b", {}, label), element("small", { class: "quiet" }, ...path(name)),
      element("small", { class: "quiet", "data-similarity": similarity }, `similarity ${text(similarity, 3)}`),
    ];
    return element("li", {}, open ? element("button", { type: "button", onclick: () => open(item) }, ...told) : element("span", { class: "card" }, ...told));
  });
  return element("ul", { class: "nearest" }, ...list);
}

export function bars(probabilities) {
  const rows = probabilities.flatMap(({ class: name, probability }) => [
    element("span", { class: "class", title: name }, name),
    element("meter", { min: 0, max: 1, value: probability, "aria-label": name }),
    element("span", { "data-probability": probability }, percent(probability)),
  ]);
  return element("div", { class: "bars" }, ...rows);
}

export function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

// Ask until the features are there; `told(line)` hears how far they are, `alive()` whether to go on.
export async function patiently(name, parameters, told, alive) {
  for (let turn = 0; ; turn += 1) {
    const answer = await ask(name, turn ? { ...parameters, turn } : parameters);
    if (answer.state !== "working" || !alive()) return answer;
    told(answer.total ? `Looking at the run's items: ${answer.done} of ${answer.total}.` : "Computing.");
    await new Promise((resolve) => setTimeout(resolve, PATIENCE));
  }
}

let shown = 0;

// Under "What it saw": what the run says of an item of the network's page, and the training items
// that are most like it. Nothing where there is no run; only on `request` while the view is closed.
export async function whatItSaw(item, request = false) {
  if (!network().data) return;
  const mine = (shown += 1);
  const alive = () => mine === shown;
  const view = byId("evidence");
  const box = byId("saw") ?? element("section", { id: "saw", class: "saw", "aria-label": "What the run says" });
  box.replaceChildren();
  view.append(box);
  if (view.hidden && !request) return;
  const line = element("p", { class: "quiet", role: "status" }, "");
  box.append(line);
  const answer = await patiently("saw", { item }, (told) => (line.textContent = told), alive);
  if (!alive()) return;
  if (answer.state === "none") {
    box.replaceChildren();
    return;
  }
  box.replaceChildren(
    element("h3", {}, `The run says: ${answer.answer}`),
    element("p", { class: answer.unknown ? "warning" : "quiet" }, strangeness(answer)),
    ...(answer.probabilities.length ? [bars(answer.probabilities)] : []),
    element("h3", {}, "It predicts this because of these"),
    element("p", { class: "quiet" }, answer.nearest ? "The training items that are most like it in what the network makes of them." : answer.why),
    ...(answer.nearest ? [cards(answer.nearest)] : []),
  );
}

function strangeness({ set, unknown, novelty }) {
  const parts = [];
  if (set.length) parts.push(`Prediction set: ${set.join(", ")}.`);
  if (novelty !== null && novelty !== undefined) parts.push(unknown ? `Unlike all that the model learnt from (novelty ${text(novelty, 3)}): do not rely on the answer.` : `Like the items that the model learnt from (novelty ${text(novelty, 3)}, unknown above 0).`);
  return parts.join(" ");
}
