use proptest::prelude::*;
use rstest::rstest;

use super::*;

const HEADER: &str = "time,client,latitude,longitude,uuid,duration\n";

#[test]
fn a_line_is_a_request() {
    let text =
        format!("{HEADER}1.5,192.0.2.7,40.44,-79.94,737b5001-d27a-413f-9806-abf9bfce6746,60\n");

    let requests = parse(&text, Format::Csv).unwrap();

    let recipe = "737b5001-d27a-413f-9806-abf9bfce6746".parse().unwrap();
    let place = Location::new(40.44, -79.94).unwrap();
    let expected = Request {
        time_s: 1.5,
        duration_s: 60.0,
        client: ClientInfo::new("192.0.2.7".parse().unwrap(), Some(place)),
        recipe,
        key: key(recipe, "192.0.2.7"),
    };
    assert_eq!(requests, [expected]);
}

#[test]
fn both_formats_say_the_same() {
    let csv = "time,client,latitude,longitude,duration\n1.5,192.0.2.7,,,60\n2,,40.44,-79.94,9\n";
    let json = r#"{"time": 1.5, "client": "192.0.2.7", "latitude": null, "duration": 60}

{"time": 2, "latitude": 40.44, "longitude": -79.94, "duration": "9"}
"#;

    assert_eq!(
        parse(csv, Format::Csv).unwrap(),
        parse(json, Format::JsonLines).unwrap()
    );
}

#[test]
fn requests_come_by_time_and_those_of_one_moment_by_line() {
    let text = "time,client,duration\n7,192.0.2.1,1\n3,192.0.2.2,1\n3,192.0.2.3,1\n";

    let requests = parse(text, Format::Csv).unwrap();

    let clients: Vec<String> = requests
        .iter()
        .map(|request| request.client.address().to_string())
        .collect();
    assert_eq!(clients, ["192.0.2.2", "192.0.2.3", "192.0.2.1"]);
}

#[test]
fn a_device_keeps_its_key_and_has_another_for_each_recipe() {
    let text = format!(
        "{HEADER}\
         0,192.0.2.7,1,2,,60\n\
         1,192.0.2.7,3,4,,60\n\
         2,192.0.2.7,1,2,737b5001-d27a-413f-9806-abf9bfce6746,60\n\
         3,,1,2,,60\n\
         4,,1,2,,60\n\
         5,,1,3,,60\n"
    );

    let requests = parse(&text, Format::Csv).unwrap();

    let same = |a: usize, b: usize| requests[a].key == requests[b].key;
    let told = [same(0, 1), same(0, 2), same(0, 3), same(3, 4), same(4, 5)];
    assert_eq!(told, [true, false, false, true, false]);
}

#[rstest]
#[case("trace.csv", Some(Format::Csv))]
#[case("a/trace.jsonl", Some(Format::JsonLines))]
#[case("trace.ndjson", Some(Format::JsonLines))]
#[case("trace.txt", None)]
#[case("csv", None)]
fn the_ending_tells_the_format(#[case] file: &str, #[case] expected: Option<Format>) {
    assert_eq!(Format::of(Path::new(file)).ok(), expected);
}

#[rstest]
#[case::empty("", "it holds no requests")]
#[case::no_requests("time,duration\n", "it holds no requests")]
#[case::unknown_field(
    "time,lat\n1,2\n",
    "line 1: unknown field `lat`: expected time, client, latitude, longitude, uuid, duration"
)]
#[case::twice("time,time\n1,2\n", "line 1: the field `time` is there twice")]
#[case::too_few(
    "time,duration\n1,1\n2\n",
    "CSV error: record 2 (line: 3, byte: 18): found record with 1 fields, but the previous record has 2 fields"
)]
#[case::no_time(
    "client,duration\n192.0.2.7,1\n",
    "line 2: time: missing: expected seconds from the start"
)]
#[case::time_is_a_word(
    "time,client,duration\nnoon,192.0.2.7,1\n",
    "line 2: time: `noon` is not a number of seconds from the start, 0 to 100000000"
)]
#[case::time_is_negative(
    "time,client,duration\n0,192.0.2.7,1\n-1,192.0.2.7,1\n",
    "line 3: time: `-1` is not a number of seconds from the start, 0 to 100000000"
)]
#[case::time_is_not_finite(
    "time,client,duration\nNaN,192.0.2.7,1\n",
    "line 2: time: `NaN` is not a number of seconds from the start, 0 to 100000000"
)]
#[case::time_since_1970(
    "time,client,duration\n1795671000,192.0.2.7,1\n",
    "line 2: time: `1795671000` is not a number of seconds from the start, 0 to 100000000"
)]
#[case::duration_is_a_word(
    "time,client,duration\n0,192.0.2.7,long\n",
    "line 2: duration: `long` is not a number of seconds, 0 to 100000000"
)]
#[case::no_duration(
    "time,client,duration\n0,192.0.2.7,\n",
    "line 2: duration: missing: expected seconds"
)]
#[case::duration_is_0(
    "time,client,duration\n0,192.0.2.7,0\n",
    "line 2: duration: `0` is too short: expected seconds above 0"
)]
#[case::client_is_a_name(
    "time,client,duration\n0,phone\u{1b},1\n",
    "line 2: client: `phone\\u{1b}` is not an address, such as 192.0.2.7 or 2001:db8::7"
)]
#[case::nowhere(
    "time,client,duration\n0,,1\n",
    "line 2: client: missing: expected an address, or latitude and longitude"
)]
#[case::half_a_place(
    "time,latitude,duration\n0,1,1\n",
    "line 2: longitude: missing: latitude and longitude come together"
)]
#[case::beyond_the_pole(
    "time,latitude,longitude,duration\n0,91,0,1\n",
    "line 2: latitude 91 is outside -90 to 90 degrees"
)]
#[case::degrees_are_a_word(
    "time,latitude,longitude,duration\n0,1,east,1\n",
    "line 2: longitude: `east` is not a number of degrees"
)]
#[case::uuid(
    "time,client,uuid,duration\n0,192.0.2.7,helloworld,1\n",
    "line 2: uuid: `helloworld` is not the UUID of a recipe"
)]
fn a_bad_line_of_csv_is_told_with_its_field(#[case] text: &str, #[case] expected: &str) {
    let error = parse(text, Format::Csv).unwrap_err();

    assert_eq!(format!("{error:#}"), expected);
}

#[rstest]
#[case::no_json(
    "{\"time\": 1\n",
    "line 1: column 10: it is no object of JSON, such as {\"time\": 0, …}"
)]
#[case::no_object(
    "\n[1, 2]\n",
    "line 2: column 1: it is no object of JSON, such as {\"time\": 0, …}"
)]
#[case::a_list("{\"time\": [1]}\n", "line 1: time: expected a number or a text")]
#[case::unknown_field(
    "{\"lat\": 1}\n",
    "line 1: unknown field `lat`: expected time, client, latitude, longitude, uuid, duration"
)]
#[case::nothing(
    "{}\n",
    "line 1: client: missing: expected an address, or latitude and longitude"
)]
fn a_bad_line_of_json_is_told_with_its_field(#[case] text: &str, #[case] expected: &str) {
    let error = parse(text, Format::JsonLines).unwrap_err();

    assert_eq!(format!("{error:#}"), expected);
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_fail_badly(text in "(time|client|duration|\"|,|\\{|\\}|:|\n|[0-9.-]{1,4}|NaN){0,24}") {
        let _ = parse(&text, Format::Csv);
        let _ = parse(&text, Format::JsonLines);
    }
}
