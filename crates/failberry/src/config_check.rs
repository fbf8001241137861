//! `failberry config check FILE`.

use std::path::Path;

use config::LoadError;

use crate::exit;

/// Checks a file and names every mistake in it.
pub(crate) fn run(file: &Path) -> u8 {
    match config::load(file) {
        Ok(_) => {
            println!("{}: no mistakes", file.display());
            exit::OK
        }
        Err(LoadError::Read { path, source }) => {
            eprintln!("failberry: read {}: {source}", path.display());
            exit::NO_INPUT
        }
        Err(error @ LoadError::Invalid { .. }) => {
            eprintln!("{error}");
            if let LoadError::Invalid { problems, .. } = &error {
                let plural = if problems.len() == 1 { "" } else { "s" };
                eprintln!("{} mistake{plural}", problems.len());
            }
            exit::CONFIG
        }
    }
}
