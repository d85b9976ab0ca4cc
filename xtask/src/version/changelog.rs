//! `CHANGELOG.md`: a section of what is not released yet, then one of each release, newest first.

use anyhow::{Context, ensure};
use jiff::civil::Date;
use semver::Version;

/// Begins each section's heading.
const SECTION: &str = "## ";
/// The section of what is not released yet.
const UNRELEASED: &str = "## Unreleased";

/// The version that was released last, if any was.
///
/// # Errors
/// The heading of that release does not begin with its version.
pub(crate) fn last_release(text: &str) -> anyhow::Result<Option<Version>> {
    let mut headings = text.lines().filter(|line| line.starts_with(SECTION));
    let Some(heading) = headings.find(|line| line.trim_end() != UNRELEASED) else {
        return Ok(None);
    };
    let version = heading.split_whitespace().nth(1).unwrap_or_default();
    let parsed = Version::parse(version).with_context(|| {
        format!(
            "CHANGELOG.md: `{heading}` does not begin with a version, as in `## 0.1.0 - 2026-11-26`"
        )
    })?;
    Ok(Some(parsed))
}

/// What the section of what is not released yet says, if there is such a section.
pub(crate) fn unreleased(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(&format!("{UNRELEASED}\n"))?;
    let end = rest.find("\n## ").map_or(rest.len(), |end| end + 1);
    Some(rest[..end].trim())
}

/// The text in which all that was not released is released as this version.
///
/// # Errors
/// There is nothing to release.
pub(crate) fn released(text: &str, version: &Version, date: Date) -> anyhow::Result<String> {
    let changes = unreleased(text).unwrap_or_default();
    ensure!(
        !changes.is_empty(),
        "CHANGELOG.md has nothing under `{UNRELEASED}`: say there what the release changes"
    );
    Ok(text.replacen(UNRELEASED, &format!("{SECTION}{version} - {date}"), 1))
}

/// The text with a section for what comes next.
pub(crate) fn reopened(text: &str) -> String {
    if unreleased(text).is_some() {
        return text.to_owned();
    }
    let (head, releases) = text.split_at(text.find(SECTION).unwrap_or(text.len()));
    format!("{head}{UNRELEASED}\n\n{releases}")
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use rstest::rstest;

    use super::*;

    const BEFORE: &str = "# Changelog\n\nNewest first.\n\n## Unreleased\n\n### Added\n- A wheel.\n";
    const AFTER: &str =
        "# Changelog\n\nNewest first.\n\n## 0.1.0 - 2026-11-26\n\n### Added\n- A wheel.\n";

    #[rstest]
    #[case::none(BEFORE, None)]
    #[case::one(AFTER, Some(Version::new(0, 1, 0)))]
    #[case::newest(
        "## Unreleased\n\n## 0.2.0 - 2026-12-24\n\n## 0.1.0 - 2026-11-26\n",
        Some(Version::new(0, 2, 0))
    )]
    #[case::empty("", None)]
    fn the_last_release_is_the_first_section_that_has_a_version(
        #[case] text: &str,
        #[case] expected: Option<Version>,
    ) {
        assert_eq!(last_release(text).unwrap(), expected);
    }

    #[test]
    fn a_section_without_a_version_is_refused() {
        let error = last_release("## The wheel\n").unwrap_err();

        assert_eq!(
            error.to_string(),
            "CHANGELOG.md: `## The wheel` does not begin with a version, as in `## 0.1.0 - 2026-11-26`"
        );
    }

    #[rstest]
    #[case::last(BEFORE, Some("### Added\n- A wheel."))]
    #[case::before_a_release(
        "## Unreleased\n\n- A tyre.\n\n## 0.1.0 - 2026-11-26\n\n- A wheel.\n",
        Some("- A tyre.")
    )]
    #[case::empty("## Unreleased\n\n## 0.1.0 - 2026-11-26\n", Some(""))]
    #[case::none(AFTER, None)]
    fn what_is_not_released_ends_before_the_releases(
        #[case] text: &str,
        #[case] expected: Option<&str>,
    ) {
        assert_eq!(unreleased(text), expected);
    }

    #[test]
    fn a_release_takes_over_what_is_not_released() {
        let text = released(BEFORE, &Version::new(0, 1, 0), date(2026, 11, 26)).unwrap();

        assert_eq!(text, AFTER);
    }

    #[rstest]
    #[case::empty("## Unreleased\n\n## 0.1.0 - 2026-11-26\n")]
    #[case::none(AFTER)]
    fn nothing_is_not_released(#[case] text: &str) {
        let error = released(text, &Version::new(0, 2, 0), date(2026, 11, 26)).unwrap_err();

        assert_eq!(
            error.to_string(),
            "CHANGELOG.md has nothing under `## Unreleased`: say there what the release changes"
        );
    }

    #[test]
    fn a_new_section_comes_before_the_releases_once() {
        let expected = AFTER.replace("## 0.1.0", "## Unreleased\n\n## 0.1.0");

        assert_eq!(reopened(AFTER), expected);
        assert_eq!(reopened(&expected), expected);
    }
}
