//! The directory below which a program finds the system: `/` in production, a temporary one in tests.

use std::path::{Path, PathBuf};

/// A root directory; every absolute path a daemon uses goes through [`Root::path`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Root {
    /// The running system.
    pub fn system() -> Self {
        Self(PathBuf::from("/"))
    }

    /// A system below `dir`, for tests and for other machines' file systems.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self(dir.into())
    }

    /// Where the absolute path `path` lies below this root.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_stay_below_the_root() {
        assert_eq!(Root::at("/tmp/x").path("/proc/sys"), Path::new("/tmp/x/proc/sys"));
        assert_eq!(Root::system().path("/proc/sys"), Path::new("/proc/sys"));
    }
}
