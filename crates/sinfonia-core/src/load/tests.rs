use rstest::rstest;

use super::*;
use crate::cloudlet::Measurement;

mod simulation;

#[rstest]
#[case::below(0.9, false)]
#[case::above(0.901, true)]
fn a_cloudlet_is_overloaded_above_the_threshold(#[case] cpu: f64, #[case] expected: bool) {
    let load = Load::default().reported(
        &Thresholds::default(),
        &cpu_ratio(cpu),
        Placed::default(),
        None,
    );

    assert_eq!(load.is_overloaded(0, Some(0.0)), expected);
}

#[test]
fn it_is_no_longer_overloaded_below_nine_tenths_of_the_threshold() {
    let mut load = Load::default();
    let mut told = Vec::new();

    for cpu in [0.85, 0.95, 0.85, 0.81, 0.809, 0.85, 0.9] {
        load = load.reported(
            &Thresholds::default(),
            &cpu_ratio(cpu),
            Placed::default(),
            Some(15.0),
        );
        told.push(load.is_overloaded(0, Some(0.0)));
    }

    assert_eq!(told, [false, true, true, true, false, false, false]);
}

#[test]
fn each_measurement_has_a_threshold_of_its_own() {
    let both = |cpu, memory| resources(&[("cpu_ratio", cpu), ("mem_ratio", memory)]);
    let mut load = Load::default();
    let mut told = Vec::new();

    for (cpu, memory) in [
        (0.95, 0.85),
        (0.5, 0.85),
        (0.5, 0.91),
        (0.95, 0.5),
        (0.5, 0.5),
    ] {
        load = load.reported(
            &Thresholds::default(),
            &both(cpu, memory),
            Placed::default(),
            Some(15.0),
        );
        told.push(load.is_overloaded(0, Some(0.0)));
    }

    assert_eq!(told, [true, false, true, true, false]);
}

#[rstest]
#[case::nothing_measured(&[])]
#[case::measurements_without_threshold(&[("net_rx_rate", 1e12)])]
fn what_is_not_measured_is_neutral(#[case] measured: &[(&str, f64)]) {
    let load = Load::default().reported(
        &Thresholds::default(),
        &resources(measured),
        placed(7, 7),
        Some(15.0),
    );

    assert!(!load.is_overloaded(1_000_000, Some(0.0)));
    assert!(!Load::default().is_overloaded(1_000_000, Some(0.0)));
}

#[rstest]
#[case::less_than_nothing(-1e12, false)]
#[case::more_than_all(f64::MAX, true)]
fn a_nonsensical_measurement_counts_for_little_and_spoils_nothing(
    #[case] nonsense: f64,
    #[case] expected: bool,
) {
    let measured = |load: &Load, cpu, alive| {
        let (thresholds, silence_s) = (Thresholds::default(), Some(15.0));
        load.reported(&thresholds, &cpu_ratio(cpu), placed(0, alive), silence_s)
    };

    let lying = measured(&Load::default(), nonsense, 1);
    let honest = (0..1000).fold(lying.clone(), |load, round| {
        let alive = round % 5;
        measured(&load, 0.09 * f64::from(alive), alive)
    });
    let idle = measured(&honest, 0.0, 0);

    assert_eq!(lying.is_overloaded(0, Some(0.0)), expected);
    // A tenth of the threshold each, as all but the first say.
    let room = (0..100).find(|placed| idle.is_overloaded(*placed, Some(0.0)));
    assert_eq!(room, Some(11));
}

#[test]
fn what_is_too_old_is_neutral_and_forgotten() {
    let busy = Load::default().reported(
        &Thresholds::default(),
        &cpu_ratio(0.95),
        Placed::default(),
        None,
    );

    let heard_again = busy.reported(
        &Thresholds::default(),
        &cpu_ratio(0.85),
        Placed::default(),
        Some(45.1),
    );

    assert!(busy.is_overloaded(0, Some(45.0)));
    assert!(!busy.is_overloaded(0, Some(45.1)));
    assert!(!heard_again.is_overloaded(0, Some(0.0)));
}

#[test]
fn who_does_not_report_is_as_busy_as_the_file_says_whatever_is_placed_there() {
    let stated = |cpu| {
        Load::default().reported(
            &Thresholds::default(),
            &cpu_ratio(cpu),
            Placed::default(),
            None,
        )
    };

    assert!(stated(0.95).is_overloaded(0, None));
    assert!(!stated(0.1).is_overloaded(1_000_000, None));
}

#[test]
fn placements_since_a_report_fill_a_cloudlet() {
    let load = Load::default().reported(
        &Thresholds::default(),
        &cpu_ratio(0.45),
        Placed::default(),
        None,
    );

    let first_too_many = (0..100).find(|placed| load.is_overloaded(*placed, Some(14.0)));

    // Nothing was learned: each is taken for 0.045.
    assert_eq!(first_too_many, Some(11));
}

