"use strict";
// Tables that are wider than the window say so.
const tellWidth = () => {
  for (const table of document.querySelectorAll(".scroll"))
    table.classList.toggle("wider", table.scrollWidth > table.clientWidth + 1);
};
addEventListener("resize", tellWidth);
addEventListener("toggle", tellWidth, true);
tellWidth();

// The threshold: what each choice finds, misses and costs on the test items.
for (const box of document.querySelectorAll("[data-curves]")) {
  const curves = JSON.parse(box.dataset.curves);
  const part = (name) => box.querySelector(`[data-part="${name}"]`);
  const [which, slider, cheapest] = ["class", "slider", "cheapest"].map(part);
  const price = (name) => Math.max(0, Number(part(name).value) || 0);
  const percent = (share) => (100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0) + "\u00a0%";
  const cost = (curve, i) =>
    price("missed-price") * (curve.support - curve.found[i]) +
    price("alarm-price") * curve.false_alarms[i];
  const move = (chart, x, y) => {
    const mark = box.querySelector(`[data-chart="${chart}"] .now`);
    const at = (share, from, to) => Number(mark.dataset[from]) +
      share * (Number(mark.dataset[to]) - Number(mark.dataset[from]));
    mark.setAttribute("cx", at(x, "x0", "x1"));
    mark.setAttribute("cy", at(y, "y0", "y1"));
    mark.removeAttribute("hidden");
  };
  const show = () => {
    const curve = curves[which.value], i = Number(slider.value);
    const found = curve.found[i], alarms = curve.false_alarms[i];
    const recall = found / curve.support, precision = found / (found + alarms);
    const told = percent(curve.thresholds[i]);
    slider.setAttribute("aria-valuetext", `${told}: ${percent(recall)} found, ${percent(precision)} right`);
    part("threshold").textContent = told;
    part("recall").textContent = `${percent(recall)} (${found} of ${curve.support})`;
    part("precision").textContent = `${percent(precision)} (${found} of ${found + alarms})`;
    part("alarms").textContent = `${alarms} of ${curve.others}`;
    part("cost").textContent = String(Math.round(100 * cost(curve, i)) / 100);
    move("roc", alarms / curve.others, recall);
    move("pr", recall, precision);
  };
  const reset = () => {
    const { thresholds } = curves[which.value];
    const half = thresholds.findIndex((t) => t >= 0.5);
    slider.max = String(thresholds.length - 1);
    slider.value = String(half < 0 ? thresholds.length - 1 : half);
    show();
  };
  which.addEventListener("change", reset);
  slider.addEventListener("input", show);
  for (const name of ["missed-price", "alarm-price"]) part(name).addEventListener("input", show);
  cheapest.addEventListener("click", () => {
    const curve = curves[which.value];
    let best = 0;
    curve.thresholds.forEach((_, i) => { if (cost(curve, i) < cost(curve, best)) best = i; });
    slider.value = String(best);
    show();
  });
  part("tool").removeAttribute("hidden");
  reset();
}
