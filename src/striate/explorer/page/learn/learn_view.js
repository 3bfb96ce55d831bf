// A tour of eight steps on the network that is shown, and exercises made from it.

import { byId, element, say, scrolls } from "../dom.js";
import { exerciseView } from "./exercises.js";
import { ask, savedSeeds } from "../source.js";

class LearnView {
  constructor() {
    this.item = null;
    this.at = 0;
    this.seed = 0;
    this.solved = new Set();
  }

  // `go(look)` opens what a step or an exercise leads to.
  begin({ go, attempt, view }) {
    Object.assign(this, { go, attempt, view });
  }

  async show(box, item) {
    if (!this.card) {
      await ask("tour", { item }); // so that the page is built with its steps, and does not move
      if (!this.card) this.build(box);
    }
    await this.changeItem(item);
  }

  async changeItem(item) {
    if (!this.card || item === this.item) return;
    this.item = item;
    const steps = await ask("tour", { item });
    if (item !== this.item) return;
    this.steps = steps;
    this.turn(Math.min(this.at, this.steps.length - 1));
    await this.pose();
  }

  build(box) {
    this.list = element("ol", { class: "steps" });
    this.card = element("article", { class: "card", "aria-label": "Step of the tour" });
    this.score = element("p", { class: "quiet", role: "status" });
    this.exercises = element("div", { class: "exercises" });
    const other = element("button", { type: "button", onclick: () => this.attempt(() => this.others()) }, "Other questions");
    box.append(
      element("h2", {}, "A tour: from a number to the answer"),
      element("p", { class: "quiet" }, "Eight steps on this network and this item. Each leads to the place where its numbers are."),
      element("div", { class: "tour" }, element("nav", { "aria-label": "Steps of the tour" }, this.list), this.card),
      element("h2", {}, "Five exercises"),
      element("p", { class: "quiet" }, "They are made from this network, and check themselves."),
      element("div", { class: "pages" }, other, this.score),
      this.exercises,
    );
  }

  // Show a step on its card; the marks in the list follow.
  turn(at) {
    this.at = at;
    const step = this.steps[at];
    this.list.replaceChildren(...this.steps.map(({ title }, i) => element("li", {}, element(
      "button",
      { type: "button", "aria-current": i === at ? "step" : null, onclick: () => this.move(i) },
      title,
    ))));
    this.card.replaceChildren(
      element("p", { class: "quiet" }, `Step ${at + 1} of ${this.steps.length}`),
      element("h3", {}, step.title),
      element("p", {}, step.text),
      factsOf(step),
      element(
        "div", { class: "pages" },
        step.look && element("button", { type: "button", class: "main", onclick: () => this.lead() }, "See it in the network"),
        this.mover(-1, "Back"), this.mover(1, "Next step"),
      ),
    );
    this.guide();
  }

  mover(by, label) {
    const to = this.at + by;
    const off = to < 0 || to >= this.steps.length;
    return element("button", { type: "button", disabled: off, "data-by": by, onclick: () => this.move(to) }, label);
  }

  // Another step; on the bar it leads on at once. The keyboard stays on the same button.
  move(to) {
    const focused = document.activeElement;
    const inside = this.bar?.contains(focused) ? this.bar : this.card.contains(focused) ? this.card : null;
    const by = focused?.dataset?.by;
    this.turn(to);
    if (inside) this.onward(inside, by);
    else this.list.children[to].firstChild.focus({ preventScroll: true });
    say(`Step ${to + 1}: ${this.steps[to].title}`);
    if (!byId("guide").hidden && this.steps[to].look) this.attempt(() => this.go(this.steps[to].look));
  }

  // The keyboard goes to the button of this direction, or to the first that can be pressed.
  onward(box, by) {
    const same = box.querySelector(`[data-by="${by}"]:not(:disabled)`);
    (same ?? box.querySelector("button:not(:disabled)")).focus({ preventScroll: true });
  }

  // From the card to the place in the network; a bar goes along, with the step and the way on.
  lead() {
    byId("guide").hidden = false;
    this.guide();
    this.attempt(() => this.go(this.steps[this.at].look));
    this.onward(this.bar, 1);
  }

  guide() {
    this.bar = byId("guide");
    if (this.bar.hidden) return;
    const step = this.steps[this.at];
    const close = () => {
      this.bar.hidden = true;
      this.view("learn");
      this.list.children[this.at].firstChild.focus();
    };
    this.bar.replaceChildren(
      scrolls(element("div", {}, element("p", { class: "quiet" }, `Step ${this.at + 1} of ${this.steps.length}: ${step.title}`), element("p", {}, step.text))),
      element("div", { class: "pages" }, this.mover(-1, "Back"), this.mover(1, "Next step"), element("button", { type: "button", onclick: close }, "Back to Learn")),
    );
  }

  async others() {
    this.seed = savedSeeds ? (this.seed + 1) % savedSeeds : this.seed + 1;
    await this.pose();
    this.exercises.querySelector("input, button")?.focus();
  }

  async pose() {
    const asked = await ask("exercises", { item: this.item, seed: this.seed });
    this.solved = new Set();
    this.asked = asked.filter((each) => each.form !== "missing").length;
    this.exercises.replaceChildren(...asked.map((each, number) => exerciseView(each, {
      id: `exercise-${number}`,
      item: this.item,
      solved: () => {
        this.solved.add(number);
        this.count();
      },
      go: (look) => {
        byId("guide").hidden = true;
        this.attempt(() => this.go(look));
      },
    })));
    this.count();
  }

  count() {
    const all = this.solved.size === this.asked;
    this.score.textContent = `${this.solved.size} of ${this.asked} solved${all ? ": you have done them all." : "."}`;
  }
}

function factsOf(step) {
  return element("dl", { class: "facts" }, ...step.facts.map(([term, value]) => element("div", {}, element("dt", {}, term), element("dd", {}, value))));
}

export const learnView = new LearnView();
