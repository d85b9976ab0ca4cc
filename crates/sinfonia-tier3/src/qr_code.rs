//! QR codes on a terminal.

use qrcode::render::unicode::Dense1x2;
use qrcode::types::{Color, QrError};
use qrcode::{EcLevel, QrCode};

use crate::arguments::QrForm;

/// Light modules around a code that a scanner needs to find it (ISO/IEC 18004).
const QUIET: usize = 4;
/// Bright white on black, whatever the terminal's colours are, and back to those.
const WHITE_ON_BLACK: &str = "\u{1b}[97;40m";
const RESET: &str = "\u{1b}[0m";

/// A text as lines to print, light modules as filled blocks. The colours are escape sequences, which whoever prints may take out.
///
/// # Errors
/// The text is too long for a QR code (more than 2,953 bytes).
pub(crate) fn lines(text: &str, form: QrForm) -> Result<Vec<String>, QrError> {
    // A screen does not get dirty, and fewer modules fit on more screens.
    let code = QrCode::with_error_correction_level(text, EcLevel::L)?;
    Ok(match form {
        QrForm::Compact => half_blocks(&code),
        QrForm::Alt => full_blocks(&code),
    })
}

/// The columns that a code takes.
pub(crate) fn width(lines: &[String]) -> usize {
    let first = lines.first().map_or("", String::as_str);
    let bare = first.trim_start_matches(WHITE_ON_BLACK);
    bare.trim_end_matches(RESET).chars().count()
}

fn half_blocks(code: &QrCode) -> Vec<String> {
    let picture = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build();
    picture.lines().map(coloured).collect()
}

/// Two columns for each module, because characters are higher than wide.
fn full_blocks(code: &QrCode) -> Vec<String> {
    let side = code.width() + 2 * QUIET;
    let block = |row: usize, column: usize| {
        let module = |at: usize| at.checked_sub(QUIET).filter(|at| *at < code.width());
        match (module(column), module(row)) {
            (Some(x), Some(y)) if code[(x, y)] == Color::Dark => "  ",
            _ => "██",
        }
    };
    (0..side)
        .map(|row| {
            coloured(
                &(0..side)
                    .map(|column| block(row, column))
                    .collect::<String>(),
            )
        })
        .collect()
}

fn coloured(line: &str) -> String {
    format!("{WHITE_ON_BLACK}{line}{RESET}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rqrr::PreparedImage;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::compact(QrForm::Compact)]
    #[case::alt(QrForm::Alt)]
    fn a_scanner_reads_what_was_shown(#[case] form: QrForm) {
        let text = "[Interface]\nPrivateKey = QAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHl8=\n";

        assert_eq!(scan(&lines(text, form).unwrap(), form), text);
    }

    #[test]
    fn a_compact_code_takes_half_the_columns() {
        let [compact, alt] =
            [QrForm::Compact, QrForm::Alt].map(|form| lines("hello", form).unwrap());

        assert_eq!(width(&compact) * 2, width(&alt));
        assert_eq!(compact.len(), alt.len().div_ceil(2));
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let text = "x".repeat(3000);

        assert!(lines(&text, QrForm::Compact).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn any_text_is_read_back(text in "[ -~]{1,400}") {
            prop_assert_eq!(&scan(&lines(&text, QrForm::Compact).unwrap(), QrForm::Compact), &text);
        }
    }

    /// What a camera would make of the terminal: a picture of dark and light points.
    fn scan(lines: &[String], form: QrForm) -> String {
        let rows: Vec<Vec<bool>> = lines.iter().flat_map(|line| pixels(line, form)).collect();
        let (height, width) = (rows.len(), rows[0].len());
        let scale = 4;
        let mut picture =
            PreparedImage::prepare_from_greyscale(width * scale, height * scale, |x, y| {
                if rows[y / scale][x / scale] { 255 } else { 0 }
            });
        let grids = picture.detect_grids();
        grids[0].decode().unwrap().1
    }

    fn pixels(line: &str, form: QrForm) -> Vec<Vec<bool>> {
        let line = line
            .trim_start_matches(WHITE_ON_BLACK)
            .trim_end_matches(RESET);
        let row = |light: &[char]| {
            line.chars()
                .map(|block| light.contains(&block))
                .collect::<Vec<_>>()
        };
        match form {
            QrForm::Compact => vec![row(&['█', '▀']), row(&['█', '▄'])],
            QrForm::Alt => vec![row(&['█']).chunks(2).map(|pair| pair[0]).collect()],
        }
    }
}
