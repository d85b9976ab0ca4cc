//! The description of an HTTP API for people and programs: OpenAPI 3.1 at `/api/v1/openapi.json`, and a page that shows it at `/api/v1/ui/`.
//!
//! Handlers describe themselves (`utoipa::path`); what holds for all of them is said here once: problem documents, request ids, the bounds of
//! [`crate::front`], the ways in which paths and headers say things. Schemas are those of the types on the wire.

mod page;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};
use sinfonia_core::schema::without_null;

use crate::request_id::RequestIds;

/// Where the description is served.
const PATH: &str = "/api/v1/openapi.json";

/// How a description refers to one of its schemas, up to the name.
const REFERENCE: &str = "\"$ref\":\"#/components/schemas/";

/// What every operation may be answered with beside its own answers: status and reason.
const OF_ALL: [(&str, &str); 4] = [
    ("414", "Path and query are too long"),
    ("500", "The service failed; its log has the request's id"),
    ("503", "Not now; too many requests are running"),
    ("504", "The request took too long"),
];

/// Completes the description of an API: the schemas are those that its handlers name, the ids of requests come from there.
pub fn complete(
    api: &utoipa::openapi::OpenApi,
    mut schemas: Map<String, Value>,
    request_ids: RequestIds,
) -> Value {
    // What utoipa makes is text, numbers and lists, which can always be written.
    let mut api = serde_json::to_value(api).unwrap_or_default();
    api["paths"][PATH] = own("openapi", "Describes the API", "application/json", "object");
    api["paths"]["/api/v1/ui/"] = own("ui", "Shows the API to people", "text/html", "string");
    let operations = api["paths"]
        .as_object_mut()
        .into_iter()
        .flat_map(Map::values_mut);
    for operation in operations
        .filter_map(Value::as_object_mut)
        .flat_map(Map::values_mut)
    {
        complete_operation(operation, request_ids);
    }
    schemas.insert("Problem".to_owned(), problem());
    api["components"] = json!({"schemas": schemas, "securitySchemes": {"token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of the file that the service was started with.",
    }}});
    debug_assert_eq!(missing_schemas(&api), [""; 0], "handlers name them");
    api
}

/// What each operation of a description may be answered with, an operation a line.
pub fn answers(api: &Value) -> String {
    let paths = api["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flatten();
        methods.map(move |(method, operation)| {
            let answers = operation["responses"].as_object().into_iter().flatten();
            let answers: String = answers.map(|(status, _)| format!(" {status}")).collect();
            format!("{method} {path}:{answers}\n")
        })
    });
    operations.collect()
}

/// The schemas that a description refers to and does not have.
fn missing_schemas(api: &Value) -> Vec<String> {
    let text = api.to_string();
    let references = text.split(REFERENCE).skip(1);
    let named = references.filter_map(|rest| rest.split('"').next());
    let missing = named.filter(|name| api["components"]["schemas"][name].is_null());
    missing.map(str::to_owned).collect()
}

/// The routes at which a description and its page are served.
pub fn router(api: &Value) -> Router {
    let body = Bytes::from(api.to_string());
    let answer = move || {
        let body = body.clone();
        async move { ([(CONTENT_TYPE, "application/json")], body) }
    };
    Router::new().route(PATH, get(answer)).merge(page::router())
}

/// The description's own routes.
fn own(name: &str, summary: &str, media: &str, kind: &str) -> Value {
    json!({"get": {
        "operationId": name,
        "tags": ["Service"],
        "summary": summary,
        "responses": {"200": {"description": "It is here", "content": {media: {"schema": {"type": kind}}}}},
    }})
}

fn complete_operation(operation: &mut Value, request_ids: RequestIds) {
    for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
        complete_parameter(parameter);
    }
    if operation["parameters"].is_null() {
        operation["parameters"] = json!([]);
    }
    if let Some(parameters) = operation["parameters"].as_array_mut() {
        parameters.push(request_id(request_ids));
    }
    for (status, reason) in OF_ALL {
        if operation["responses"][status].is_null() {
            operation["responses"][status] = json!({"description": reason});
        }
    }
    let responses = operation["responses"].as_object_mut();
    for (status, response) in responses.into_iter().flatten() {
        complete_response(status, response);
    }
}

