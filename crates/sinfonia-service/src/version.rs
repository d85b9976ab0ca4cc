//! What a program was built from.

use std::fmt::{self, Display, Formatter};

/// Digits of a commit, enough to find it.
const DIGITS: usize = 7;
/// Stands for a commit that nobody told.
const UNKNOWN: [u8; DIGITS] = *b"unknown";

/// What a program was built from. It is written `0.2.0-dev (1a2b3c4, release)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Build {
    /// The version of all packages.
    pub version: &'static str,
    /// The first 7 digits of the commit, or `unknown`.
    pub commit: &'static str,
    /// `debug` or `release`, by whether it was built with assertions for debugging.
    pub profile: &'static str,
}

/// The `Build` of the program in whose `main.rs` this stands. The package has `crates/commit.rs` as its build script.
#[macro_export]
macro_rules! build {
    () => {{
        // A copy, so that the program does not hold the log.
        const COMMIT: [u8; 7] =
            $crate::version::last_commit(::core::include_bytes!(::core::env!("SINFONIA_COMMITS")));
        $crate::version::Build {
            version: ::core::env!("CARGO_PKG_VERSION"),
            commit: match ::core::str::from_utf8(&COMMIT) {
                Ok(commit) => commit,
                Err(_) => "unknown",
            },
            profile: $crate::version::Build::UNKNOWN.profile,
        }
    }};
}

impl Build {
    /// That of a program that does not say more.
    pub const UNKNOWN: Self = Self {
        version: env!("CARGO_PKG_VERSION"),
        commit: "unknown",
        profile: if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        },
    };
}

impl Default for Build {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

impl Display for Build {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            version,
            commit,
            profile,
        } = self;
        write!(formatter, "{version} ({commit}, {profile})")
    }
}

/// The first digits of the commit that git wrote into a log last, each line of which is `<before> <commit> <who and why>`.
pub const fn last_commit(log: &[u8]) -> [u8; DIGITS] {
    let mut end = log.len();
    while end > 0 && log[end - 1] == b'\n' {
        end -= 1;
    }
    let mut at = end;
    while at > 0 && log[at - 1] != b'\n' {
        at -= 1;
    }
    while at < end && log[at] != b' ' {
        at += 1;
    }
    let mut commit = UNKNOWN;
    let mut digit = 0;
    while digit < DIGITS {
        at += 1;
        if at >= end || !log[at].is_ascii_hexdigit() {
            return UNKNOWN;
        }
        commit[digit] = log[at];
        digit += 1;
    }
    commit
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const NONE: &str = "0000000000000000000000000000000000000000";
    const FIRST: &str = "ea1a6953ef0b16fb4cd8e90b0cbb8fcd5e9d2a7e";
    const SECOND: &str = "48d63abd0f4f2b2e0c7c2b1a1c38a9e0f0f3d5c1";

    #[rstest]
    #[case::first(&format!("{NONE} {FIRST} A <a@example.org> 1764149540 +0000\tcommit (initial): Begin\n"), "ea1a695")]
    #[case::newest(&format!("{NONE} {FIRST} A\tcommit\n{FIRST} {SECOND} A\tcommit: Go on\n"), "48d63ab")]
    #[case::without_an_end(&format!("{NONE} {FIRST} A"), "ea1a695")]
    #[case::written_by_us("- ea1a695\n", "ea1a695")]
    #[case::none_written_by_us("- \n", "unknown")]
    #[case::short("- ea1a69\n", "unknown")]
    #[case::no_commit("- release\n", "unknown")]
    #[case::empty("", "unknown")]
    fn the_commit_is_the_second_word_of_the_last_line(#[case] log: &str, #[case] expected: &str) {
        assert_eq!(last_commit(log.as_bytes()), expected.as_bytes());
    }

    #[test]
    fn a_build_is_told_in_a_line() {
        let build = Build {
            version: "0.2.0-dev",
            commit: "1a2b3c4",
            profile: "release",
        };

        assert_eq!(build.to_string(), "0.2.0-dev (1a2b3c4, release)");
    }
}
