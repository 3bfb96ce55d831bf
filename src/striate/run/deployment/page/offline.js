// Keeps the files of the page, so that it opens without a network; a new version takes its place.

const LIST = "files.json";

async function keep() {
  const list = await (await fetch(LIST, { cache: "no-store" })).json();
  const cache = await caches.open(list.version);
  await cache.addAll(["./", LIST, ...list.files]);
  for (const name of await caches.keys()) if (name !== list.version) await caches.delete(name);
}

self.addEventListener("install", (event) => event.waitUntil(keep().then(() => self.skipWaiting())));
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", (event) => {
  event.respondWith(caches.match(event.request).then((kept) => kept ?? fetch(event.request)));
});
