//! Answers as tables for people.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use jiff::Timestamp;
use sinfonia_core::cloudlet::CandidateInfo;
use sinfonia_core::deployment::CloudletDeployment;
use sinfonia_core::recipe::Recipe;
use sinfonia_core::yaml;

use crate::printable::Printable;
use crate::probe;

/// What stands where nothing is known.
const UNKNOWN: &str = "-";

/// Blanks between columns.
const GAP: u16 = 2;

/// Seconds in a minute, an hour and a day.
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Deployments, one a line.
pub(crate) fn deployments(
    deployments: &[CloudletDeployment],
    now: Timestamp,
    width: Option<u16>,
) -> String {
    let mut header = vec![
        "DEPLOYMENT",
        "CLOUDLET",
        "STATUS",
        "READY",
        "ADDRESS",
        "ENDPOINT",
        "EXPIRES",
    ];
    let row = |deployment: &CloudletDeployment| {
        let addresses = &deployment.tunnel_config.address;
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let cloudlet = deployment.cloudlet.as_ref();
        vec![
            or_unknown(deployment.deployment_name.as_ref().map(ToString::to_string)),
            or_unknown(cloudlet.map(|cloudlet| Printable::new(&cloudlet.name).to_string())),
            deployment.status.to_string(),
            if deployment.is_ready() { "yes" } else { "no" }.to_owned(),
            addresses.join(" "),
            deployment.tunnel_config.endpoint.to_string(),
            or_unknown(deployment.expires.map(|expires| from_now(expires, now))),
        ]
    };
    let mut rows: Vec<_> = deployments.iter().map(row).collect();
    let round_trips = deployments.iter().map(probe::of_deployment);
    add_round_trips(&mut header, &mut rows, 2, round_trips);
    render(&header, &rows, width)
}

/// Candidates, one a line, best first.
pub(crate) fn candidates(candidates: &[CandidateInfo], width: Option<u16>) -> String {
    let row = |(place, candidate): (usize, &CandidateInfo)| {
        let cloudlet = &candidate.cloudlet;
        let name = cloudlet
            .name
            .as_ref()
            .map(|name| Printable::new(name.as_str()).to_string());
        vec![
            candidate.rank.unwrap_or(place).to_string(),
            name.unwrap_or_else(|| cloudlet.endpoint.host_str().to_owned()),
            or_unknown(
                candidate
                    .distance_km
                    .map(|distance| format!("{distance:.1} km")),
            ),
            or_unknown(
                candidate
                    .matcher
                    .as_deref()
                    .map(|matcher| Printable::new(matcher).to_string()),
            ),
        ]
    };
    let mut header = vec!["RANK", "CLOUDLET", "DISTANCE", "REASON"];
    let mut rows: Vec<_> = (1..).zip(candidates).map(row).collect();
    let round_trips = candidates.iter().map(|candidate| candidate.rtt_ms);
    add_round_trips(&mut header, &mut rows, 3, round_trips);
    render(&header, &rows, width)
}

/// A recipe, a line for each of its parts.
pub(crate) fn recipe(recipe: &Recipe, width: Option<u16>) -> String {
    let values = recipe
        .values
        .as_ref()
        .and_then(|values| yaml::to_text(values).ok());
    let values = values.map(|values| lines(&values));
    let description = recipe
        .description
        .as_deref()
        .map(|text| Printable::new(text).to_string());
    let rows = [
        ["CHART".to_owned(), recipe.chart.to_string()],
        ["VERSION".to_owned(), recipe.version.to_string()],
        ["DESCRIPTION".to_owned(), or_unknown(description)],
        ["VALUES".to_owned(), or_unknown(values)],
    ];
    let mut table = table(width);
    table.add_rows(rows);
    finish(&mut table)
}

/// Puts a column with round trips at this place, if there is any.
fn add_round_trips(
    header: &mut Vec<&str>,
    rows: &mut [Vec<String>],
    place: usize,
    round_trips: impl Iterator<Item = Option<f64>> + Clone,
) {
    if round_trips.clone().flatten().next().is_none() {
        return;
    }
    header.insert(place, "RTT");
    for (row, rtt_ms) in rows.iter_mut().zip(round_trips) {
        row.insert(place, or_unknown(rtt_ms.map(probe::shown)));
    }
}

/// Rows below a header; where the terminal is too narrow for that, a block for each row.
pub(super) fn render(header: &[&str], rows: &[Vec<String>], width: Option<u16>) -> String {
    let mut table = table(None);
    table.set_header(header).add_rows(rows);
    let columns = table.column_max_content_widths();
    let needed: u32 = columns
        .iter()
        .map(|column| u32::from(*column) + u32::from(GAP))
        .sum();
    match width {
        Some(width) if needed > u32::from(width) + u32::from(GAP) => {
            let blocks: Vec<String> = rows.iter().map(|row| block(header, row, width)).collect();
            blocks.join("\n")
        }
        _ => finish(&mut table),
    }
}

fn block(header: &[&str], row: &[String], width: u16) -> String {
    let mut table = table(Some(width));
    for (name, value) in header.iter().zip(row) {
        table.add_row([name, value.as_str()]);
    }
    finish(&mut table)
}

fn table(width: Option<u16>) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    if let Some(width) = width {
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
    }
    table
}

fn finish(table: &mut Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    format!("{}\n", table.trim_fmt())
}

pub(super) fn or_unknown(text: Option<String>) -> String {
    text.unwrap_or_else(|| UNKNOWN.to_owned())
}

