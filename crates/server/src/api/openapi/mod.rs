//! OpenAPI: the description of the HTTP API that machines read, and its page for people.
//!
//! A route is registered together with its [`Operation`], see [`Routes`]: what is served and what is described come from
//! the same lines. Limits in the schemas are the constants that the checks use. The document is made once, at the start.

mod operation;
mod page;
pub(super) mod schema;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{self, MethodRouter, Route as AxumRoute};
use bytes::Bytes;
use serde_json::{Map, Value, json};

pub(super) use self::operation::{Caller, Operation};
use crate::loft::Loft;

/// The version of OpenAPI the document is written in.
const OPENAPI: &str = "3.1.0";

/// A path's methods, each with its operation.
pub(super) struct Route {
    router: MethodRouter<Arc<Loft>>,
    operations: Vec<(&'static str, Operation)>,
}

macro_rules! methods {
    ($($name:ident)+) => {
        $(
            #[doc = concat!("A route of this method, and what it does: ", stringify!($name), ".")]
            pub(super) fn $name<H, T>(handler: H, operation: Operation) -> Route
            where
                H: Handler<T, Arc<Loft>>,
                T: 'static,
            {
                Route { router: routing::$name(handler), operations: vec![(stringify!($name), operation)] }
            }
        )+
    };
}

methods!(get post put patch);

impl Route {
    /// The same path's `DELETE`.
    pub(super) fn delete<H, T>(mut self, handler: H, operation: Operation) -> Self
    where
        H: Handler<T, Arc<Loft>>,
        T: 'static,
    {
        self.router = self.router.delete(handler);
        self.operations.push(("delete", operation));
        self
    }
}

/// Routes and their description, which grow together.
#[derive(Default)]
pub(super) struct Routes {
    router: Router<Arc<Loft>>,
    paths: Map<String, Value>,
}

impl Routes {
    /// Adds a path.
    pub(super) fn route(mut self, path: &str, route: Route) -> Self {
        let operations = route.operations.into_iter();
        let described: Map<String, Value> =
            operations.map(|(method, operation)| (method.to_owned(), operation.described())).collect();
        self.paths.insert(path.to_owned(), Value::Object(described));
        self.router = self.router.route(path, route.router);
        self
    }

    /// Takes in others.
    pub(super) fn merge(mut self, others: Self) -> Self {
        self.router = self.router.merge(others.router);
        self.paths.extend(others.paths);
        self
    }

    /// Puts a layer around the routes so far.
    pub(super) fn layer<L>(mut self, layer: L) -> Self
    where
        L: tower::Layer<AxumRoute> + Clone + Send + Sync + 'static,
        L::Service: tower::Service<axum::extract::Request> + Clone + Send + Sync + 'static,
        <L::Service as tower::Service<axum::extract::Request>>::Response: IntoResponse + 'static,
        <L::Service as tower::Service<axum::extract::Request>>::Error: Into<Infallible> + 'static,
        <L::Service as tower::Service<axum::extract::Request>>::Future: Send + 'static,
    {
        self.router = self.router.route_layer(layer);
        self
    }

    /// The router, with the description of all its routes at `/openapi.json` and, for people, at `/docs`.
    pub(super) fn published(self) -> Router<Arc<Loft>> {
        let (json, html) = (Published::default(), Published::default());
        let routes = self
            .route("/openapi.json", get(json.handler("application/json"), operation::document()))
            .route("/docs", get(html.handler("text/html; charset=utf-8"), operation::page()));
        let document = document(routes.paths);
        html.set(page::html(&document));
        json.set(document.to_string());
        routes.router
    }
}

/// A text that is served once it is made: it describes the route that serves it, too.
#[derive(Debug, Clone, Default)]
struct Published(Arc<std::sync::OnceLock<Bytes>>);

impl Published {
    fn set(&self, text: String) {
        // Set once, by who made it.
        let _ = self.0.set(text.into());
    }

    fn handler(
        &self,
        content_type: &'static str,
    ) -> impl Fn() -> std::future::Ready<Response> + Clone + Send + Sync + 'static {
        let text = self.clone();
        move || {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
                (header::CONTENT_SECURITY_POLICY, page::policy()),
                (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            ];
            std::future::ready((headers, text.0.get().cloned().unwrap_or_default()).into_response())
        }
    }
}

/// The whole document. Schemas that have a title are named once, under `components`, and referred to.
fn document(mut paths: Map<String, Value>) -> Value {
    let mut schemas = Map::new();
    paths.values_mut().for_each(|path| schema::hoist(path, &mut schemas));
    json!({
        "openapi": OPENAPI,
        "info": {
            "title": "Pigeonloft",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "A push server that speaks the TPNS v3 API.",
            "description": include_str!("description.md"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        // Wherever the document was read from.
        "servers": [{ "url": "/" }],
        "tags": operation::TAGS.iter().map(|(name, text)| json!({ "name": name, "description": text })).collect::<Value>(),
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": operation::security_schemes() },
    })
}

#[cfg(test)]
mod tests;
