use serde_json::{Value, json};
use sinfonia_core::cloudlet::CloudletInfo;

use super::*;
use crate::registry::{FileCloudlet, Registry};

#[test]
fn who_knows_nothing_is_told_everything() {
    let mut board = Board::default();

    look(&mut board, &[("one", State::Fresh), ("two", State::Silent)]);

    let expected = json!({
        "now": 60_000, "total": 2, "all": true,
        "known": [
            [0, uuid("one"), "one", [40.4439, -79.9444]],
            [1, uuid("two"), "two", [40.4439, -79.9444]],
        ],
        "read": [[0, 0, 30, 0.123, null, null, 2], [1, 4, 30, 0.123, null, null, 2]],
    });
    assert_eq!(told(&board, None), expected);
}

#[test]
fn who_knows_a_version_is_told_the_differences() {
    let mut board = Board::default();
    look(
        &mut board,
        &[
            ("one", State::Fresh),
            ("two", State::Fresh),
            ("three", State::Fresh),
        ],
    );
    let version = board.version();

    look(
        &mut board,
        &[
            ("one", State::Fresh),
            ("two", State::Draining),
            ("four", State::Fresh),
        ],
    );

    let expected = json!({
        "now": 60_000, "total": 3,
        "known": [[3, uuid("four"), "four", [40.4439, -79.9444]]],
        "read": [[1, 3, 30, 0.123, null, null, 2], [3, 0, 30, 0.123, null, null, 2]],
        "gone": [2],
    });
    assert_eq!(told(&board, Some(version)), expected);
}

#[test]
fn nothing_new_is_nothing_to_tell() {
    let mut board = Board::default();
    look(&mut board, &[("one", State::Fresh)]);
    let version = board.version();

    look(&mut board, &[("one", State::Fresh)]);

    assert_eq!(board.since(Some(version), now()), None);
}

#[test]
fn even_no_cloudlets_are_told_once() {
    let mut board = Board::default();

    look(&mut board, &[]);

    assert_eq!(
        told(&board, None),
        json!({"now": 60_000, "total": 0, "all": true})
    );
}

#[test]
fn who_missed_too_many_that_went_is_told_everything_anew() {
    let mut board = Board::default();
    look(&mut board, &[("one", State::Fresh)]);
    let version = board.version();
    board.gone = (0..=MOST_GONE as u32).map(|id| (version, id)).collect();

    look(&mut board, &[("one", State::Fresh)]);
    look(&mut board, &[("two", State::Fresh)]);

    assert_eq!(told(&board, Some(version - 1))["all"], true);
    assert_eq!(told(&board, Some(version))["gone"], json!([0]));
}

fn look(board: &mut Board, cloudlets: &[(&str, State)]) {
    let registry = Registry::new();
    let file = |(name, _): &(&str, State)| FileCloudlet {
        info: CloudletInfo {
            locations: Some(vec![Location::new(40.443_88, -79.944_42).unwrap()]),
            name: Some(name.parse().unwrap()),
            ..CloudletInfo::at(endpoint(name))
        },
        token: None,
    };
    registry.replace_file(cloudlets.iter().map(file).collect());
    let read = cloudlets.iter().map(|(name, state)| {
        let reading = Reading {
            state: *state,
            at: Some(Timestamp::from_second(30).unwrap()),
            ratios: [Some(0.123_456), None, None],
            placed: 2,
        };
        (registry.at(&endpoint(name)).unwrap(), reading)
    });
    board.look(cloudlets.len(), read);
}

/// What one is told, ordered.
fn told(board: &Board, since: Option<u64>) -> Value {
    let mut update = board.since(since, now()).unwrap();
    update.known.sort_by_key(|row| row.0);
    update.read.sort_by_key(|row| row.0);
    serde_json::to_value(update).unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_second(60).unwrap()
}

fn uuid(name: &str) -> Uuid {
    endpoint(name).uuid()
}

fn endpoint(name: &str) -> Endpoint {
    format!("http://{name}.example/api/v1/deploy")
        .parse()
        .unwrap()
}
