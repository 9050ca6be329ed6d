// Shows what this browser is sent, also while no page is open.
"use strict";

async function show(message) {
  await self.registration.showNotification(message.title || "Message", {
    body: message.content,
    // A repeat takes the place of the first.
    tag: message.push_id,
    data: message,
  });
  // Pages that are open list what was shown.
  for (const page of await self.clients.matchAll({ includeUncontrolled: true })) {
    page.postMessage(message);
  }
}

self.addEventListener("push", (event) => event.waitUntil(show(event.data?.json() ?? {})));

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(self.clients.openWindow("/demo/webpush"));
});
