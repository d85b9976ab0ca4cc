//! The page that a sandbox shows at port 80 of a deployment: who the device is.

use std::net::IpAddr;

use axum::Router;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::HeaderMap;
use http::header::ACCEPT;
use jiff::Timestamp;
use sinfonia_core::deployment::DeploymentName;
use sinfonia_core::key::PublicKey;
use sinfonia_core::recipe::HELLOWORLD;
use uuid::Uuid;

/// What there is to say about a deployment.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) deployment: DeploymentName,
    pub(super) recipe: Uuid,
    /// The chart and its version.
    pub(super) chart: String,
    pub(super) device: PublicKey,
    pub(super) address: IpAddr,
    pub(super) created: Timestamp,
}

impl Page {
    /// Answers `GET /` with the page.
    pub(super) fn router(self) -> Router {
        Router::new().route("/", get(async move |headers| self.answer(&headers)))
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let wants_html = headers
            .get(ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"));
        if wants_html {
            Html(self.html()).into_response()
        } else {
            self.text().into_response()
        }
    }

    fn text(&self) -> String {
        let rows = self.rows().map(|(name, value)| {
            let name = format!("{name}:");
            format!("{name:<12}{value}\n")
        });
        format!(
            "Hello from a Sinfonia sandbox.\n\n{}\n{}\n",
            rows.concat(),
            self.advice()
        )
    }

    fn html(&self) -> String {
        let rows = self
            .rows()
            .map(|(name, value)| format!("<dt>{name}</dt><dd>{value}</dd>\n"));
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Sinfonia sandbox</title>\n\
             <h1>Hello from a Sinfonia sandbox.</h1>\n<dl>\n{}</dl>\n<p>{}</p>\n</html>\n",
            rows.concat(),
            self.advice()
        )
    }

    /// All values are of types whose texts hold neither line breaks nor markup.
    fn rows(&self) -> [(&'static str, String); 6] {
        [
            ("you are", self.address.to_string()),
            ("your key", self.device.to_string()),
            ("deployment", self.deployment.to_string()),
            ("recipe", self.recipe.to_string()),
            ("chart", self.chart.clone()),
            ("since", format!("{:.0}", self.created)),
        ]
    }

    fn advice(&self) -> &'static str {
        if self.recipe == HELLOWORLD {
            "In a cluster, the nginx of the chart would answer here."
        } else {
            "A sandbox installs no chart. For a program of its machine to answer here, add to the recipe: sandbox: {forward: {80: 127.0.0.1:8080}}"
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn the_page_says_who_the_device_is() {
        insta::assert_snapshot!(get_page("*/*").await);
    }

    #[tokio::test]
    async fn a_browser_gets_a_page_for_browsers() {
        insta::assert_snapshot!(get_page("text/html,application/xhtml+xml;q=0.9").await);
    }

    #[tokio::test]
    async fn a_recipe_without_a_stand_in_says_how_it_gets_one() {
        let page = Page {
            recipe: Uuid::from_u128(7),
            ..page()
        };

        assert!(page.text().contains("forward"), "{}", page.text());
    }

    async fn get_page(accept: &str) -> String {
        let request = http::Request::get("/").header(ACCEPT, accept);
        let request = request.body(axum::body::Body::empty()).unwrap();
        let answer = page().router().oneshot(request).await.unwrap();
        let content = answer.headers()[http::header::CONTENT_TYPE].clone();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        format!(
            "{}\n\n{}",
            content.to_str().unwrap(),
            str::from_utf8(&body).unwrap()
        )
    }

    fn page() -> Page {
        Page {
            deployment: "brave-otter-x7k2p".parse().unwrap(),
            recipe: HELLOWORLD,
            chart: "charts/helloworld 0.1.0".to_owned(),
            device: PublicKey::from_bytes([7; 32]),
            address: IpAddr::from([10, 5, 17, 4]),
            created: "2026-11-22T15:09:00Z".parse().unwrap(),
        }
    }
}
