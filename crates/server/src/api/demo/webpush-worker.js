// Shows what this browser is sent, also while no page is open.
"use strict";

self.addEventListener("push", (event) => {
  const message = event.data?.json() ?? {};
  const shown = self.registration.showNotification(message.title || "Message", {
    body: message.content,
    // A repeat takes the place of the first.
    tag: message.push_id,
    data: message,
  });
  const pages = self.clients.matchAll({ includeUncontrolled: true });
  event.waitUntil(Promise.all([shown, pages.then((open) => open.forEach((page) => page.postMessage(message)))]));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(self.clients.openWindow("/demo/webpush"));
});
