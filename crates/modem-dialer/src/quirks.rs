//! What is known about each model, from `hardware/modems/*.toml`: facts are data, not code.
//!
//! The image's files come with it; files a user puts into [`USERS_DIRECTORY`] add sticks, and one of
//! the same name replaces the image's. A file that cannot be used never stops the daemon: the others
//! still work, and [`Loaded::problems`] says which line to correct.

mod schema;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sysio::Root;

pub use schema::{
    AtCommand, CdRom, Function, Hex, NetworkCard, Peculiarities, Quirk, Serial, Source, Sourced, UsbId,
};

/// Where the image keeps the files.
pub const DIRECTORY: &str = "/usr/share/failberry/hardware/modems";
/// Where users add their own; on the data partition, so that it survives an update.
pub const USERS_DIRECTORY: &str = "/data/failberry/hardware/modems";
/// A quirk file has about a kilobyte; a larger one is something else.
const LARGEST: u64 = 64 * 1024;

/// Everything that could be read.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The usable files, users' own first: whoever asks for an id gets theirs.
    pub models: Vec<Quirk>,
    /// The others.
    pub problems: Vec<Problem>,
}

impl Loaded {
    /// The condition `modem-quirks-invalid` in words; `None` while all is well.
    pub fn trouble(&self) -> Option<String> {
        let lines: Vec<String> = self.problems.iter().map(Problem::to_string).collect();
        (!lines.is_empty()).then(|| lines.join("; "))
    }
}

/// Why a quirk file cannot be used, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the appliance sees it.
    pub file: PathBuf,
    /// Where in it, counted from 1.
    pub line: Option<usize>,
    /// What is wrong there.
    pub cause: String,
    /// What helps.
    pub cure: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "read {}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}; {}", self.cause, self.cure)
    }
}

const CORRECT: &str = "correct it or remove the file; hardware/modems/README.md has the keys";
const READABLE: &str = "make it a readable text file or remove it";
const REFLASH: &str = "the image is incomplete: flash it again";

/// Loads every quirk file there is. The user's folder need not exist.
pub fn load(root: &Root) -> Loaded {
    let mut loaded = Loaded::default();
    let users = files(&root.path(USERS_DIRECTORY)).unwrap_or_default();
    let shipped = files(&root.path(DIRECTORY)).unwrap_or_else(|error| {
        let cause = error.to_string();
        loaded.problems.push(Problem { file: DIRECTORY.into(), line: None, cause, cure: REFLASH });
        BTreeMap::new()
    });
    let kept = shipped.iter().filter(|(name, _)| !users.contains_key(*name));
    let both = users.iter().map(|file| (USERS_DIRECTORY, file)).chain(kept.map(|file| (DIRECTORY, file)));
    for (directory, (name, path)) in both {
        match read(path, &Path::new(directory).join(name)) {
            Ok(quirk) => loaded.models.push(quirk),
            Err(problem) => loaded.problems.push(problem),
        }
    }
    loaded
}

/// Reads the text of one quirk file.
///
/// # Errors
/// What is wrong with it, and in which line.
pub fn parse(text: &str, file: &Path) -> Result<Quirk, Problem> {
    let problem = |line, cause| Problem { file: file.to_owned(), line, cause, cure: CORRECT };
    let quirk: Quirk = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        problem(line, error.message().to_owned())
    })?;
    quirk.check().map_err(|cause| problem(None, cause))?;
    Ok(quirk)
}

fn files(directory: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if Path::new(&name).extension().is_some_and(|extension| extension == "toml") {
            files.insert(name, entry.path());
        }
    }
    Ok(files)
}

fn read(path: &Path, shown: &Path) -> Result<Quirk, Problem> {
    let unreadable = |cause: String| Problem { file: shown.to_owned(), line: None, cause, cure: READABLE };
    let size = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    // A folder, a FIFO or a device would block or never end.
    if !size.is_file() {
        return Err(unreadable("not a file".to_owned()));
    }
    if size.len() > LARGEST {
        return Err(unreadable(format!("{} bytes where at most {LARGEST} are expected", size.len())));
    }
    let bytes = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable("not text in UTF-8".to_owned()))?;
    parse(&text, shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "model = \"x\"\n[[serial]]\nids = [\"19d2:0031\"]\ndriver = \"option\"\n\
                        at-interfaces = [3]\nsource = [\"a public page\"]\n";

    fn with(files: &[(&str, &str, &[u8])]) -> Loaded {
        let dir = tempfile::tempdir().unwrap();
        for (directory, name, content) in files {
            let folder = dir.path().join(directory.trim_start_matches('/'));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), content).unwrap();
        }
        load(&Root::at(dir.path()))
    }

    #[test]
    fn a_garbage_file_is_named_with_its_line_and_the_others_still_load() {
        let bad = GOOD.replace("at-interfaces", "at_interfaces");
        let loaded = with(&[
            (DIRECTORY, "good.toml", GOOD.as_bytes()),
            (DIRECTORY, "bad.toml", bad.as_bytes()),
            (DIRECTORY, "binary.toml", &[0xff, 0xfe, 0, 1]),
            (DIRECTORY, "README.md", b"not a quirk file"),
        ]);
        assert_eq!(loaded.models.len(), 1);
        let [bad, binary] = &loaded.problems[..] else { panic!("{:?}", loaded.problems) };
        assert_eq!((bad.file.file_name().unwrap().to_str(), bad.line), (Some("bad.toml"), Some(5)));
        assert!(bad.to_string().contains("at_interfaces"), "{bad}");
        assert!(binary.cause.contains("UTF-8"), "{binary}");
        assert!(loaded.trouble().unwrap().contains("line 5"));
    }

    #[test]
    fn a_users_file_adds_a_stick_and_one_of_the_same_name_replaces_ours() {
        let own = GOOD.replace("\"x\"", "\"own\"");
        let loaded = with(&[
            (DIRECTORY, "a.toml", GOOD.as_bytes()),
            (DIRECTORY, "b.toml", GOOD.as_bytes()),
            (USERS_DIRECTORY, "b.toml", own.as_bytes()),
        ]);
        let models: Vec<_> = loaded.models.iter().map(|quirk| quirk.model.as_str()).collect();
        assert_eq!((models, loaded.problems.len()), (vec!["own", "x"], 0));
    }

    #[test]
    fn without_any_file_it_says_so_and_goes_on() {
        let loaded = load(&Root::at(tempfile::tempdir().unwrap().path()));
        assert!(loaded.models.is_empty());
        assert_eq!(loaded.problems.len(), 1);
        assert_eq!(loaded.problems[0].cure, REFLASH);
    }

    #[test]
    fn arbitrary_bytes_never_panic() {
        let bytes = (0u32..4000).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
        let text = String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned();
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            assert!(parse(&text[..end], Path::new("x")).is_err());
        }
    }
}
