//! Push service: the one of browsers, on a port of this machine.

use std::net::{Ipv4Addr, SocketAddr};

use pigeonloft_channels::webpush::sim::Sim;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A simulated push service. Dropping it ends it.
#[derive(Debug)]
pub struct PushService {
    address: SocketAddr,
    _runtime: Runtime,
}

impl PushService {
    /// Starts it.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be started");
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        runtime.spawn(async move { Sim::serve(listener, &format!("http://{address}"), None).await });
        Self { address, _runtime: runtime }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        let request = request.body(body.to_string()).expect("a request");
        ureq::run(request).expect("it answers").body_mut().read_json().expect("with JSON")
    }

    /// A new browser's subscription, as `PushSubscription.toJSON()` writes it.
    ///
    /// # Panics
    /// It does not answer.
    #[must_use]
    pub fn subscription(&self) -> Value {
        self.ask("POST", "/subscriptions", &Value::Null)
    }

    /// What the browser with this subscription got.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn messages(&self, subscription: &Value) -> Vec<Value> {
        let answer = self.ask("GET", &of(subscription), &Value::Null);
        answer["messages"].as_array().expect("a list").clone()
    }

    /// The browser goes: its subscription leads nowhere any more.
    ///
    /// # Panics
    /// There is none.
    pub fn leaves(&self, subscription: &Value) {
        let _ = self.ask("DELETE", &of(subscription), &Value::Null);
    }

    /// Answers messages so from now on, see [`Behaviour`](pigeonloft_channels::webpush::sim::Behaviour).
    ///
    /// # Panics
    /// It cannot.
    pub fn behaves(&self, behaviour: &Value) {
        let _ = self.ask("PUT", "/behaviour", behaviour);
    }

    /// How many requests for messages it answered.
    ///
    /// # Panics
    /// One of them was not as the RFCs have it.
    #[must_use]
    pub fn answered(&self) -> u64 {
        let answer = self.ask("GET", "/log", &Value::Null);
        assert_eq!(answer["faults"], json!([]));
        answer["answered"].as_u64().expect("a number")
    }
}

fn of(subscription: &Value) -> String {
    let endpoint = subscription["endpoint"].as_str().expect("a subscription has an endpoint");
    format!("/subscriptions/{}", endpoint.rsplit('/').next().expect("with an id"))
}
