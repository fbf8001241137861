//! A stage's result is a folder named by the hash of its inputs; it appears by rename, complete or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext};
use crate::hash::Key;
use crate::run::Runner;

/// The folder with one machine's stages.
#[derive(Debug)]
pub struct Stages {
    folder: PathBuf,
}

impl Stages {
    /// Keeps stages in `folder`.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(folder: PathBuf) -> Result<Self, Error> {
        fs::create_dir_all(&folder).at("make", &folder)?;
        Ok(Self { folder })
    }

    /// The result of stage `name` for `key`: the one there is, or a new one filled by `make`.
    /// Results for other keys are removed afterwards, so that the disk does not fill up.
    ///
    /// # Errors
    /// Those of `make`, or of the file system.
    pub fn get(
        &self,
        runner: &Runner,
        name: &str,
        what: &str,
        key: &Key,
        make: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<PathBuf, Error> {
        let done = self.folder.join(format!("{name}-{}", key.short()));
        if done.is_dir() {
            runner.cached(what);
            return Ok(done);
        }
        let new = self.folder.join(format!("{name}.new"));
        runner.step(what, || {
            remove_tree(&new)?;
            fs::create_dir_all(&new).at("make", &new)?;
            make(&new)?;
            fs::rename(&new, &done).at("rename", &new)
        })?;
        self.remove_others(name, &done)?;
        Ok(done)
    }

    fn remove_others(&self, name: &str, keep: &Path) -> Result<(), Error> {
        for entry in fs::read_dir(&self.folder).at("list", &self.folder)? {
            let path = entry.at("list", &self.folder)?.path();
            let same_stage = path
                .file_name()
                .and_then(|file| file.to_str())
                .and_then(|file| file.rsplit_once('-'))
                .is_some_and(|(stage, _)| stage == name);
            if same_stage && path != keep {
                remove_tree(&path)?;
            }
        }
        Ok(())
    }
}

/// Removes a folder and all below it; fine when there is none.
///
/// # Errors
/// Something cannot be removed.
pub fn remove_tree(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).at("remove", path),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_once_and_forgets_older_results() {
        let folder = tempfile::tempdir().unwrap();
        let runner = Runner::new(folder.path().join("log"), 9).unwrap();
        let stages = Stages::new(folder.path().join("stages")).unwrap();
        let make = |key: &str, text: &'static str| {
            let mut stage_key = Key::new("s");
            stage_key.text(key);
            stages
                .get(&runner, "s", "demo", &stage_key, |path| {
                    fs::write(path.join("f"), text).at("write", path)
                })
                .unwrap()
        };
        let first = make("1", "one");
        assert_eq!(make("1", "never written"), first);
        assert_eq!(fs::read_to_string(first.join("f")).unwrap(), "one");
        let second = make("2", "two");
        assert!(second.is_dir() && !first.exists());
    }

    #[test]
    fn a_failed_stage_leaves_no_result() {
        let folder = tempfile::tempdir().unwrap();
        let runner = Runner::new(folder.path().join("log"), 9).unwrap();
        let stages = Stages::new(folder.path().join("stages")).unwrap();
        let key = Key::new("s");
        let fail = |_: &Path| Err(Error::Invalid("no".into()));
        assert!(stages.get(&runner, "s", "demo", &key, fail).is_err());
        assert!(stages.get(&runner, "s", "demo", &key, |_| Ok(())).is_ok());
    }
}
