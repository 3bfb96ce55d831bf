// Elements, numbers and arrays: what every part of the page needs.

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const watched = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight + 1) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});

// A part that may have to be scrolled: then the keyboard can reach it.
export function scrolls(node) {
  watched.observe(node);
  return node;
}

export function scrollBox(...children) {
  return scrolls(element("div", { class: "scroll" }, ...children));
}

// The name of a file or a layer, which is broken behind a slash or before a dot rather than elsewhere.
export function path(name) {
  const parts = name.replaceAll("/", "/\n").replaceAll(".", "\n.").split("\n");
  return parts.flatMap((part, i) => (i ? [element("wbr"), part] : [part]));
}

export function byId(id) {
  return document.getElementById(id);
}

export function say(text) {
  byId("said").textContent = text;
}

// A number to so many digits, with a true minus sign.
export function text(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const short = size >= 1e5 || size < 1e-4 ? value.toExponential(digits - 2) : value.toPrecision(digits);
  const plain = short.includes("e") ? short : short.replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
  return plain.replace("-", "−").replace("e+", "e");
}

export function whole(value) {
  return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, ",");
}

export function times(values) {
  return values.join(" × ");
}

// The array in a JSON object: { shape, float32 | uint8 } in base 64, little-endian.
export function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed.uint8 ?? packed.float32), (c) => c.charCodeAt(0));
  const values = packed.uint8 === undefined ? new Float32Array(bytes.buffer) : bytes;
  return { shape: packed.shape, values };
}

export function product(values) {
  return values.reduce((a, b) => a * b, 1);
}

// Places of the index `flat` in an array of this shape.
export function unravel(flat, shape) {
  const found = [];
  for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
    found.unshift(flat % shape[axis]);
    flat = Math.floor(flat / shape[axis]);
  }
  return found;
}
