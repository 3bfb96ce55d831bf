// Where the numbers come from: the server that is running, or the page that was saved.

const kept = new Map();
const MOST = 400;

function query(name, parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined);
  return `api/${name}?${new URLSearchParams(given)}`;
}

async function fetched(address, settings = {}) {
  let answer;
  try {
    answer = await fetch(address, settings);
  } catch {
    throw new Error("The server has ended. Start striate explore again and load this page anew.");
  }
  const document = await answer.json();
  if (!answer.ok) throw new Error(document.error);
  return document;
}

function live(name, parameters = {}) {
  const address = query(name, parameters);
  if (!kept.has(address)) {
    const promise = fetched(address);
    promise.then((answer) => answer?.state === "working" && kept.delete(address), () => kept.delete(address));
    kept.set(address, promise);
    if (kept.size > MOST) kept.delete(kept.keys().next().value);
  }
  return kept.get(address);
}

// Arrays that several answers share are kept once in a saved page: { "array": number }.
function restored(value, arrays) {
  if (Array.isArray(value)) return value.map((each) => restored(each, arrays));
  if (value === null || typeof value !== "object") return value;
  if (value.array !== undefined) return arrays[value.array];
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, restored(v, arrays)]));
}

function fromSaved(saved) {
  return async (name, parameters = {}) => {
    const found = saved.answers[query(name, parameters)];
    if (found === undefined) throw new Error("This is not in the saved page.");
    return restored(found, saved.arrays);
  };
}

// The numbers of a saved page: JSON, compressed, in base 64.
async function decoded(text) {
  const bytes = Uint8Array.from(atob(text.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

const block = document.getElementById("saved");
const saved = block ? await decoded(block.textContent) : null;

// Cells that a saved page has, by layer, as "channel:position"; null where all can be asked.
export const savedCells = saved ? saved.cells : null;
// Sets of exercises that a saved page has; null where any can be asked.
export const savedSeeds = saved ? saved.seeds : null;
export const ask = saved ? fromSaved(saved) : live;

// Give a file to the server as one more item; what the list of items shows of it.
export function give(file) {
  const token = document.querySelector('meta[name="token"]').content;
  return fetched(query("items", { name: file.name }), { method: "POST", body: file, headers: { "X-Striate-Token": token } });
}

// Send a document to the server, which answers with another.
export function post(name, document_) {
  const token = document.querySelector('meta[name="token"]').content;
  return fetched(query(name, {}), { method: "POST", body: JSON.stringify(document_), headers: { "X-Striate-Token": token } });
}
