// The items in columns: texts by number, -1 for none, and numbers, NaN for none.

import { unpack } from "./dom.js";

export class Items {
  constructor({ names, columns }) {
    this.names = names;
    this.columns = columns.map(({ key, title, names: texts, codes, numbers }) => ({
      key, title, names: texts ?? null, values: unpack(texts ? codes : numbers).values,
    }));
    this.byKey = new Map(this.columns.map((column) => [column.key, column]));
  }

  get size() {
    return this.names.length;
  }

  column(key) {
    return this.byKey.get(key) ?? null;
  }

  // The number that a text has in a column; -1 where no item has it.
  code(key, name) {
    return this.column(key)?.names?.indexOf(name) ?? -1;
  }

  // Text or number of an item; null where it is not known.
  value(key, item) {
    const column = this.column(key);
    if (!column) return null;
    const found = column.values[item];
    if (column.names) return found < 0 ? null : column.names[found];
    return Number.isNaN(found) ? null : found;
  }
}

// The items that pass: `filters` has the wanted text by column, `least` and `most` limits by
// column, `text` a part of the name, `among` a set of items.
export function filtered(items, { filters = {}, least = {}, most = {}, text = "", among = null }) {
  const tests = [];
  for (const [key, name] of Object.entries(filters)) {
    const column = items.column(key);
    if (name === "" || !column) continue;
    const code = column.names.indexOf(name);
    tests.push((item) => column.values[item] === code);
  }
  for (const [key, limit] of Object.entries(least)) {
    if (items.column(key) && limit !== "") tests.push((item) => items.column(key).values[item] >= Number(limit));
  }
  for (const [key, limit] of Object.entries(most)) {
    if (items.column(key) && limit !== "") tests.push((item) => items.column(key).values[item] <= Number(limit));
  }
  const part = text.toLowerCase();
  if (part) tests.push((item) => items.names[item].toLowerCase().includes(part));
  if (among) tests.push((item) => among.has(item));
  const found = [];
  for (let item = 0; item < items.size; item += 1) {
    if (tests.every((test) => test(item))) found.push(item);
  }
  return found;
}

// Items in order of a column, those without a value last; ties stay in the order of the data.
export function ordered(items, found, key, descending) {
  const column = items.column(key);
  if (!column) return found;
  const sign = descending ? -1 : 1;
  const missing = (value) => (column.names ? value < 0 : Number.isNaN(value));
  return [...found].sort((a, b) => {
    const [x, y] = [column.values[a], column.values[b]];
    if (missing(x) || missing(y)) return missing(x) - missing(y);
    return sign * (x - y);
  });
}

// Counts of true (rows) and predicted (columns) classes among items of a split.
export function confusionOf(items, split) {
  const [truth, answer] = [items.column("truth"), items.column("answer")];
  const counts = truth.names.map(() => new Array(answer.names.length).fill(0));
  const code = items.code("split", split);
  const splits = items.column("split").values;
  for (let item = 0; item < items.size; item += 1) {
    if (splits[item] !== code || truth.values[item] < 0 || answer.values[item] < 0) continue;
    counts[truth.values[item]][answer.values[item]] += 1;
  }
  return counts;
}
