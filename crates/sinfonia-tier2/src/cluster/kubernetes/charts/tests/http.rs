//! Charts from a server.

use rstest::rstest;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockBuilder, MockServer, ResponseTemplate};

use super::super::*;
use super::world::{World, chart};

#[tokio::test]
async fn look_ups_at_once_are_one_request() {
    let (world, server) = (World::new(), MockServer::start().await);
    let slow = good().set_delay(Duration::from_millis(50));
    chart_request()
        .respond_with(slow)
        .expect(1)
        .mount(&server)
        .await;
    let charts = Arc::new(world.http(&server));

    let lookups: Vec<_> = (0..20)
        .map(|_| {
            let charts = Arc::clone(&charts);
            tokio::spawn(async move { charts.get("charts/example", "0.1.0").await })
        })
        .collect();

    for lookup in lookups {
        assert!(lookup.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn an_unchanged_chart_is_not_sent_again() {
    let (world, server) = (World::new(), MockServer::start().await);
    let tagged = good().insert_header("etag", "\"one\"");
    chart_request()
        .respond_with(tagged)
        .up_to_n_times(1)
        .expect(1)
        .mount(&server)
        .await;
    chart_request()
        .and(header("if-none-match", "\"one\""))
        .respond_with(ResponseTemplate::new(304))
        .expect(1)
        .mount(&server)
        .await;
    let charts = world.http(&server);

    let first = charts.get("charts/example", "0.1.0").await.unwrap();
    charts.forget_soon();

    assert_eq!(charts.get("charts/example", "0.1.0").await.unwrap(), first);
    assert_eq!(charts.get("charts/example", "0.1.0").await.unwrap(), first);
}

#[rstest]
#[case::fails(ResponseTemplate::new(500))]
#[case::refuses(ResponseTemplate::new(403))]
#[case::lies(ResponseTemplate::new(200).set_body_string("<html>"))]
#[case::hangs(ResponseTemplate::new(200).set_delay(Duration::from_secs(60)))]
#[tokio::test]
async fn the_last_good_copy_is_served_while_the_source(#[case] answer: ResponseTemplate) {
    let (world, server) = (World::new(), MockServer::start().await);
    chart_request()
        .respond_with(good())
        .up_to_n_times(1)
        .mount(&server)
        .await;
    chart_request().respond_with(answer).mount(&server).await;
    let charts = world.http(&server);

    let first = charts.get("charts/example", "0.1.0").await.unwrap();
    charts.forget_soon();

    assert_eq!(charts.get("charts/example", "0.1.0").await.unwrap(), first);
}

#[rstest]
#[case::absent(404, true)]
#[case::elsewhere(302, true)]
#[case::not_allowed(401, true)]
#[case::busy(429, false)]
#[case::broken(500, false)]
#[tokio::test]
async fn what_a_server_says_is_final_or_not(#[case] status: u16, #[case] expected: bool) {
    let (world, server) = (World::new(), MockServer::start().await);
    chart_request()
        .respond_with(ResponseTemplate::new(status))
        .expect(1)
        .mount(&server)
        .await;
    let charts = world.http(&server);

    let error = charts.get("charts/example", "0.1.0").await.unwrap_err();
    let again = charts.get("charts/example", "0.1.0").await.unwrap_err();

    assert_eq!(error.failure().is_some(), expected);
    assert_eq!(again.to_string(), error.to_string());
}

#[tokio::test]
async fn a_chart_that_is_too_long_is_not_read_to_its_end() {
    let (world, server) = (World::new(), MockServer::start().await);
    let long = ResponseTemplate::new(200).set_body_bytes(vec![0; origin::PACKED_BYTES + 1]);
    chart_request().respond_with(long).mount(&server).await;

    let error = world
        .http(&server)
        .get("charts/example", "0.1.0")
        .await
        .unwrap_err();

    assert!(matches!(error, ChartError::Invalid(..)), "{error:?}");
}

fn chart_request() -> MockBuilder {
    Mock::given(method("GET")).and(path("/charts/example-0.1.0.tgz"))
}

fn good() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_bytes(chart("example", "0.1.0"))
}