#[test]
fn placements_that_reports_do_not_show_yet_count_on_and_then_no_more() {
    let mut load = Load::default().reported(
        &Thresholds::default(),
        &cpu_ratio(0.0),
        Placed::default(),
        None,
    );
    load = load.reported(
        &Thresholds::default(),
        &cpu_ratio(0.0),
        placed(15, 0),
        Some(15.0),
    );
    let mut rooms = Vec::new();

    for _ in 0..5 {
        rooms.push((0..1000).find(|placed| load.is_overloaded(*placed, Some(0.0))));
        load = load.reported(
            &Thresholds::default(),
            &cpu_ratio(0.0),
            Placed::default(),
            Some(15.0),
        );
    }

    assert!(rooms.is_sorted(), "{rooms:?}");
    assert!(rooms[0] < rooms[4], "{rooms:?}");
}

#[rstest]
#[case::heavy(0.18, 5)]
#[case::light(0.009, 90)]
fn what_placements_cost_is_learned(#[case] each: f64, #[case] about: u32) {
    let mut load = Load::default();
    // Deployments come, all show in reports after a minute, and go, beside a load of 0.09 that is always there.
    for alive in [2, 4, 6, 4, 2, 0].repeat(3) {
        for _ in 0..4 {
            let measured = cpu_ratio(0.09 + each * f64::from(alive));
            load = load.reported(
                &Thresholds::default(),
                &measured,
                placed(0, alive),
                Some(15.0),
            );
        }
    }
    load = load.reported(
        &Thresholds::default(),
        &cpu_ratio(0.0),
        placed(0, 0),
        Some(15.0),
    );

    let room = (0..1000)
        .find(|placed| load.is_overloaded(*placed, Some(0.0)))
        .unwrap();

    assert!(
        room.abs_diff(about) * 5 <= about,
        "{room} instead of about {about}"
    );
}

#[rstest]
#[case("cpu_ratio=0.9", Ok(("cpu_ratio", 0.9)))]
#[case(" queue = 1e3 ", Ok(("queue", 1000.0)))]
#[case(
    "cpu_ratio",
    Err(
        "`cpu_ratio` is not a threshold: expected a measurement and a number above 0, such as cpu_ratio=0.9"
    )
)]
#[case(
    "=0.9",
    Err(
        "`=0.9` is not a threshold: expected a measurement and a number above 0, such as cpu_ratio=0.9"
    )
)]
#[case(
    "cpu_ratio=0",
    Err(
        "`cpu_ratio=0` is not a threshold: expected a measurement and a number above 0, such as cpu_ratio=0.9"
    )
)]
#[case(
    "cpu_ratio=inf",
    Err(
        "`cpu_ratio=inf` is not a threshold: expected a measurement and a number above 0, such as cpu_ratio=0.9"
    )
)]
#[case(
    "cpu ratio=1",
    Err(
        "`cpu ratio=1` is not a threshold: expected a measurement and a number above 0, such as cpu_ratio=0.9"
    )
)]
fn a_threshold_is_a_name_and_a_number(
    #[case] text: &str,
    #[case] expected: Result<(&str, f64), &str>,
) {
    let parsed = text.parse::<Threshold>();

    let told = parsed
        .map(|threshold| (threshold.resource, threshold.limit))
        .map_err(|error| error.to_string());
    assert_eq!(
        told,
        expected
            .map(|(name, limit)| (name.to_owned(), limit))
            .map_err(str::to_owned)
    );
}

#[test]
fn a_measurement_has_one_threshold() {
    let twice =
        ["cpu_ratio=0.9", "mem_ratio=0.9", "cpu_ratio=0.8"].map(|text| text.parse().unwrap());

    assert_eq!(
        Thresholds::new(twice.into()),
        Err(ThresholdError::Repeated("cpu_ratio".to_owned()))
    );
}

fn cpu_ratio(value: f64) -> Measurements {
    resources(&[("cpu_ratio", value)])
}

fn resources(measured: &[(&str, f64)]) -> Measurements {
    let measured = measured.iter();
    measured
        .map(|(name, value)| ((*name).to_owned(), Measurement::try_from(*value).unwrap()))
        .collect()
}

#[rstest]
#[case::none(0, Ok(()))]
#[case::most(32, Ok(()))]
#[case::more(33, Err(ThresholdError::TooMany(33)))]
fn thresholds_are_at_most_32(#[case] number: usize, #[case] expected: Result<(), ThresholdError>) {
    let thresholds = (0..number).map(|index| format!("m{index}=1").parse().unwrap());

    assert_eq!(Thresholds::new(thresholds.collect()).map(|_| ()), expected);
}

const fn placed(since_report: u32, alive: u32) -> Placed {
    Placed {
        since_report,
        alive,
    }
}
