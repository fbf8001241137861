//! Files that are always whole: the old content or the new, never a mix.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Replaces `path` by rename, so that readers see the old content or the new one.
///
/// For files in memory (`/run`); what must survive a power cut goes through [`write_durable`].
///
/// # Errors
/// Whatever creating, writing or renaming the temporary file beside `path` reports.
pub fn write_atomic(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    replace(path, mode, false, |file| file.write_all(content))
}

/// Replaces `path` by rename and waits until content and name are on the disk.
///
/// # Errors
/// Whatever creating, writing, syncing or renaming reports; then the old content is untouched.
pub fn write_durable(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    stream_durable(path, mode, |file| file.write_all(content))
}

/// As [`write_durable`], for content that is better not held in memory as a whole: `write` gets the
/// file to fill.
///
/// # Errors
/// Whatever `write`, writing, syncing or renaming reports; then the old content is untouched.
pub fn stream_durable(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    replace(path, mode, true, write)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// As [`write_atomic`], for content that is better not held in memory as a whole.
///
/// # Errors
/// Whatever `write`, writing or renaming reports.
pub fn stream_atomic(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    replace(path, mode, false, write)
}

/// Reads at most `limit` bytes; a longer file is an error, so that nothing outside decides our memory.
///
/// # Errors
/// Whatever opening or reading reports, `InvalidData` for a file over the limit.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("larger than {limit} bytes")));
    }
    Ok(content)
}

fn replace(
    path: &Path,
    mode: u32,
    durable: bool,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    // One writer a file is the rule of this house; the process id keeps a violation from mixing.
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let result = write_new(&temporary, mode, durable, write).and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn write_new(
    path: &Path,
    mode: u32,
    durable: bool,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?; // whatever the umask says
    let mut file = BufWriter::new(file);
    write(&mut file)?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    if durable { file.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_content_and_mode_and_leaves_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        write_durable(&path, b"old", 0o600).unwrap();
        write_atomic(&path, b"new", 0o644).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_stream_that_fails_leaves_the_old_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        write_durable(&path, b"old", 0o600).unwrap();
        let failed = stream_atomic(&path, 0o600, |file| {
            file.write_all(b"half")?;
            Err(io::ErrorKind::Other.into())
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_unwritable_directory_leaves_the_old_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing/state");
        assert_eq!(write_atomic(&path, b"x", 0o600).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn refuses_to_read_past_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("big");
        fs::write(&path, [0; 10]).unwrap();
        assert_eq!(read_bounded(&path, 10).unwrap().len(), 10);
        assert_eq!(read_bounded(&path, 9).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
