//! The table that is printed in the end.

use std::fmt;

/// A figure beside its baseline.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) figure: String,
    pub(super) baseline: String,
    pub(super) ratio: f64,
}

/// Rows in the order in which they were measured, as Markdown.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Row>);

impl Row {
    /// Two numbers of the same unit.
    pub(super) fn of(what: &str, (figure, unit): (f64, &str), baseline: &str, other: f64) -> Self {
        Self {
            what: what.to_owned(),
            figure: format!("{figure:.1} {unit}"),
            baseline: format!("{baseline}: {other:.1} {unit}"),
            ratio: figure / other,
        }
    }
}

impl Table {
    pub(super) fn push(&mut self, row: Row) {
        self.0.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "| what | Tier 2 | baseline of the same run | ratio |\n| --- | --- | --- | --- |\n",
        )?;
        for row in &self.0 {
            let Row {
                what,
                figure,
                baseline,
                ratio,
            } = row;
            writeln!(formatter, "| {what} | {figure} | {baseline} | {ratio:.2} |")?;
        }
        Ok(())
    }
}