/// Several lines, each fit for a terminal, their indentation kept.
fn lines(text: &str) -> String {
    let line = |line: &str| {
        let indentation = line.len() - line.trim_start_matches(' ').len();
        format!("{}{}", " ".repeat(indentation), Printable::new(line))
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A time as people want it: how long it is until then, or the day when that is far.
fn from_now(time: Timestamp, now: Timestamp) -> String {
    let seconds = time.as_second() - now.as_second();
    match seconds {
        ..=0 => "passed".to_owned(),
        1..MINUTE => format!("in {seconds} s"),
        MINUTE..HOUR => format!("in {} min {} s", seconds / MINUTE, seconds % MINUTE),
        HOUR..DAY => format!("in {} h {} min", seconds / HOUR, seconds % HOUR / MINUTE),
        DAY.. => time.strftime("%Y-%m-%d").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_is_a_line() {
        let told = deployments(&[deployment()], at("2026-11-22T15:09:00Z"), None);

        insta::assert_snapshot!(told, @r"
        DEPLOYMENT         CLOUDLET          STATUS    READY  ADDRESS    ENDPOINT           EXPIRES
        brave-otter-x7k2p  Orchestrator@CMU  Deployed  yes    10.5.17.4  203.0.113.7:51820  in 5 min 0 s
        ");
    }

    #[test]
    fn a_narrow_terminal_gets_a_block_for_each_row() {
        let told = deployments(
            &[deployment(), deployment()],
            at("2026-11-22T15:09:00Z"),
            Some(80),
        );

        insta::assert_snapshot!(told, @r"
        DEPLOYMENT  brave-otter-x7k2p
        CLOUDLET    Orchestrator@CMU
        STATUS      Deployed
        READY       yes
        ADDRESS     10.5.17.4
        ENDPOINT    203.0.113.7:51820
        EXPIRES     in 5 min 0 s

        DEPLOYMENT  brave-otter-x7k2p
        CLOUDLET    Orchestrator@CMU
        STATUS      Deployed
        READY       yes
        ADDRESS     10.5.17.4
        ENDPOINT    203.0.113.7:51820
        EXPIRES     in 5 min 0 s
        ");
    }

    #[test]
    fn candidates_say_their_place_and_reason() {
        let told = candidates(
            &serde_json::from_value::<Vec<CandidateInfo>>(json!([
                {"endpoint": "http://near:5000/api/v1/deploy", "name": "Near \u{202e}by", "Rank": 1, "Matcher": "network", "DistanceKm": 3.25},
                {"endpoint": "http://far:5000/api/v1/deploy", "name": "Far", "Rank": 2, "Matcher": "location", "DistanceKm": 6100.0},
            ]))
            .unwrap(),
            None,
        );

        insta::assert_snapshot!(told, @r"
        RANK  CLOUDLET  DISTANCE   REASON
        1     Near �by  3.2 km     network
        2     Far       6100.0 km  location
        ");
    }

    #[test]
    fn candidates_of_an_older_server_are_counted_and_named_by_host() {
        let told = candidates(
            &serde_json::from_value::<Vec<CandidateInfo>>(json!([
                {"endpoint": "http://near:5000/api/v1/deploy"},
                {"endpoint": "http://far:5000/api/v1/deploy"},
            ]))
            .unwrap(),
            None,
        );

        insta::assert_snapshot!(told, @r"
        RANK  CLOUDLET  DISTANCE  REASON
        1     near      -         -
        2     far       -         -
        ");
    }

    #[test]
    fn a_recipe_shows_its_values_as_yaml() {
        let told: Recipe = serde_json::from_value(json!({
            "chart": "charts/example", "version": "0.1.0", "description": "An example",
            "values": {"image": {"tag": "1.2"}, "text": "\u{1b}[31m"},
        }))
        .unwrap();

        insta::assert_snapshot!(recipe(&told, None), @r#"
        CHART        charts/example
        VERSION      0.1.0
        DESCRIPTION  An example
        VALUES       image:
                       tag: '1.2'
                     text: "\e[31m"
        "#);
    }

    #[rstest]
    #[case("2026-11-22T15:08:59Z", "passed")]
    #[case("2026-11-22T15:09:42Z", "in 42 s")]
    #[case("2026-11-22T15:13:58Z", "in 4 min 58 s")]
    #[case("2026-11-22T17:14:00Z", "in 2 h 5 min")]
    #[case("2026-11-24T17:14:00Z", "2026-11-24")]
    fn times_are_told_from_now(#[case] time: &str, #[case] expected: &str) {
        assert_eq!(from_now(at(time), at("2026-11-22T15:09:00Z")), expected);
    }

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    fn deployment() -> CloudletDeployment {
        serde_json::from_value(json!({
            "DeploymentName": "brave-otter-x7k2p",
            "UUID": "00000000-0000-0000-0000-000000000000",
            "ApplicationKey": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
            "Status": "Deployed",
            "Ready": true,
            "Expires": "2026-11-22T15:14:00+00:00",
            "TunnelConfig": {
                "publicKey": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
                "allowedIPs": ["0.0.0.0/0"],
                "endpoint": "203.0.113.7:51820",
                "address": ["10.5.17.4"],
                "dns": ["10.43.0.10"],
            },
            "Cloudlet": {
                "uuid": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
                "name": "Orchestrator@CMU",
                "endpoint": "http://cloudlet:5000/api/v1/deploy",
            },
        }))
        .unwrap()
    }
}
