//! What is told in the end.

use std::fmt;
use std::time::Duration;

use anyhow::ensure;

use super::usage::{Sample, Usage, Watched};

/// What a process may use in the end beyond what it used after the warm-up: a share of it, and so much.
const MEMORY: Bound = Bound {
    share: 0.2,
    amount: 4.0,
};
const DESCRIPTORS: Bound = Bound {
    share: 0.0,
    amount: 10.0,
};

/// How much something may grow.
#[derive(Debug, Clone, Copy)]
struct Bound {
    share: f64,
    amount: f64,
}

/// How much of something a process used. The values after the warm-up and in the end are the largest of the second and of the last quarter.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Course {
    start: f64,
    warm: f64,
    end: f64,
    largest: f64,
}

/// The courses of a process, and whether each stays within its bound.
#[derive(Debug)]
struct Row {
    name: String,
    unit: &'static str,
    course: Course,
    is_flat: bool,
}

/// All there is to tell, as Markdown.
#[derive(Debug)]
pub(super) struct Report {
    time: Duration,
    deployments: u64,
    failures: Vec<String>,
    rows: Vec<Row>,
}

impl Bound {
    fn holds(self, course: Course) -> bool {
        course.end <= course.warm * (1.0 + self.share) + self.amount
    }
}

impl Course {
    fn of(samples: &[Sample], time: Duration, value: impl Fn(&Sample) -> f64) -> Option<Self> {
        let largest_of = |from: f64, to: f64| {
            let within = samples.iter().filter(|sample| {
                let share = sample.time.as_secs_f64() / time.as_secs_f64();
                from <= share && share < to
            });
            within.map(&value).max_by(f64::total_cmp)
        };
        Some(Self {
            start: value(samples.first()?),
            warm: largest_of(0.25, 0.5)?,
            end: largest_of(0.75, f64::INFINITY)?,
            largest: largest_of(0.0, f64::INFINITY)?,
        })
    }
}

impl Report {
    pub(super) fn new(
        watched: &Watched,
        time: Duration,
        deployments: u64,
        mut failures: Vec<String>,
    ) -> Self {
        let rows: Vec<_> = watched
            .iter()
            .flat_map(|usage| rows_of(usage, time))
            .collect();
        let growing = rows.iter().filter(|row| !row.is_flat);
        failures.extend(growing.map(|row| format!("{}: more and more {}", row.name, row.unit)));
        Self {
            time,
            deployments,
            failures,
            rows,
        }
    }

    /// Fails if anything did.
    ///
    /// # Errors
    /// That is what it is for.
    pub(super) fn verdict(&self) -> anyhow::Result<()> {
        let count = self.failures.len();
        ensure!(count == 0, "{count} failures");
        Ok(())
    }
}

fn rows_of(usage: &Usage, time: Duration) -> Vec<Row> {
    let memory = Course::of(&usage.samples, time, |sample| sample.mebibytes);
    let descriptors = Course::of(&usage.samples, time, |sample| sample.descriptors);
    let courses = [(memory, MEMORY, "MiB"), (descriptors, DESCRIPTORS, "files")];
    let row = |(course, bound, unit): (Option<Course>, Bound, &'static str)| {
        let course = course?;
        Some(Row {
            name: usage.name.clone(),
            unit,
            course,
            is_flat: bound.holds(course),
        })
    };
    courses.into_iter().filter_map(row).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{} deployments in {} minutes, {} failures\n",
            self.deployments,
            self.time.as_secs() / 60,
            self.failures.len()
        )?;
        for failure in &self.failures {
            writeln!(formatter, "- {failure}")?;
        }
        writeln!(
            formatter,
            "| process | start | after warm-up | end | largest | flat |\n| --- | --- | --- | --- | --- | --- |"
        )?;
        self.rows.iter().try_for_each(|row| row.fmt(formatter))?;
        write!(
            formatter,
            "\nFlat is what ends at most {:.0} % + {} MiB and {} files above the warm-up.",
            100.0 * MEMORY.share,
            MEMORY.amount,
            DESCRIPTORS.amount
        )
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            unit,
            course,
            is_flat,
        } = self;
        let figure = |value: f64| match *unit {
            "MiB" => format!("{value:.1}"),
            _ => format!("{value:.0}"),
        };
        writeln!(
            formatter,
            "| {name} | {} {unit} | {} | {} | {} | {} |",
            figure(course.start),
            figure(course.warm),
            figure(course.end),
            figure(course.largest),
            if *is_flat { "yes" } else { "**no**" }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(80);

    fn course(values: &[f64]) -> Option<Course> {
        let sample = |(index, value): (usize, &f64)| Sample {
            time: Duration::from_secs(10 * index as u64),
            mebibytes: *value,
            descriptors: 0.0,
        };
        let samples: Vec<_> = values.iter().enumerate().map(sample).collect();
        Course::of(&samples, TIME, |sample| sample.mebibytes)
    }

    #[test]
    fn quarters_are_told_by_the_most_in_them() {
        let course = course(&[1.0, 9.0, 3.0, 2.0, 8.0, 2.0, 4.0, 5.0]);

        let expected = Course {
            start: 1.0,
            warm: 3.0,
            end: 5.0,
            largest: 9.0,
        };
        assert_eq!(course, Some(expected));
    }

    #[test]
    fn a_process_that_ended_early_has_no_course() {
        assert_eq!(course(&[1.0, 9.0, 3.0]), None);
        assert_eq!(course(&[]), None);
    }

    #[test]
    fn what_grows_beyond_its_bound_is_not_flat() {
        let growing = |end| Course {
            start: 10.0,
            warm: 20.0,
            end,
            largest: end,
        };

        assert!(MEMORY.holds(growing(28.0)));
        assert!(!MEMORY.holds(growing(28.1)));
        assert!(DESCRIPTORS.holds(growing(30.0)));
        assert!(!DESCRIPTORS.holds(growing(31.0)));
    }
}
