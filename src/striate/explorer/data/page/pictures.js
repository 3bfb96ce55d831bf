// Small pictures of items, each asked for when it comes into view.

import { element } from "./dom.js";
import { ask } from "./source.js";

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    fill(entry.target);
  }
}, { rootMargin: "200px" });

async function fill(box) {
  let url = null;
  try {
    ({ url } = await ask("data/thumbnail", { item: Number(box.dataset.item) }));
  } catch {
    // A saved page has the pictures of some items only.
  }
  if (url) box.replaceChildren(element("img", { src: url, alt: "" }));
  else box.classList.add("none");
}

let there = true;

// Whether the kind of the items has pictures at all.
export function setPictures(yes) {
  there = yes;
}

// A frame for the picture of an item, which says nothing: its name stands beside it.
export function picture(item) {
  const box = element("span", { class: there ? "picture" : "picture none", "data-item": item });
  if (there) seen.observe(box);
  return box;
}
