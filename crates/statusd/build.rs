//! Bakes the pages of conditions into the program: an alert links to them, and a house without a line
//! to the internet must be able to read them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conditions");
    println!("cargo:rerun-if-changed={}", folder.display());
    let entries = fs::read_dir(&folder).expect("docs/conditions is in the repository");
    let mut pages: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    // By id, as they are searched: with the suffix `a-b.md` would come before `a.md`.
    pages.sort_by_key(|path| path.file_stem().map(ToOwned::to_owned));
    let mut code =
        String::from("/// Id and text of each page, by id.\npub(crate) const PAGES: &[(&str, &str)] = &[\n");
    for page in &pages {
        println!("cargo:rerun-if-changed={}", page.display());
        let id = page.file_stem().expect("it has a name").to_string_lossy();
        let text = fs::read_to_string(page).expect("a page is text");
        writeln!(code, "    ({id:?}, {text:?}),").expect("writing to a String cannot fail");
    }
    code.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("pages.rs");
    fs::write(out, code).expect("cargo's folder can be written");
}
