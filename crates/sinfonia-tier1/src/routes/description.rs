//! What the API says of itself.

use serde_json::Value;
use sinfonia_core::schema;
use sinfonia_service::openapi::complete;
use utoipa::openapi::{Header, RefOr};
use utoipa::{Modify, OpenApi};

use super::{cloudlets, deploy, deployments, explain, recipe};
use crate::tier1::REQUEST_IDS;

/// The API. What is below `/dashboard/` is left out: it is made for the page that comes with the same program, and changes with that.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sinfonia Tier 1",
        description = "Knows the cloudlets, ranks them for a client, and has the best one deploy the client's backend. Every path works with and without a slash at its end."
    ),
    modifiers(&Tries),
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

/// Tells that what came of a deploy request says how many cloudlets were tried, whatever it is.
struct Tries;

/// The description of the API: an OpenAPI document.
pub fn description() -> Value {
    complete(&Tier1::openapi(), schema::of_tier1(), REQUEST_IDS)
}

impl Modify for Tries {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let posts = api.paths.paths.values_mut();
        let posts = posts.filter_map(|path| path.post.as_mut());
        let deploys = posts.filter(|post| post.operation_id.as_deref() == Some("deploy"));
        let answers = deploys.flat_map(|deploy| deploy.responses.responses.values_mut());
        for answer in answers {
            if let RefOr::T(answer) = answer {
                let mut tries = Header::default();
                tries.description = Some("How many cloudlets were tried".to_owned());
                answer.headers.insert("X-Sinfonia-Tries".to_owned(), tries);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sinfonia_service::openapi::answers;

    use super::*;

    #[test]
    fn every_operation_tells_its_answers() {
        insta::assert_snapshot!(answers(&description()), @r"
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
    fn whatever_comes_of_a_deploy_request_may_say_how_many_cloudlets_were_tried() {
        let api = description();

        let answers = &api["paths"]["/api/v1/deploy/{uuid}/{application_key}"]["post"]["responses"];
        let telling = answers.as_object().unwrap().iter();
        let telling =
            telling.filter(|(_, answer)| answer["headers"]["X-Sinfonia-Tries"].is_object());
        let statuses: Vec<&str> = telling.map(|(status, _)| status.as_str()).collect();
        // The others are not those of deploy requests alone.
        assert_eq!(statuses, ["200", "400", "404", "409", "429", "502", "503"]);
    }

    #[test]
    fn the_root_may_be_a_page() {
        let root = &description()["paths"]["/"]["get"]["responses"]["200"];

        let content = root["content"].as_object().unwrap().keys();
        let types: Vec<&str> = content.map(String::as_str).collect();
        assert_eq!(types, ["application/json", "text/html"]);
    }

    #[test]
    fn what_is_sent_has_an_example_that_people_can_begin_with() {
        let api = description();

        let body = &api["paths"]["/api/v1/cloudlets/"]["post"]["requestBody"];
        let reference = &body["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(reference, "#/components/schemas/Report");
        assert!(api["components"]["schemas"]["Report"]["examples"][0].is_object());
    }
}
