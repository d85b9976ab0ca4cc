//! What is deployed, as a user names it.

use std::fmt;
use std::str::FromStr;

use sinfonia_core::recipe::HELLOWORLD;
use uuid::Uuid;

/// Names that stand for the uuid of a recipe.
const ALIASES: [(&str, Uuid); 1] = [("helloworld", HELLOWORLD)];

/// An application: the uuid of its recipe, shown by its alias where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Application(Uuid);

/// A text that is neither a uuid nor an alias.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected the uuid of a recipe, or helloworld")]
pub(crate) struct ApplicationError;

impl Application {
    /// The application that everyone may use to try Sinfonia.
    pub(crate) const HELLOWORLD: Self = Self(HELLOWORLD);

    /// The uuid of the recipe.
    pub(crate) const fn uuid(self) -> Uuid {
        self.0
    }
}

impl FromStr for Application {
    type Err = ApplicationError;

    /// Takes an alias, or a uuid in each of its usual spellings.
    fn from_str(text: &str) -> Result<Self, ApplicationError> {
        let alias = ALIASES.iter().find(|(alias, _)| *alias == text);
        match alias {
            Some((_, uuid)) => Ok(Self(*uuid)),
            None => Uuid::try_parse(text)
                .map(Self)
                .map_err(|_| ApplicationError),
        }
    }
}

impl fmt::Display for Application {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ALIASES.iter().find(|(_, uuid)| *uuid == self.0) {
            Some((alias, _)) => formatter.write_str(alias),
            None => self.0.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::alias("helloworld", "helloworld")]
    #[case::uuid_of_the_alias("00000000-0000-0000-0000-000000000000", "helloworld")]
    #[case::uuid(
        "755C2E1D-9F8A-4A1B-8A43-A8F0E7C5B1F2",
        "755c2e1d-9f8a-4a1b-8a43-a8f0e7c5b1f2"
    )]
    #[case::without_hyphens(
        "755c2e1d9f8a4a1b8a43a8f0e7c5b1f2",
        "755c2e1d-9f8a-4a1b-8a43-a8f0e7c5b1f2"
    )]
    fn an_application_is_a_uuid_or_an_alias(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(text.parse::<Application>().unwrap().to_string(), expected);
    }

    #[rstest]
    #[case("hello")]
    #[case("")]
    #[case("http://tier1.example")]
    fn anything_else_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<Application>(), Err(ApplicationError));
    }
}
