//! Manual pages of programs, made of what their `--help` says.

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
use clap_mangen::Man;

/// Heading of what stands below the options in a command's help: examples, mostly.
const EXTRA: &str = ".SH EXTRA\n";

/// Writes the manual pages of a program and its commands, such as `program.1` and `program-command.1`, into a folder, which is made where
/// there is none.
///
/// # Errors
/// The folder or a file in it cannot be written.
pub fn write(program: Command, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let version = program.get_version().unwrap_or_default();
    let source = format!("{} {version}", program.get_name());
    write_pages(&program, &source, folder)
}

fn write_pages(command: &Command, source: &str, folder: &Path) -> io::Result<()> {
    let man = Man::new(command.clone()).source(source).manual("Sinfonia");
    let mut page = Vec::new();
    man.render(&mut page)?;
    // What people copy must not be broken into other lines.
    let page = String::from_utf8_lossy(&page).replace(EXTRA, &format!("{EXTRA}.nf\n"));
    fs::write(folder.join(man.get_filename()), page)?;
    let mut commands = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    commands.try_for_each(|sub| write_pages(sub, source, folder))
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    #[test]
    fn a_program_and_each_command_that_is_shown_have_a_page_with_examples_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let long = "Examples:\n  program do --all | another program that reads what it says";
        let program = Command::new("program")
            .version("1.2.3")
            .subcommand(Command::new("do").arg(Arg::new("all")).after_help(long))
            .subcommand(Command::new("hidden").hide(true));

        write(program, &folder.path().join("man1")).unwrap();

        let pages = fs::read_dir(folder.path().join("man1")).unwrap();
        let pages = pages.map(|page| page.unwrap().file_name().into_string().unwrap());
        let mut pages: Vec<String> = pages.collect();
        pages.sort();
        assert_eq!(pages, ["program-do.1", "program.1"]);
        let page = fs::read_to_string(folder.path().join("man1/program-do.1")).unwrap();
        assert!(page.contains("\"program 1.2.3\" Sinfonia"), "{page}");
        assert!(page.contains(".SH EXTRA\n.nf\nExamples:\n"), "{page}");
    }
}
