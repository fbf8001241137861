//! Which files a loader reads, and in which order.

use super::Loader;
use std::collections::BTreeMap;

/// Where a file lies, the strongest first: of two files of one name only the first one's is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Folder {
    /// `/etc/sysctl.d`
    Etc,
    /// `/run/sysctl.d`
    Run,
    /// `/usr/local/lib/sysctl.d`
    Local,
    /// `/usr/lib/sysctl.d`
    Usr,
    /// `/lib/sysctl.d`, where it is another folder than the last one; only procps reads it.
    Lib,
    /// `/etc/sysctl.conf`, which procps reads last and systemd not at all.
    Main,
}

impl Folder {
    /// The folders that hold files, the strongest first (`CONF_PATHS` in systemd, `dirs` in procps).
    pub const FOLDERS: [Self; 5] = [Self::Etc, Self::Run, Self::Local, Self::Usr, Self::Lib];

    /// Its path; that of the file itself for [`Folder::Main`].
    pub const fn path(self) -> &'static str {
        match self {
            Self::Etc => "/etc/sysctl.d",
            Self::Run => "/run/sysctl.d",
            Self::Local => "/usr/local/lib/sysctl.d",
            Self::Usr => "/usr/lib/sysctl.d",
            Self::Lib => "/lib/sysctl.d",
            Self::Main => "/etc/sysctl.conf",
        }
    }

    fn read_by(self, loader: Loader) -> bool {
        loader == Loader::Procps || self <= Self::Usr
    }
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Its bytes.
    Bytes(Vec<u8>),
    /// A link to `/dev/null`: it hides files of its name and sets nothing.
    Mask,
    /// It could not be read, and why.
    Unreadable(String),
}

/// A file of one of the folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it lies.
    pub folder: Folder,
    /// Its name, `99-gce.conf`.
    pub name: String,
    /// What is in it.
    pub content: Content,
}

impl File {
    /// Its path.
    pub fn path(&self) -> String {
        match self.folder {
            Folder::Main => Folder::Main.path().to_owned(),
            folder => format!("{}/{}", folder.path(), self.name),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.content {
            Content::Bytes(bytes) => bytes,
            Content::Mask | Content::Unreadable(_) => &[],
        }
    }

    /// Whether its name ends as both loaders want it; they look at the bytes.
    pub(crate) fn is_conf(&self) -> bool {
        self.name.as_bytes().ends_with(b".conf")
    }

    fn read_by(&self, loader: Loader) -> bool {
        // systemd passes over hidden files (`hidden_or_backup_file`), procps does not.
        let hidden = loader == Loader::Systemd && self.name.starts_with('.');
        self.folder == Folder::Main && loader == Loader::Procps
            || self.folder.read_by(loader) && self.is_conf() && !hidden
    }
}

/// All files of all folders, in any order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Files(pub Vec<File>);

impl Files {
    /// The files a loader reads, in its order: by name, whatever the folder; `/etc/sysctl.conf` last.
    pub fn order(&self, loader: Loader) -> Vec<&File> {
        let mut by_name: BTreeMap<&[u8], &File> = BTreeMap::new();
        for file in self.0.iter().filter(|f| f.folder != Folder::Main && f.read_by(loader)) {
            let kept = by_name.entry(file.name.as_bytes()).or_insert(file);
            if file.folder < kept.folder {
                *kept = file;
            }
        }
        let last = self.0.iter().filter(|f| f.folder == Folder::Main && f.read_by(loader)).take(1);
        by_name.into_values().chain(last).collect()
    }

    /// The stronger file of the same name, if this one is hidden by it.
    pub fn hidden_by(&self, file: &File) -> Option<&File> {
        let same = |other: &&File| other.name == file.name && other.folder < file.folder;
        let of_folders = file.folder != Folder::Main && file.is_conf();
        self.0.iter().filter(same).min_by_key(|other| other.folder).filter(|_| of_folders)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> File {
        let folder = Folder::FOLDERS.into_iter().find(|f| path.starts_with(f.path())).unwrap_or(Folder::Main);
        let name = path.rsplit('/').next().unwrap().to_owned();
        File { folder, name, content: Content::Bytes(Vec::new()) }
    }

    #[test]
    fn order_is_by_name_and_the_stronger_folder_hides_the_weaker() {
        let paths = [
            "/usr/lib/sysctl.d/50-a.conf",
            "/etc/sysctl.d/50-a.conf",
            "/run/sysctl.d/60-b.conf",
            "/usr/lib/sysctl.d/60-b.conf",
            "/lib/sysctl.d/55-old.conf",
            "/usr/local/lib/sysctl.d/10-c.conf",
            "/etc/sysctl.d/README",
            "/etc/sysctl.d/.swap.conf",
            "/etc/sysctl.conf",
        ];
        let files = Files(paths.iter().map(|path| file(path)).collect());
        let order = |loader| files.order(loader).into_iter().map(File::path).collect::<Vec<_>>();
        let (local, etc, run) =
            ("/usr/local/lib/sysctl.d/10-c.conf", "/etc/sysctl.d/50-a.conf", "/run/sysctl.d/60-b.conf");
        assert_eq!(order(Loader::Systemd), [local, etc, run]);
        let hidden = "/etc/sysctl.d/.swap.conf";
        let old = "/lib/sysctl.d/55-old.conf";
        assert_eq!(order(Loader::Procps), [hidden, local, etc, old, run, "/etc/sysctl.conf"]);
        assert_eq!(files.hidden_by(&file(paths[0])).unwrap().path(), etc);
        assert_eq!(files.hidden_by(&file(paths[1])), None);
    }
}
