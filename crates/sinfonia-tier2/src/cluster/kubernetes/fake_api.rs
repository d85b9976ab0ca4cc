//! An API server for tests: collections of objects that are listed, watched and written, as far as `kube` asks.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes};
use futures_util::stream::unfold;
use http::{Method, Request, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// An API server. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct FakeApi(Arc<Mutex<State>>);

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
    /// Events that watches are not told yet.
    held: Option<Vec<Bytes>>,
    /// Whether answers to writes wait, after the writes are done.
    answers_held: bool,
}

/// What a request is about: a collection, an object in it, and whether it is about the object's status alone.
struct Target {
    collection: String,
    name: Option<String>,
    status: bool,
}

impl FakeApi {
    /// A client of it.
    pub(crate) fn client(&self) -> kube::Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        kube::Client::new(service, "default")
    }

    /// Creates or replaces an object in a collection such as `/api/v1/nodes`.
    pub(crate) fn put(&self, path: &str, mut object: Value) {
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

    /// An object.
    pub(crate) fn find(&self, path: &str, name: &str) -> Option<Value> {
        self.state().collection(path).objects.get(name).cloned()
    }

    /// Has watches of a collection wait for what happens from now on, until they are to be told.
    pub(crate) fn hold_events(&self, path: &str) {
        self.state().collection(path).held = Some(Vec::new());
    }

    /// Tells watches what they have missed.
    pub(crate) fn release_events(&self, path: &str) {
        let mut state = self.state();
        let collection = state.collection(path);
        for line in collection.held.take().unwrap_or_default() {
            for watch in &collection.watches {
                let _ = watch.send(line.clone());
            }
        }
    }

    /// Never tells watches what they have missed.
    pub(crate) fn release_events_unseen(&self, path: &str) {
        self.state().collection(path).held = None;
    }

    /// Has the answers to writes wait, although the writes are done.
    pub(crate) fn hold_answers(&self, path: &str, hold: bool) {
        self.state().collection(path).answers_held = hold;
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, path: &str, name: &str) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        let collection = state.collection(path);
        let mut object = collection.objects.remove(name).unwrap();
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        collection.tell(version, &json!({ "type": "DELETED", "object": object }));
    }

    /// Deletes an object while nobody watches, and has every watch begin with a new list.
    pub(crate) fn delete_unseen(&self, path: &str, name: &str) {
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
    pub(crate) fn fail(&self, path: &str, status: Option<u16>) {
        let mut state = self.state();
        let collection = state.collection(path);
        collection.failure = status;
        collection.watches.clear();
    }

    /// Answers no request for a collection any more.
    pub(crate) fn fall_silent(&self, path: &str) {
        self.state().collection(path).silent = true;
    }

    /// How often a collection was listed.
    pub(crate) fn lists(&self, path: &str) -> usize {
        self.state().collection(path).lists
    }

    /// How many watches of a collection are open.
    pub(crate) fn watches(&self, path: &str) -> usize {
        let mut state = self.state();
        let watches = &mut state.collection(path).watches;
        watches.retain(|watch| !watch.is_closed());
        watches.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    async fn answer(&self, request: Request<kube::client::Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let uri = &parts.uri;
        let query: HashMap<_, _> =
            url::form_urlencoded::parse(uri.query().unwrap_or("").as_bytes())
                .into_owned()
                .collect();
        let target = self.state().target(uri.path());
        let path = &target.collection;
        let silent = self.state().collection(path).silent;
        if silent {
            std::future::pending::<()>().await;
        }
        if let Some(status) = self.state().collection(path).failure {
            return refusal(status);
        }
        if parts.method != Method::GET {
            let written = self.state().write(&parts.method, &target, &body);
            while self.state().collection(path).answers_held {
                tokio::task::yield_now().await;
            }
            return written.map_or_else(refusal, |object| respond(&object));
        }
        let mut state = self.state();
        let version = state.version;
        let collection = state.collection(path);
        if let Some(name) = &target.name {
            let found = collection.objects.get(name);
            return found.map_or_else(|| refusal(404), respond);
        }
        if query.contains_key("watch") {
            return Response::new(collection.watch(query["resourceVersion"].parse().unwrap()));
        }
        collection.lists += 1;
        Response::new(collection.list(version, query.get("fieldSelector")))
    }
}

fn respond(object: &Value) -> Response<Body> {
    Response::new(Body::from(object.to_string()))
}

fn refusal(status: u16) -> Response<Body> {
    let reason = match status {
        404 => "NotFound",
        409 => "Conflict",
        _ => "Forbidden",
    };
    let refusal = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "no", "reason": reason, "code": status });
    let body = Body::from(refusal.to_string());
    Response::builder().status(status).body(body).unwrap()
}

