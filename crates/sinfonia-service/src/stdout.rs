//! What programs print on request, and nothing else: answers for people and for other programs.

use std::io::{self, Write as _};

/// Prints to stdout. Whoever reads may stop whenever it likes: a closed pipe is no error.
///
/// # Errors
/// It cannot be written for another reason, such as a full disk.
pub fn print(text: impl AsRef<[u8]>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let printed = stdout.write_all(text.as_ref());
    match printed.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
