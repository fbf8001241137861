//! `/proc/sys` below a root.

use crate::driver::Settings;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use sysio::Root;

/// A setting is a number; more is not ours.
const SETTING_LIMIT: usize = 4096;
/// So many files stay open. Walking a path in /proc costs ten times what reading costs, and twenty
/// settings are read every second.
const OPEN_LIMIT: usize = 64;

/// `/proc/sys` below a root.
#[derive(Debug)]
pub struct ProcSys {
    directory: PathBuf,
    /// Open for reading. A file of an interface that is gone says so and is opened anew.
    open: RefCell<BTreeMap<String, File>>,
}

impl ProcSys {
    /// Below `root`.
    pub fn new(root: &Root) -> Self {
        Self { directory: root.path("/proc/sys"), open: RefCell::default() }
    }
}

impl Settings for ProcSys {
    fn read(&self, path: &str) -> io::Result<String> {
        let mut open = self.open.borrow_mut();
        if let Some(file) = open.get(path) {
            match content(file) {
                Ok(value) => return Ok(value),
                Err(_) => drop(open.remove(path)),
            }
        }
        let file = File::open(self.directory.join(path))?;
        let value = content(&file)?;
        // Elsewhere a file may be replaced by another of its name.
        if self.directory == Path::new("/proc/sys") && open.len() < OPEN_LIMIT {
            open.insert(path.to_owned(), file);
        }
        Ok(value)
    }

    fn write(&mut self, path: &str, value: &str) -> io::Result<()> {
        // Not created: a setting that does not exist is not made by writing a file.
        let mut file = fs::OpenOptions::new().write(true).open(self.directory.join(path))?;
        io::Write::write_all(&mut file, format!("{value}\n").as_bytes())
    }
}

fn content(file: &File) -> io::Result<String> {
    let mut buffer = [0; SETTING_LIMIT];
    let length = file.read_at(&mut buffer, 0)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).trim().to_owned())
}