impl State {
    fn collection(&mut self, path: &str) -> &mut Collection {
        self.collections.entry(path.to_owned()).or_default()
    }

    /// Only what is a collection already can hold what is asked for.
    fn target(&self, path: &str) -> Target {
        let (object, status) = match path.strip_suffix("/status") {
            Some(object) => (object, true),
            None => (path, false),
        };
        let (collection, name) = object.rsplit_once('/').unwrap_or_default();
        if self.collections.contains_key(path) || !self.collections.contains_key(collection) {
            return Target {
                collection: path.to_owned(),
                name: None,
                status: false,
            };
        }
        Target {
            collection: collection.to_owned(),
            name: Some(name.to_owned()),
            status,
        }
    }

    /// Writes as an API server does: not over what somebody else has written, and finalizers delay a deletion.
    fn write(&mut self, method: &Method, target: &Target, body: &[u8]) -> Result<Value, u16> {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        self.version += 1;
        let version = self.version;
        let collection = self.collection(&target.collection);
        let Some(name) = &target.name else {
            let name = body["metadata"]["name"].as_str().unwrap().to_owned();
            if collection.objects.contains_key(&name) {
                return Err(409);
            }
            return Ok(collection.store("ADDED", &name, version, body));
        };
        let mut object = collection.objects.get(name).cloned().ok_or(404_u16)?;
        let expected = [&body["metadata"], &body["preconditions"]]
            .map(|held| held["resourceVersion"].as_str())
            .into_iter()
            .flatten()
            .next();
        if expected.is_some() && expected != object["metadata"]["resourceVersion"].as_str() {
            return Err(409);
        }
        match *method {
            Method::DELETE => {
                object["metadata"]["deletionTimestamp"] = json!("2026-11-22T15:00:00Z");
            }
            Method::PUT if target.status => object["status"] = body["status"].clone(),
            _ => merge(&mut object, body),
        }
        let metadata = &object["metadata"];
        let is_held = metadata["finalizers"]
            .as_array()
            .is_some_and(|held| !held.is_empty());
        let goes = metadata["deletionTimestamp"].is_string() && !is_held;
        let kind = if goes { "DELETED" } else { "MODIFIED" };
        Ok(collection.store(kind, name, version, object))
    }
}

impl Collection {
    /// Stores an object, or lets it go, and gives it as it is then.
    fn store(&mut self, kind: &str, name: &str, version: u64, mut object: Value) -> Value {
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        if kind == "DELETED" {
            self.objects.remove(name);
        } else {
            self.objects.insert(name.to_owned(), object.clone());
        }
        self.tell(version, &json!({ "type": kind, "object": object }));
        object
    }

    fn tell(&mut self, version: u64, event: &Value) {
        let line = Bytes::from(format!("{event}\n"));
        if let Some(held) = &mut self.held {
            held.push(line.clone());
            self.events.push((version, line));
            return;
        }
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

/// RFC 7396, without its removal of fields.
fn merge(object: &mut Value, patch: Value) {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => {
            for (name, value) in patch {
                if name != "resourceVersion" {
                    merge(object.entry(name).or_insert(Value::Null), value);
                }
            }
        }
        (object, patch) => *object = patch,
    }
}
