//! Runs as drawings.

use std::fmt::Display;
use std::fs;
use std::path::Path;

use anyhow::{Context, anyhow};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::element::{DashedPathElement, IntoDynElement};
use plotters::prelude::*;
use plotters::series::DashedLineSeries;

use super::simulation::{Record, Sample};

/// Width and height of a drawing, in pixels.
const SIZE: (u32, u32) = (900, 520);
/// Colours that most people with colour-blindness can tell apart (M. Okabe and K. Ito, "Color Universal Design", 2008).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 0, 0),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];
/// Length of the dashes of a dashed line, and of the gaps between them, in pixels.
const DASH: (u32, u32) = (4, 3);
/// Least distance that is drawn, in kilometres: a logarithmic axis has no 0.
const LEAST_KM: f64 = 1.0;
/// Upper end of the axes in per cent, so that a line at 100 is not on the frame.
const TOP_PER_CENT: f64 = 103.0;
/// Points of a line that tells a distribution, besides the first.
const QUANTILES: usize = 200;

/// What a run is called, and what happened.
pub(crate) type Run<'a> = (&'a str, Record);

/// What a drawing shows besides its axes' scales.
struct Chart {
    title: &'static str,
    across: &'static str,
    up: &'static str,
    lines: Vec<Line>,
}

struct Line {
    name: String,
    colour: RGBColor,
    is_dashed: bool,
    points: Vec<(f64, f64)>,
}

