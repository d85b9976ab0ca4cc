//! `Chart.yaml`: what is read of it, and changed in it in place, so that everything else stays as it is written.

use std::ops::Range;

use anyhow::Context;

/// A chart, by what its `Chart.yaml` says. Nothing of that is checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chart {
    /// Name of its folder under `charts`.
    pub(crate) name: String,
    /// Its own version.
    pub(crate) version: String,
    /// The version of the application that it installs.
    pub(crate) app_version: String,
}

impl Chart {
    /// The field of a chart's own version, and that of its application's.
    pub(crate) const VERSION: &str = "version";
    pub(crate) const APP_VERSION: &str = "appVersion";

    /// Reads a chart's `Chart.yaml`. A field that is not there counts as empty.
    pub(crate) fn read(name: &str, text: &str) -> Self {
        let field = |key| field(text, key).unwrap_or_default().to_owned();
        Self {
            name: name.to_owned(),
            version: field(Self::VERSION),
            app_version: field(Self::APP_VERSION),
        }
    }

    /// The folder of a chart of this name, from the workspace's.
    pub(crate) fn folder(name: &str) -> String {
        format!("charts/{name}")
    }

    /// The `Chart.yaml` of a chart of this name, from the workspace's folder.
    pub(crate) fn file(name: &str) -> String {
        format!("{}/Chart.yaml", Self::folder(name))
    }
}

/// The value of a top-level field, without quotes.
pub(crate) fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.get(value(text, key)?)
}

/// The text with another value of a top-level field.
///
/// # Errors
/// The field is not there, or empty.
pub(crate) fn with_field(text: &str, key: &str, new: &str) -> anyhow::Result<String> {
    let value = value(text, key).with_context(|| format!("there is no field `{key}`"))?;
    let mut changed = text.to_owned();
    changed.replace_range(value, new);
    Ok(changed)
}

/// Where the value of a top-level field stands.
fn value(text: &str, key: &str) -> Option<Range<usize>> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let rest = line
            .strip_prefix(key)
            .and_then(|rest| rest.strip_prefix(':'));
        if let Some(rest) = rest {
            let bare = rest.split(" #").next().unwrap_or(rest).trim();
            let value = bare.trim_matches(['"', '\'']);
            if value.is_empty() {
                return None;
            }
            let start = start + line.len() - rest.len() + rest.find(value)?;
            return Some(start..start + value.len());
        }
        start += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
apiVersion: v2
name: sinfonia
# Ours.
version: 0.1.1   # of the chart
appVersion: \"0.1.0\" # of the application
kubeVersion: '>=1.30.0-0'
dependencies:
  - name: other
    version: 9.9.9
";

    #[test]
    fn a_chart_is_read_by_its_top_level_fields() {
        let expected = Chart {
            name: "sinfonia".to_owned(),
            version: "0.1.1".to_owned(),
            app_version: "0.1.0".to_owned(),
        };

        assert_eq!(Chart::read("sinfonia", TEXT), expected);
    }

    #[test]
    fn what_is_not_there_is_empty() {
        let chart = Chart::read("sinfonia", "name: sinfonia\nversion:\n");

        assert_eq!((&*chart.version, &*chart.app_version), ("", ""));
    }

    #[test]
    fn a_field_changes_and_nothing_else() {
        let changed = with_field(TEXT, Chart::VERSION, "0.2.0").unwrap();
        let changed = with_field(&changed, Chart::APP_VERSION, "0.2.0").unwrap();

        let expected = TEXT
            .replace("0.1.1   # of the chart", "0.2.0   # of the chart")
            .replace("\"0.1.0\" #", "\"0.2.0\" #");
        assert_eq!(changed, expected);
    }

    #[test]
    fn a_field_that_is_not_there_cannot_be_changed() {
        let error = with_field("name: sinfonia\n", Chart::VERSION, "0.2.0").unwrap_err();

        assert_eq!(error.to_string(), "there is no field `version`");
    }
}
