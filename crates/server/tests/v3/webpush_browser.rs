//! The page `/demo/webpush` in a real browser, Chromium: its policy, its service worker, and what it says where it cannot
//! subscribe.
//!
//! A browser subscribes with its maker's push service on the internet, and gets its messages from there. Tests reach
//! neither. So two steps are played, and nothing else: `pushManager.subscribe` answers a subscription of the simulated
//! service, and what that service decrypted of ours is given to the service worker by DevTools, as the browser gives it what it
//! decrypted itself.

use pigeonloft_testkit::{App, Chromium, Device, PushService, Server, until};
use serde_json::{Value, json};

use super::outcomes;
use super::webpush::{to_ann, with_keys};

/// A browser on the page, that may show its notifications.
fn on_the_page(server: &Server, before: &str) -> Chromium {
    let mut chromium = Chromium::start();
    chromium.notifications_are("granted", &server.url(""));
    chromium.before_each_page(before);
    chromium.open(&server.url("/demo/webpush"));
    chromium
}

/// Fills the form and sends it, as a user does.
fn subscribes(chromium: &mut Chromium, app: &App, access_key: &str) {
    let fields = json!({ "access-id": app.access_id.to_string(), "access-key": access_key, "account": "ann" });
    let _ = chromium.evaluate(&format!(
        "for (const [id, value] of Object.entries({fields})) document.getElementById(id).value = value;
         document.querySelector('#subscribe button').click()"
    ));
}

/// Waits until the page says this.
fn says(chromium: &mut Chromium, what: &str) -> String {
    let mut state = Value::Null;
    until(what, || {
        state = chromium.evaluate("document.getElementById('state').textContent");
        state.as_str().filter(|state| state.contains(what)).map(str::to_owned)
    })
}

/// The notifications that are shown: title, text and tag of each.
fn shown(chromium: &mut Chromium) -> Value {
    chromium.evaluate(
        "navigator.serviceWorker.ready.then((worker) => worker.getNotifications())
           .then((all) => all.map(({ title, body, tag }) => [title, body, tag]))",
    )
}

/// The device that the page keeps.
fn device(chromium: &mut Chromium, app: &App) -> Device {
    let kept = chromium.evaluate("JSON.parse(localStorage.getItem('pigeonloft-demo-device'))");
    let text = |name: &str| kept[name].as_str().expect("a text").to_owned();
    Device { access_id: app.access_id, token: text("token"), password: text("password") }
}

/// In place of the browser's way to its push service: a subscription of the simulated one, if it is asked as it should be.
fn played(service: &PushService) -> (Value, String) {
    let subscription = service.subscription();
    let script = format!(
        "PushManager.prototype.subscribe = async ({{ userVisibleOnly, applicationServerKey }}) => {{
           if (!userVisibleOnly) throw new Error('not for the user to see');
           window.subscribedWith = btoa(String.fromCharCode(...applicationServerKey));
           return {{ toJSON: () => ({subscription}) }};
         }};"
    );
    (subscription, script)
}