/// Draws into a folder: which share of the placed is how near to its cloudlet (`distance.svg`), and how much of the fleet is in use over
/// time (`utilisation.svg`).
///
/// # Errors
/// A file cannot be written.
pub(crate) fn draw(folder: &Path, runs: &[Run<'_>]) -> anyhow::Result<()> {
    let drawings = [
        ("distance.svg", distance(runs)?),
        ("utilisation.svg", utilisation(runs)?),
    ];
    for (name, drawing) in drawings {
        let file = folder.join(name);
        fs::write(&file, drawing).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// A line for each run.
fn distance(runs: &[Run<'_>]) -> anyhow::Result<String> {
    let lines = colours().zip(runs).map(|(colour, (name, record))| Line {
        name: (*name).to_owned(),
        colour,
        is_dashed: false,
        points: distribution(&record.distances_km()),
    });
    let chart = Chart {
        title: "Distance to the cloudlet",
        across: "km, logarithmic",
        up: "placed requests within this distance, %",
        lines: lines.collect(),
    };
    let furthest = chart.furthest().max(10.0 * LEAST_KM);
    chart.svg((LEAST_KM..furthest).log_scale())
}

/// Two lines for each run: the mean, and dashed the highest.
fn utilisation(runs: &[Run<'_>]) -> anyhow::Result<String> {
    let lines = colours().zip(runs).flat_map(|(colour, (name, record))| {
        let line = |which: &str, is_dashed, value: fn(&Sample) -> f64| Line {
            name: format!("{name}, {which}"),
            colour,
            is_dashed,
            points: record
                .course
                .iter()
                .map(|sample| (sample.time_s / 60.0, 100.0 * value(sample)))
                .collect(),
        };
        [
            line("mean", false, |sample| sample.mean),
            line("highest", true, |sample| sample.highest),
        ]
    });
    let chart = Chart {
        title: "Utilisation of the cloudlets",
        across: "minutes from the start",
        up: "capacity in use, %",
        lines: lines.collect(),
    };
    let last = chart.furthest().max(f64::MIN_POSITIVE);
    chart.svg(0.0..last)
}

/// As many as are asked for, again from the start after the last.
fn colours() -> impl Iterator<Item = RGBColor> {
    COLOURS.into_iter().cycle()
}

/// How many per cent of the values, which are in order, are at most so large.
fn distribution(values: &[f64]) -> Vec<(f64, f64)> {
    let Some(last) = values.len().checked_sub(1) else {
        return Vec::new();
    };
    let point = |quantile: usize| {
        let value: f64 = values[last * quantile / QUANTILES].max(LEAST_KM);
        (value, 100.0 * quantile as f64 / QUANTILES as f64)
    };
    (0..=QUANTILES).map(point).collect()
}

impl Chart {
    /// The largest value across.
    fn furthest(&self) -> f64 {
        let points = self.lines.iter().flat_map(|line| &line.points);
        points.map(|point| point.0).fold(0.0, f64::max)
    }

    /// The drawing. Values upwards are per cent.
    fn svg<X>(&self, across: X) -> anyhow::Result<String>
    where
        X: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
    {
        let mut text = String::new();
        self.draw_on(SVGBackend::with_string(&mut text, SIZE), across)?;
        Ok(text)
    }

    fn draw_on<X>(&self, backend: SVGBackend<'_>, across: X) -> anyhow::Result<()>
    where
        X: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
    {
        let area = backend.into_drawing_area();
        area.fill(&WHITE).map_err(fault)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(16)
            .caption(self.title, ("sans-serif", 22))
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(across, 0.0..TOP_PER_CENT)
            .map_err(fault)?;
        chart
            .configure_mesh()
            .x_desc(self.across)
            .y_desc(self.up)
            .label_style(("sans-serif", 14))
            .x_label_formatter(&f64::to_string)
            .y_label_formatter(&f64::to_string)
            .light_line_style(TRANSPARENT)
            .draw()
            .map_err(fault)?;
        for line in &self.lines {
            line.draw_in(&mut chart)?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.4))
            .label_font(("sans-serif", 14))
            .draw()
            .map_err(fault)?;
        drop(chart);
        area.present().map_err(fault)
    }
}

type Context2d<'a, 'b, X> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, RangedCoordf64>>;

impl Line {
    fn draw_in<'b: 'a, 'a, X: Ranged<ValueType = f64>>(
        &self,
        chart: &mut Context2d<'a, 'b, X>,
    ) -> anyhow::Result<()> {
        let (style, is_dashed) = (self.colour.stroke_width(2), self.is_dashed);
        let (dash, gap) = DASH;
        let series = if is_dashed {
            chart.draw_series(DashedLineSeries::new(self.points.clone(), dash, gap, style))
        } else {
            chart.draw_series(LineSeries::new(self.points.clone(), style))
        };
        series
            .map_err(fault)?
            .label(&self.name)
            .legend(move |(x, y)| {
                let points = [(x, y), (x + 20, y)];
                if is_dashed {
                    DashedPathElement::new(points, dash, gap, style).into_dyn()
                } else {
                    PathElement::new(points, style).into_dyn()
                }
            });
        Ok(())
    }
}

/// The errors of the drawing crate hold what is not to leave its thread.
fn fault(error: impl Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::simulation::{Outcome, Placement};

    #[test]
    fn each_run_has_its_lines_and_its_name_as_it_is() {
        let (near, far) = (record(&[1.5, 3.0, 0.0]), record(&[700.0]));
        let runs = [("<none>", near), ("cheapest", far)];

        let (distance, utilisation) = (distance(&runs).unwrap(), utilisation(&runs).unwrap());

        assert_eq!(legend(&distance), ["&lt;none&gt;", "cheapest"]);
        assert_eq!(
            legend(&utilisation),
            [
                "&lt;none&gt;, mean",
                "&lt;none&gt;, highest",
                "cheapest, mean",
                "cheapest, highest"
            ]
        );
    }

    #[test]
    fn what_placed_nobody_at_once_is_drawn_too() {
        let runs = [("none", record(&[]))];

        assert_eq!(legend(&distance(&runs).unwrap()), ["none"]);
        assert_eq!(
            legend(&utilisation(&runs).unwrap()),
            ["none, mean", "none, highest"]
        );
    }

    #[test]
    fn a_distribution_tells_how_many_are_at_most_so_far() {
        let values: Vec<f64> = (1..=201).map(f64::from).collect();

        let points = distribution(&values);

        let expected: Vec<_> = (0..=200)
            .map(|place| (f64::from(place + 1), f64::from(place) / 2.0))
            .collect();
        assert_eq!(points, expected);
    }

    /// The texts of a drawing's legend, which alone begin where they are placed.
    fn legend(drawing: &str) -> Vec<&str> {
        let mut lines = drawing.lines();
        let mut texts = Vec::new();
        while let Some(line) = lines.next() {
            if line.starts_with("<text") && line.contains("text-anchor=\"start\"") {
                texts.extend(lines.next());
            }
        }
        texts
    }

    fn record(distances_km: &[f64]) -> Record {
        let outcome = |distance: &f64| Outcome {
            placement: Some(Placement {
                site: 0,
                distance_km: Some(*distance),
                is_overload: false,
            }),
            tries: 1,
        };
        let sample = Sample {
            time_s: 0.0,
            mean: 0.2,
            highest: 0.5,
        };
        Record {
            outcomes: distances_km.iter().map(outcome).collect(),
            utilisation: vec![0.2],
            course: vec![sample],
        }
    }
}
