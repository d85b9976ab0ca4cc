//! What the API says of itself.

use serde_json::Value;
use sinfonia_core::schema;
use sinfonia_service::openapi::complete;
use utoipa::OpenApi;

use super::{cloudlets, deploy, deployments, explain, recipe};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sinfonia Tier 1",
        description = "Knows the cloudlets, ranks them for a client, and has the best one deploy the client's backend. Every path works with and without a slash at its end."
    ),
    paths(
        super::root,
        cloudlets::list,
        cloudlets::report,
        recipe::recipe,
        deploy::candidates,
        deploy::deploy,
        deployments::show,
        deployments::delete,
        explain::explain,
    )
)]
struct Tier1;

/// The description of the API: an OpenAPI document.
pub fn description() -> Value {
    complete(&Tier1::openapi(), schema::of_tier1())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_tells_its_answers() {
        let api = description();

        let paths = api["paths"].as_object().unwrap();
        let operations = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().iter();
            methods.map(move |(method, operation)| {
                let answers = operation["responses"].as_object().unwrap().keys();
                let answers: Vec<&str> = answers.map(String::as_str).collect();
                format!("{method} {path}: {}", answers.join(" "))
            })
        });
        insta::assert_snapshot!(operations.collect::<Vec<_>>().join("\n"), @r"
        get /: 200 414 500 503 504
        get /api/v1/cloudlets/: 200 400 414 500 503 504
        post /api/v1/cloudlets/: 204 400 401 403 413 414 500 503 504
        get /api/v1/deploy/{uuid}/{application_key}: 200 400 404 414 500 503 504
        post /api/v1/deploy/{uuid}/{application_key}: 200 400 404 409 414 429 500 502 503 504
        delete /api/v1/deployments/{uuid}/{application_key}: 204 400 403 404 414 429 500 502 503 504
        get /api/v1/deployments/{uuid}/{application_key}: 200 400 404 414 429 500 502 503 504
        get /api/v1/explain: 200 400 401 403 414 500 503 504
        get /api/v1/openapi.json: 200 414 500 503 504
        get /api/v1/recipe/{uuid}/: 200 403 404 414 500 503 504
        get /api/v1/ui/: 200 414 500 503 504
        ");
    }

    #[test]
    fn every_schema_that_is_named_is_there() {
        let api = description();

        let text = api.to_string();
        let named = text.split("\"$ref\":\"#/components/schemas/").skip(1);
        for name in named.filter_map(|rest| rest.split('"').next()) {
            assert!(api["components"]["schemas"][name].is_object(), "{name}");
        }
    }
}