#[test]
fn a_browser_becomes_a_device_on_the_page_and_shows_what_it_is_sent() {
    let (server, app, service) = with_keys();
    let (subscription, script) = played(&service);
    let mut chromium = on_the_page(&server, &script);
    says(&mut chromium, "Not subscribed.");
    subscribes(&mut chromium, &app, &app.access_key);
    let state = says(&mut chromium, "Subscribed. Its token: ");
    let device = device(&mut chromium, &app);
    assert!(state.ends_with(&device.token), "{state}");
    // It asked with the key of the app, the worker is there, and the account is bound.
    let key = app.as_program("/v1/webpush/key", &app.access_key).1["public_key"].clone();
    let with = chromium.evaluate("subscribedWith").as_str().expect("base64").replace('+', "-").replace('/', "_");
    assert_eq!(json!(with.trim_end_matches('=')), key);
    let scope = server.url("/demo/");
    let worker = "navigator.serviceWorker.ready.then(({ active, scope }) => [active.scriptURL, scope])";
    assert_eq!(chromium.evaluate(worker), json!([server.url("/demo/webpush-worker.js"), scope]));

    let push_id = app.pushed(to_ann(&json!({ "message": { "title": "Hello", "content": "信鸽 <b>" } })));
    assert_eq!(outcomes(&app, &push_id), json!({ "accepted": 1 }));
    let [message] = &*service.messages(&subscription) else { panic!("one message") };
    let plaintext = message["plaintext"].as_str().expect("a text");
    chromium.deliver(&scope, plaintext);
    // The open page lists it, as text, once it is shown. Asked earlier, Chromium takes the notification for one that was closed.
    let listed = "[...document.querySelectorAll('#messages li')].map((line) => line.textContent)";
    let line = format!("Hello: 信鸽 <b> (push {push_id})");
    until("it is listed", || (chromium.evaluate(listed) == json!([line])).then_some(()));
    let notification = json!([["Hello", "信鸽 <b>", push_id]]);
    assert_eq!(shown(&mut chromium), notification);
    // A repeat takes the place of the first.
    chromium.deliver(&scope, plaintext);
    until("it is listed again", || (chromium.evaluate(listed) == json!([line, line])).then_some(()));
    assert_eq!(shown(&mut chromium), notification);

    // Who clicks on it comes to the page. Where a window may be opened is the browser's affair, so that is noted alone.
    let opened = chromium.evaluate_in_worker(
        &scope,
        "(async () => {
           const [notification] = await registration.getNotifications();
           return new Promise((opened) => {
             clients.openWindow = async (url) => opened(url);
             const click = new NotificationEvent('notificationclick', { notification });
             // The browser's own events alone may be waited for.
             click.waitUntil = () => {};
             dispatchEvent(click);
           });
         })()",
    );
    assert_eq!(opened, "/demo/webpush");
    until("the notification is closed", || (shown(&mut chromium) == json!([])).then_some(()));

    // It stays a device when the page is opened again, until its user leaves.
    chromium.open(&server.url("/demo/webpush?again"));
    says(&mut chromium, &device.token);
    let _ = chromium.evaluate("document.getElementById('leave').click()");
    says(&mut chromium, "Not subscribed.");
    assert_eq!(app.as_device(&device, "PATCH", "", &json!({})).0, 401);
    assert_eq!(chromium.complaints(), Vec::<&Value>::new());
}

#[test]
fn the_page_says_why_a_browser_is_no_device() {
    let (server, app, _service) = with_keys();
    // Its patience is for people; the browser, which cannot reach its maker's push service, keeps silent for ever.
    let hurry = "const later = setTimeout; window.setTimeout = (what, ms) => later(what, ms / 100);";
    let mut chromium = on_the_page(&server, hurry);
    subscribes(&mut chromium, &app, "another");
    says(&mut chromium, "AccessKey");
    subscribes(&mut chromium, &app, &app.access_key);
    says(&mut chromium, "The browser's push service does not answer.");
    chromium.notifications_are("denied", &server.url(""));
    subscribes(&mut chromium, &app, &app.access_key);
    says(&mut chromium, "The browser does not allow notifications of this page.");
    let keyless = server.app("web");
    subscribes(&mut chromium, &keyless, &keyless.access_key);
    says(&mut chromium, "pigeonloft app webpush-keys");
    let kept = chromium.evaluate("localStorage.length");
    assert_eq!(kept, 0, "it is no device");
    // Refused calls are errors to a browser's console. Nothing else is.
    let refused = |complaint: &&Value| complaint["params"]["entry"]["source"] == "network";
    let others: Vec<_> = chromium.complaints().into_iter().filter(|complaint| !refused(complaint)).collect();
    assert_eq!(others, Vec::<&Value>::new());
}
