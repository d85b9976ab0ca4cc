//! Files written at once or not at all, with the mode that they are to have from their first moment. Where files have no modes, those
//! below the user's own folders are the user's own.

use std::io::{self, Write as _};
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// Mode of what only its owner may read.
pub(crate) const PRIVATE_FILE: u32 = 0o600;

/// Makes a folder, with those above it, that only its owner may enter; one that is there already is closed to others.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    modes::make_folder(folder)?;
    close_to_others(folder)
}

/// Takes from others what rights they have to a file or folder.
pub(crate) fn close_to_others(path: &Path) -> io::Result<()> {
    modes::close_to_others(path)
}

/// Writes a file, in place of one that may be there.
pub(crate) fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    prepare(path, text, mode)?.persist(path)?;
    Ok(())
}

/// Writes a file that is not there yet.
///
/// # Errors
/// Of kind [`io::ErrorKind::AlreadyExists`] when it is there.
pub(crate) fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    prepare(path, text, mode)?.persist_noclobber(path)?;
    Ok(())
}

/// Writes to a file of another name in the same folder, from where a rename is atomic.
fn prepare(path: &Path, text: &str, mode: u32) -> io::Result<NamedTempFile> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut builder = Builder::new();
    modes::of_new_file(builder.prefix(".sinfonia-"), mode);
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(unix)]
mod modes {
    use std::fs::{DirBuilder, Permissions};
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};

    use super::{Builder, Path, io};

    /// Mode of a folder that only its owner may enter.
    const PRIVATE_FOLDER: u32 = 0o700;

    /// The bits of a mode that let others in.
    const OTHERS: u32 = 0o077;

    pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(PRIVATE_FOLDER)
            .create(folder)
    }

    pub(super) fn close_to_others(path: &Path) -> io::Result<()> {
        let mode = path.metadata()?.permissions().mode();
        if mode & OTHERS == 0 {
            return Ok(());
        }
        std::fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS & 0o7777))
    }

    pub(super) fn of_new_file(builder: &mut Builder<'_, '_>, mode: u32) {
        builder.permissions(Permissions::from_mode(mode));
    }
}

#[cfg(not(unix))]
mod modes {
    use super::{Builder, Path, io};

    pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)
    }

    /// There is nothing to take.
    pub(super) fn close_to_others(path: &Path) -> io::Result<()> {
        path.metadata().map(drop)
    }

    pub(super) const fn of_new_file(_: &mut Builder<'_, '_>, _: u32) {}
}