fn request_id(request_ids: RequestIds) -> Value {
    let description = match request_ids {
        RequestIds::Always => {
            "It may be there, but counts for nothing: each request gets an id of its own."
        }
        RequestIds::TakeOver => {
            "The request's id: 1 to 128 letters, digits, dots, underscores and hyphens; a new one where it is absent or malformed."
        }
    };
    json!({
        "name": "X-Request-ID",
        "in": "header",
        "required": false,
        "description": description,
        "schema": {"type": "string"},
    })
}

/// What stands in paths, and what headers say of a client, is the same everywhere.
fn complete_parameter(parameter: &mut Value) {
    parameter["schema"] = without_null(parameter["schema"].take());
    // What is too large is capped, so numbers need not fit an integer of so many bits.
    if let Some(schema) = parameter["schema"].as_object_mut()
        && schema
            .get("format")
            .is_some_and(|format| *format == "int64")
    {
        schema.remove("format");
    }
    let (description, schema) = match parameter["name"].as_str() {
        Some("uuid") if parameter["in"] == "path" => (
            "The recipe, in any usual spelling of a uuid.",
            json!({"type": "string", "format": "uuid", "examples": ["00000000-0000-0000-0000-000000000000"]}),
        ),
        Some("application_key") => (
            "The client's WireGuard public key: URL-safe or standard base64, with or without padding, or 64 hex digits. The `/` of standard base64 may stand there unescaped.",
            json!({
                "type": "string",
                "pattern": "^([A-Za-z0-9+/_-]{42}[AEIMQUYcgkosw048]=?|[0-9a-fA-F]{64})$",
                "examples": ["-_v7DGZ7gZlS2SmhtSvYHFgPX4xoaL2uSOTaONZ3Zn8"],
            }),
        ),
        Some("X-ClientIP") => (
            "Address of the client, from trusted proxies and with a token; otherwise the other end's counts. A malformed one counts as absent.",
            json!({"type": "string", "examples": ["192.0.2.7"]}),
        ),
        Some("X-Location") => (
            "Where the client is: latitude,longitude in degrees; otherwise GeoIP tells. A malformed one counts as absent.",
            json!({"type": "string", "examples": ["40.4439,-79.9444"]}),
        ),
        Some("X-RTT") => (
            "Round trips that the client measured: <cloudlet uuid>=<milliseconds>,… A malformed header counts as absent.",
            json!({"type": "string", "examples": ["7c9e6679-7425-40de-944b-e07fc1f90ae7=12.5"]}),
        ),
        _ => return,
    };
    parameter["description"] = description.into();
    parameter["schema"] = schema;
}

fn complete_response(status: &str, response: &mut Value) {
    if response["headers"].is_null() {
        response["headers"] = json!({});
    }
    let headers = &mut response["headers"];
    headers["X-Request-ID"] = header("The request's id, which the log has too.", true);
    match status {
        "401" => headers["WWW-Authenticate"] = header("Bearer", true),
        // It is passed on from elsewhere, where it may be missing.
        "429" | "503" => {
            headers["Retry-After"] = header("Seconds after which asking again makes sense.", false);
        }
        _ => {}
    }
    if status.starts_with(['4', '5']) {
        response["content"] = json!({
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
        });
    }
}

