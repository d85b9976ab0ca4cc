//! Endpoints that do not do what they should.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

#[rstest]
#[case::error(
    ResponseTemplate::new(503),
    "its page answered 503 Service Unavailable: "
)]
#[case::redirect(
    ResponseTemplate::new(302).insert_header("location", "/elsewhere"),
    "its page answered 302 Found: "
)]
#[case::no_content(ResponseTemplate::new(204), "its page answered 204 No Content: ")]
#[case::too_long(
    ResponseTemplate::new(200).set_body_bytes(vec![b'\n'; 2 * 1024 * 1024 + 1]),
    "its page cannot be read: the answer is longer than 2097152 bytes"
)]
#[tokio::test]
async fn a_page_that_cannot_be_read_is_a_failure(
    #[case] response: ResponseTemplate,
    #[case] expected: &str,
) {
    let server = MockServer::start().await;
    Mock::given(path("/metrics"))
        .respond_with(response)
        .mount(&server)
        .await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_body_string("queue_length 3\n"))
        .mount(&server)
        .await;

    let scraped = scrape(&page_of(&server)).await;

    assert_eq!(told(&scraped), expected);
    assert_eq!(outcome(&scraped), ScrapeOutcome::Failed);
}

#[rstest]
#[case::a_page_for_people("<html><body>queue_length 3</body></html>")]
#[case::no_words("\u{fffd}\u{0}\u{1}")]
#[case::cut_off("queue_length{a=\"1\"")]
#[case::empty("")]
#[tokio::test]
async fn a_page_that_says_none_of_it_is_told(#[case] text: &str) {
    let server = page(text).await;

    let scraped = scrape(&page_of(&server)).await;

    assert_eq!(outcome(&scraped), ScrapeOutcome::Nothing);
}

#[tokio::test]
async fn what_is_not_finite_is_left_out() {
    let server = page("queue_length +Inf\n").await;

    let scraped = scrape(&page_of(&server)).await;

    assert_eq!(scraped.resources, Resources::new());
    assert_eq!(outcome(&scraped), ScrapeOutcome::Measured);
}

#[tokio::test]
async fn a_page_without_end_is_not_read_further_than_it_may_be() {
    let address = serve(|mut connection| async move {
        read_request(&mut connection).await;
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while connection.write_all(&[b'\n'; 4096]).await.is_ok() {}
    })
    .await;

    let scraped = scrape(&raw(address)).await;

    assert_eq!(
        told(&scraped),
        "its page cannot be read: the answer is longer than 2097152 bytes"
    );
}

#[rstest]
#[case::page(
    "endpoint: URL\nseries: {queue: queue_length}",
    "its page does not answer"
)]
#[case::prometheus("prometheus: URL", "its Prometheus cannot be asked")]
#[tokio::test(start_paused = true)]
async fn who_does_not_answer_is_given_up(#[case] metrics: &str, #[case] expected: &str) {
    let address = serve(|connection| async move {
        std::future::pending::<()>().await;
        drop(connection);
    })
    .await;

    let scraped = scrape(&metrics.replace("URL", &format!("http://{address}/"))).await;

    assert_eq!(scraped.error.unwrap().to_string(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_never_ends_and_says_nothing_is_given_up() {
    let address = serve(|mut connection| async move {
        read_request(&mut connection).await;
        let _ = connection
            .write_all(b"HTTP/1.1 200 OK\r\n\r\nqueue_length")
            .await;
        std::future::pending::<()>().await;
    })
    .await;

    let scraped = scrape(&raw(address)).await;

    let told = told(&scraped);
    assert!(
        told.starts_with("its page cannot be read: the answer broke off"),
        "{told}"
    );
}

/// Serves each connection so, on a port of its own.
async fn serve<F>(answer: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(answer(connection));
        }
    });
    address
}

fn raw(address: SocketAddr) -> String {
    format!("endpoint: http://{address}/metrics\nseries: {{queue: queue_length}}\n")
}

async fn read_request(connection: &mut TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(connection.read_u8().await.unwrap());
    }
}
