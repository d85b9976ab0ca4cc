//! The table of metrics for operators, and what a running service tells, in a form in which both can be compared.

use std::collections::BTreeSet;

/// The table's text.
const TABLE: &str = include_str!("../../../deploy/monitoring/README.md");

/// A metric, as far as it is told from outside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    /// Its name in queries; that of a histogram without `_bucket`.
    pub name: String,
    /// Its type, such as `counter`.
    pub kind: String,
    /// The names of its labels.
    pub labels: BTreeSet<String>,
}

impl Metric {
    /// The metrics in these sections of the table, by name.
    pub fn documented(sections: &[&str]) -> Vec<Self> {
        let texts = TABLE.split("\n## ").skip(1);
        let wanted = texts.filter(|text| {
            let heading = text.lines().next();
            heading.is_some_and(|heading| sections.contains(&heading))
        });
        let mut metrics: Vec<Self> = wanted.flat_map(str::lines).filter_map(Self::row).collect();
        metrics.sort();
        metrics
    }

    /// The metrics on a page in OpenMetrics text, by name.
    pub fn exposed(page: &str) -> Vec<Self> {
        let mut metrics: Vec<Self> = Vec::new();
        for line in page.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                metrics.extend(Self::family(family));
            } else if let Some(metric) = metrics.last_mut().filter(|_| !line.starts_with('#')) {
                metric.labels.extend(label_names(line));
            }
        }
        metrics.sort();
        metrics
    }

    /// A row of the table.
    fn row(line: &str) -> Option<Self> {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
        let kind = cells.next()?.to_owned();
        let labels = cells
            .next()?
            .split(',')
            .map(|label| label.trim().replace('`', ""));
        Some(Self {
            name: name.to_owned(),
            kind,
            labels: labels.filter(|label| !label.is_empty()).collect(),
        })
    }

    /// What OpenMetrics says of a family: its name and type.
    fn family(line: &str) -> Option<Self> {
        let (name, kind) = line.split_once(' ')?;
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        Some(Self {
            name: format!("{name}{suffix}"),
            kind: kind.to_owned(),
            labels: BTreeSet::new(),
        })
    }
}

/// The names of a sample's labels, but for the one that histograms have of themselves.
fn label_names(sample: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = sample.split_once('{').map_or("", |(_, labels)| labels);
    while let Some((name, value)) = rest.split_once("=\"") {
        names.push(name.trim_start_matches(',').to_owned());
        // None of our labels' values has a quote.
        rest = value.split_once('"').map_or("", |(_, rest)| rest);
    }
    names.retain(|name| name != "le");
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_and_a_page_tell_the_same() {
        let row = "| `a_requests_total` | counter | `route`, `status` | requests |";
        let page = "# HELP a_requests Requests.\n# TYPE a_requests counter\na_requests_total{route=\"/{uuid}\",status=\"200\"} 1\n# EOF\n";

        let documented = Metric::row(row).unwrap();

        assert_eq!(Metric::exposed(page), [documented]);
    }

    #[test]
    fn a_histogram_has_one_row() {
        let row = "| `a_seconds` | histogram | | time |";
        let page = "# TYPE a_seconds histogram\na_seconds_sum 0.0\na_seconds_count 0\na_seconds_bucket{le=\"+Inf\"} 0\n";

        let documented = Metric::row(row).unwrap();

        assert_eq!(Metric::exposed(page), [documented]);
    }
}