fn header(description: &str, required: bool) -> Value {
    json!({"description": description, "required": required, "schema": {"type": "string"}})
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "What went wrong with one request (RFC 9457).",
        "required": ["type", "title", "status", "request_id"],
        "properties": {
            "type": {"const": "about:blank"},
            "title": {"type": "string", "description": "The phrase of the status."},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string", "description": "What went wrong, and what would be right."},
            "class": {"type": "string", "description": "The kind of failure, for programs: bad-values, chart-not-found, timed-out, expired, …"},
            "request_id": {"type": "string", "description": "The request's id, which the log has too."},
        },
    })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::{Request, StatusCode};
    use http_body_util::BodyExt;
    use rstest::rstest;
    use tower::ServiceExt;
    use utoipa::OpenApi;

    use super::*;

    #[derive(OpenApi)]
    #[openapi(paths(take))]
    struct Example;

    #[utoipa::path(
        get,
        path = "/{uuid}",
        params(("uuid" = String, Path), ("limit" = Option<u64>, Query), ("X-RTT" = Option<String>, Header)),
        responses((status = 204, description = "Taken"), (status = 429, description = "Too often")),
    )]
    #[expect(dead_code, reason = "it is there for its description alone")]
    fn take() {}

    #[test]
    fn what_holds_for_all_is_added_to_each_operation() {
        let api = complete(&Example::openapi(), Map::new(), RequestIds::TakeOver);

        let operation = &api["paths"]["/{uuid}"]["get"];
        assert_eq!(api["openapi"], "3.1.0");
        assert_eq!(operation["parameters"][0]["schema"]["format"], "uuid");
        assert!(operation["parameters"][1]["schema"]["format"].is_null());
        assert_eq!(operation["parameters"][1]["schema"]["type"], "integer");
        let round_trips = operation["parameters"][2]["description"].as_str().unwrap();
        assert!(round_trips.starts_with("Round trips"), "{round_trips}");
        assert_eq!(operation["parameters"][3]["name"], "X-Request-ID");
        let busy = &operation["responses"]["429"];
        assert_eq!(busy["headers"]["X-Request-ID"]["required"], true);
        assert_eq!(busy["headers"]["Retry-After"]["required"], false);
        assert_eq!(
            busy["content"]["application/problem+json"]["schema"]["$ref"],
            "#/components/schemas/Problem"
        );
        assert!(operation["responses"]["204"]["content"].is_null());
        let expected = "\
get /api/v1/openapi.json: 200 414 500 503 504
get /api/v1/ui/: 200 414 500 503 504
get /{uuid}: 204 414 429 500 503 504
";
        assert_eq!(answers(&api), expected);
    }

    #[rstest]
    #[case::ours(RequestIds::Always, "each request gets an id of its own")]
    #[case::the_callers(RequestIds::TakeOver, "a new one where it is absent")]
    fn whether_the_callers_request_id_counts_is_told(
        #[case] request_ids: RequestIds,
        #[case] expected: &str,
    ) {
        let api = complete(&Example::openapi(), Map::new(), request_ids);

        let parameters = &api["paths"]["/api/v1/openapi.json"]["get"]["parameters"];
        let told = parameters[0]["description"].as_str().unwrap();
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn a_schema_that_is_named_and_not_there_is_missed() {
        let named = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
        let api = json!({
            "components": {"schemas": {"Here": {"type": "object"}}},
            "paths": [named("Here"), named("Nowhere")],
        });

        assert_eq!(missing_schemas(&api), ["Nowhere"]);
    }

    #[rstest]
    #[case::description("/api/v1/openapi.json", "application/json", "{\"openapi\"")]
    #[case::page("/api/v1/ui", "text/html; charset=utf-8", "<!doctype html>")]
    #[case::style("/api/v1/ui/page.css", "text/css; charset=utf-8", "body {")]
    #[case::script(
        "/api/v1/ui/page.js",
        "text/javascript; charset=utf-8",
        "\"use strict\""
    )]
    #[tokio::test]
    async fn the_description_and_its_page_are_served(
        #[case] path: &str,
        #[case] kind: &str,
        #[case] begin: &str,
    ) {
        let request = Request::get(path).body(Body::empty()).unwrap();

        let answer = router(&json!({"openapi": "3.1.0"}))
            .oneshot(request)
            .await
            .unwrap();

        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[CONTENT_TYPE], kind);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(begin.as_bytes()));
    }

    #[tokio::test]
    async fn the_page_asks_this_host_alone_and_makes_no_markup_of_text() {
        let request = Request::get("/api/v1/ui").body(Body::empty()).unwrap();

        let answer = router(&json!({})).oneshot(request).await.unwrap();

        let policy = answer.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        for part in [
            "default-src 'none'",
            "connect-src 'self'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert_eq!(answer.headers()["referrer-policy"], "no-referrer");
    }

    #[test]
    fn the_page_takes_nothing_from_elsewhere() {
        for part in [
            include_str!("openapi/page.html"),
            include_str!("openapi/page.js"),
            include_str!("openapi/page.css"),
        ] {
            assert!(!part.contains("//cdn") && !part.contains("http:") && !part.contains("https:"));
            assert!(!part.contains("innerHTML") && !part.contains(" style="));
        }
    }
}
