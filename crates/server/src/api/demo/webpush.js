// Registers this browser as a device of an app, and shows what its service worker gets.
"use strict";

const DEVICE = "pigeonloft-demo-device";

/** How long the browser may take to subscribe: where it does not reach its maker's push service, it says nothing. */
const PATIENCE_MS = 20_000;

const find = (id) => document.getElementById(id);
const tell = (text) => { find("state").textContent = text; };

/** The device that this browser is; null: none. */
const remembered = () => JSON.parse(localStorage.getItem(DEVICE));

/** A call of the server. Answers its JSON, null where there is none; an error says what the server said. */
async function call(method, path, headers, body) {
  // Without "omit" the browser would ask its user for a password where the server refuses the key.
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body), credentials: "omit" });
  const text = await response.text();
  const answer = text ? JSON.parse(text) : null;
  if (!response.ok) {
    throw new Error(answer?.detail ?? `${method} ${path}: ${response.status}`);
  }
  return answer;
}

const asDevice = ({ token, password }) => ({ Authorization: `Basic ${btoa(`${token}:${password}`)}` });

/** Base64url as bytes. */
const bytes = (text) =>
  Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));

/** What a promise comes to; after a while an error that says this. */
const inTime = (promise, late) =>
  Promise.race([promise, new Promise((_, reject) => { setTimeout(() => reject(new Error(late)), PATIENCE_MS); })]);

async function subscribe() {
  if (!("PushManager" in window) || !navigator.serviceWorker) {
    throw new Error("This browser has no Web Push here: open the page by https, or from the server's own machine.");
  }
  const app = { AccessId: find("access-id").value.trim(), AccessKey: find("access-key").value.trim() };
  const { public_key } = await call("GET", "/v1/webpush/key", app);
  if (await Notification.requestPermission() !== "granted") {
    throw new Error("The browser does not allow notifications of this page.");
  }
  await navigator.serviceWorker.register("/demo/webpush-worker.js", { scope: "/demo/" });
  const worker = await navigator.serviceWorker.ready;
  // One that was made with another app's key cannot be used with this one's.
  await (await worker.pushManager.getSubscription())?.unsubscribe();
  tell("Waiting for the browser's push service…");
  const subscription = await inTime(
    worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(public_key) }),
    "The browser's push service does not answer. It is its maker's, on the internet: does this machine reach it?",
  );
  const device = await call("POST", "/v1/devices", app, { channels: { webpush: subscription } });
  localStorage.setItem(DEVICE, JSON.stringify({ token: device.token, password: device.password }));
  const account = find("account").value.trim();
  if (account) {
    await call("PUT", `/v1/devices/${device.token}/accounts`, asDevice(device), { accounts: [{ account }] });
  }
}

async function leave() {
  const worker = await navigator.serviceWorker?.getRegistration("/demo/");
  await (await worker?.pushManager.getSubscription())?.unsubscribe();
  const device = remembered();
  localStorage.removeItem(DEVICE);
  if (device) {
    await call("DELETE", `/v1/devices/${device.token}`, asDevice(device));
  }
}

function show() {
  const device = remembered();
  find("leave").hidden = !device;
  tell(device ? `Subscribed. Its token: ${device.token}` : "Not subscribed.");
}

/** Does it, and shows what came of it. */
const doing = (what) => async (event) => {
  event.preventDefault();
  tell("…");
  try {
    await what();
    show();
  } catch (error) {
    tell(error.message);
  }
};

find("subscribe").addEventListener("submit", doing(subscribe));
find("leave").addEventListener("click", doing(leave));
navigator.serviceWorker?.addEventListener("message", ({ data }) => {
  const line = document.createElement("li");
  line.textContent = `${data.title || "(no title)"}: ${data.content} (push ${data.push_id})`;
  find("messages").prepend(line);
});
show();
