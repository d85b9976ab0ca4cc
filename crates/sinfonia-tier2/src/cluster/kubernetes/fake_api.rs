//! An API server for tests: collections of objects that are listed and watched, as far as `kube` asks.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes};
use futures_util::stream::unfold;
use http::{Request, Response, Uri};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// An API server. Clones share it.
#[derive(Clone, Default)]
pub(super) struct FakeApi(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    version: u64,
    collections: HashMap<String, Collection>,
}

#[derive(Default)]
struct Collection {
    objects: HashMap<String, Value>,
    /// Every event so far, with its version.
    events: Vec<(u64, Bytes)>,
    watches: Vec<UnboundedSender<Bytes>>,
    lists: usize,
    /// The status of every answer, when it is to fail.
    failure: Option<u16>,
    silent: bool,
}

impl FakeApi {
    /// A client of it.
    pub(super) fn client(&self) -> kube::Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let (api, uri) = (api.clone(), request.uri().clone());
            async move { Ok::<_, Infallible>(api.answer(&uri).await) }
        });
        kube::Client::new(service, "default")
    }

    /// Creates or replaces an object in a collection such as `/api/v1/nodes`.
    pub(super) fn put(&self, path: &str, mut object: Value) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let collection = state.collection(path);
        let existed = collection.objects.insert(name, object.clone()).is_some();
        let kind = if existed { "MODIFIED" } else { "ADDED" };
        collection.tell(version, &json!({ "type": kind, "object": object }));
    }

    /// Deletes an object.
    pub(super) fn delete(&self, path: &str, name: &str) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        let collection = state.collection(path);
        let mut object = collection.objects.remove(name).unwrap();
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        collection.tell(version, &json!({ "type": "DELETED", "object": object }));
    }

    /// Deletes an object while nobody watches, and has every watch begin with a new list.
    pub(super) fn delete_unseen(&self, path: &str, name: &str) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        let collection = state.collection(path);
        collection.objects.remove(name).unwrap();
        let gone =
            json!({ "kind": "Status", "code": 410, "reason": "Expired", "message": "too old" });
        collection.tell(version, &json!({ "type": "ERROR", "object": gone }));
        collection.watches.clear();
    }

    /// Answers every request for a collection with this status from now on, and ends its watches; `None` heals it.
    pub(super) fn fail(&self, path: &str, status: Option<u16>) {
        let mut state = self.state();
        let collection = state.collection(path);
        collection.failure = status;
        collection.watches.clear();
    }

    /// Answers no request for a collection any more.
    pub(super) fn fall_silent(&self, path: &str) {
        self.state().collection(path).silent = true;
    }

    /// How often a collection was listed.
    pub(super) fn lists(&self, path: &str) -> usize {
        self.state().collection(path).lists
    }

    /// How many watches of a collection are open.
    pub(super) fn watches(&self, path: &str) -> usize {
        let mut state = self.state();
        let watches = &mut state.collection(path).watches;
        watches.retain(|watch| !watch.is_closed());
        watches.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    async fn answer(&self, uri: &Uri) -> Response<Body> {
        let (path, query) = (uri.path(), uri.query());
        let query: HashMap<_, _> = url::form_urlencoded::parse(query.unwrap_or("").as_bytes())
            .into_owned()
            .collect();
        let silent = self.state().collection(path).silent;
        if silent {
            std::future::pending::<()>().await;
        }
        let mut state = self.state();
        let version = state.version;
        let collection = state.collection(path);
        if let Some(status) = collection.failure {
            let refusal = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "no", "reason": "Forbidden", "code": status });
            let body = Body::from(refusal.to_string());
            return Response::builder().status(status).body(body).unwrap();
        }
        if query.contains_key("watch") {
            return Response::new(collection.watch(query["resourceVersion"].parse().unwrap()));
        }
        collection.lists += 1;
        Response::new(collection.list(version, query.get("fieldSelector")))
    }
}

impl State {
    fn collection(&mut self, path: &str) -> &mut Collection {
        self.collections.entry(path.to_owned()).or_default()
    }
}

impl Collection {
    fn tell(&mut self, version: u64, event: &Value) {
        let line = Bytes::from(format!("{event}\n"));
        for watch in &self.watches {
            let _ = watch.send(line.clone());
        }
        self.events.push((version, line));
    }

    fn list(&self, version: u64, selector: Option<&String>) -> Body {
        let name = selector.map(|selector| selector.strip_prefix("metadata.name=").unwrap());
        let items: Vec<_> = self
            .objects
            .iter()
            .filter(|(object, _)| name.is_none_or(|name| name == object.as_str()))
            .map(|(_, object)| object)
            .collect();
        let list =
            json!({ "metadata": { "resourceVersion": version.to_string() }, "items": items });
        Body::from(list.to_string())
    }

    /// A watch that begins with what happened since a version.
    fn watch(&mut self, since: u64) -> Body {
        let (sender, receiver) = unbounded_channel();
        for (_, event) in self.events.iter().filter(|(version, _)| *version > since) {
            let _ = sender.send(event.clone());
        }
        self.watches.push(sender);
        Body::from_stream(unfold(receiver, |mut receiver| async {
            let line = receiver.recv().await?;
            Some((Ok::<_, Infallible>(line), receiver))
        }))
    }
}
