// The console's service worker: shows what operators are called for, opens the conversation when that is clicked, and
// says so where the server cannot be reached. It keeps nothing: what the console shows is nobody's who is logged out.
"use strict";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

const AWAY = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>No connection · chimein</title>
<h1>No connection</h1><p>The server cannot be reached. What was said waits there.</p><p><a href="">Try again</a></p></html>`;

self.addEventListener("fetch", (event) => {
  if (event.request.mode !== "navigate" || event.request.method !== "GET") return;
  event.respondWith(fetch(event.request).catch(() => new Response(AWAY, {
    status: 503,
    headers: { "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": "default-src 'none'", "Cache-Control": "no-store" },
  })));
});

const text = (told, longest) => (typeof told === "string" ? told.slice(0, longest) : "");

self.addEventListener("push", (event) => {
  let note = {};
  try { note = event.data.json() || {}; } catch (error) { /* a note without words is shown too: browsers want that */ }
  const name = /^[\w-]{1,64}$/;
  const known = name.test(note.site_id) && name.test(note.conversation_id);
  event.waitUntil(self.registration.showNotification(text(note.title, 200) || "Somebody waits for an answer", {
    body: text(note.body, 300),
    tag: known ? note.conversation_id : "chimein",
    renotify: true,
    icon: "/console/static/icon-192.png",
    badge: "/console/static/badge.png",
    timestamp: Date.parse(note.at) || Date.now(),
    data: { path: known ? `/console/${note.site_id}/inbox/${note.conversation_id}` : "/console/" },
  }));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data.path));
});

async function open(path) {
  const address = new URL(path, self.location.origin).href;
  const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const there = windows.find((each) => each.url.split("?")[0] === address) || windows.find((each) => new URL(each.url).pathname.startsWith("/console/"));
  if (!there) return self.clients.openWindow(address);
  await there.focus().catch(() => {});
  return there.url.split("?")[0] === address ? there : there.navigate(address).catch(() => self.clients.openWindow(address));
}
