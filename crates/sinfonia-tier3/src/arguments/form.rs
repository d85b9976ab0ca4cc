//! Telling the two forms of the command line apart, before either is parsed.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use clap::CommandFactory as _;

use super::{Cli, OlderForm};
use crate::application::Application;

/// A command line of one of the two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// `sinfonia-tier3 <command> …`, the arguments as they are.
    Commands(Vec<OsString>),
    /// `sinfonia-tier3 [options] <tier1-url> <uuid> [application args…]`.
    Older {
        /// The program's name, options, URL and uuid.
        own: Vec<OsString>,
        /// All that follows the uuid, options too: the application to run and its arguments.
        application: Vec<OsString>,
    },
}

/// Tells the form of a command line, whose first argument is the program's name.
///
/// The first argument that is no option decides: the name of a command, or the URL of a Tier 1, or, with `--zeroconf`, a uuid.
pub(crate) fn split(mut arguments: Vec<OsString>) -> Form {
    let places = positionals(&arguments, &options_with_values());
    let first = places
        .first()
        .map(|&place| arguments[place].to_string_lossy());
    let before_application = match first.as_deref() {
        Some(uuid) if uuid.parse::<Application>().is_ok() => 1,
        Some(url) if resembles_url(url) => 2,
        None if begins_as_older(&arguments) => 1,
        _ => return Form::Commands(arguments),
    };
    let end = places
        .get(before_application - 1)
        .map_or(arguments.len(), |place| place + 1);
    let mut application = arguments.split_off(end);
    if application.first().is_some_and(|first| first == "--") {
        application.remove(0);
    }
    Form::Older {
        own: arguments,
        application,
    }
}

/// Where the arguments stand that are neither options nor values of options.
fn positionals(arguments: &[OsString], taking_values: &BTreeSet<String>) -> Vec<usize> {
    let mut places = Vec::new();
    let mut rest = arguments.iter().enumerate().skip(1);
    while let Some((place, argument)) = rest.next() {
        let text = argument.to_string_lossy();
        if text == "--" {
            places.extend(rest.by_ref().map(|(place, _)| place));
        } else if taking_values.contains(text.as_ref()) {
            rest.next();
        } else if !text.starts_with('-') || text == "-" {
            places.push(place);
        }
    }
    places
}

/// The options of both forms after which a value stands as an argument of its own.
fn options_with_values() -> BTreeSet<String> {
    let commands = Cli::command();
    let older = OlderForm::command();
    let arguments = commands
        .get_subcommands()
        .flat_map(clap::Command::get_arguments)
        .chain(older.get_arguments())
        .filter(|argument| argument.get_action().takes_values());
    arguments
        .flat_map(|argument| {
            let long = argument.get_long().map(|long| format!("--{long}"));
            let short = argument.get_short().map(|short| format!("-{short}"));
            long.into_iter().chain(short)
        })
        .collect()
}

/// Whether the first argument is an option that only the older form knows in this place.
fn begins_as_older(arguments: &[OsString]) -> bool {
    let name = |argument: &OsStr| {
        let text = argument.to_string_lossy();
        text.split_once('=')
            .map_or(text.as_ref(), |(name, _)| name)
            .to_owned()
    };
    let Some(first) = arguments.get(1).map(|argument| name(argument)) else {
        return false;
    };
    OlderForm::command().get_opts().any(|option| {
        option
            .get_long()
            .is_some_and(|long| first == format!("--{long}"))
    })
}

/// Whether a text is meant as a URL, well or badly written: the names of commands are plain words.
fn resembles_url(text: &str) -> bool {
    text.contains([':', '/', '.'])
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const UUID: &str = "755c2e1d-9f8a-4a1b-8a43-a8f0e7c5b1f2";

    #[rstest]
    #[case::nothing("")]
    #[case::help("--help")]
    #[case::command("deploy helloworld")]
    #[case::command_with_a_url("deploy helloworld --tier1-url http://tier1")]
    #[case::option_before_the_command("--tier1-url http://tier1 deploy helloworld")]
    #[case::misspelt_command("deplyo helloworld")]
    fn commands_are_plain_words(#[case] line: &str) {
        assert_eq!(split(arguments(line)), Form::Commands(arguments(line)));
    }

    #[rstest]
    #[case::plain("http://tier1 helloworld", "")]
    #[case::with_options("--config-debug --debug http://tier1 helloworld", "")]
    #[case::option_with_a_value("--qrcode compact http://tier1 helloworld", "")]
    #[case::option_with_its_value("--qrcode=compact http://tier1 helloworld", "")]
    #[case::application("http://tier1 helloworld", "curl http://helloworld/")]
    #[case::options_of_the_application("http://tier1 helloworld", "--help -o x --debug")]
    #[case::not_quite_a_url("tier1.example:5000 helloworld", "curl")]
    #[case::without_a_url("--zeroconf helloworld", "curl --version")]
    #[case::options_end("--debug -- http://tier1 helloworld", "curl")]
    fn all_after_the_uuid_is_the_applications(#[case] own: &str, #[case] application: &str) {
        let expected = Form::Older {
            own: arguments(own),
            application: words(application),
        };

        assert_eq!(split(arguments(&format!("{own} {application}"))), expected);
    }

    #[test]
    fn a_separator_before_the_application_is_not_the_applications() {
        let line = format!("http://tier1 {UUID} -- curl -- x");

        let Form::Older { application, .. } = split(arguments(&line)) else {
            panic!("not the older form");
        };

        assert_eq!(application, words("curl -- x"));
    }

    #[rstest]
    #[case::no_uuid("http://tier1")]
    #[case::options_alone("--config-debug")]
    fn what_begins_as_the_older_form_is_told_what_it_lacks(#[case] line: &str) {
        let expected = Form::Older {
            own: arguments(line),
            application: Vec::new(),
        };

        assert_eq!(split(arguments(line)), expected);
    }

    fn arguments(line: &str) -> Vec<OsString> {
        let mut arguments = words(line);
        arguments.insert(0, "sinfonia-tier3".into());
        arguments
    }

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }
}
