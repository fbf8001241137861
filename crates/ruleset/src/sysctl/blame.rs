//! Who set a setting to what it was found to be, and what to do about it, in words.

use super::number::same_value;
use super::{Files, Folder, Key, Loader, Write};

/// A name that sorts behind nearly everything people and packages use.
const LATE: &str = "99-zz-router.conf";

/// Which file sets `key` to `found` under which loader's rules, and the cure; or that none does.
pub fn blame(files: &Files, key: &Key, found: &str, wanted: &str, loaders: &[Loader]) -> String {
    let wins = |loader: &Loader| {
        let outcome = files.outcome(*loader, key, Some(found));
        outcome.winner().filter(|write| same_value(&write.value, found)).cloned()
    };
    let winners: Vec<(Loader, Write)> = loaders.iter().filter_map(|l| Some((*l, wins(l)?))).collect();
    let Some((_, first)) = winners.first() else { return nobody(files, key, found, loaders) };
    let same = winners.iter().all(|(_, write)| write == first);
    let sentence = |write: &Write, names: &[&str]| {
        format!(
            "{} line {} sets it to {}, and wins under {}",
            write.file,
            write.line,
            write.value,
            names.join(" and ")
        )
    };
    let names: Vec<&str> = winners.iter().map(|(loader, _)| loader.name()).collect();
    let who = if same {
        sentence(first, &names)
    } else {
        winners.iter().map(|(loader, write)| sentence(write, &[loader.name()])).collect::<Vec<_>>().join("; ")
    };
    format!("{who}; {}", cure(files, key, wanted, &winners))
}

/// What to write where, so that no loader sets anything else than `wanted`; none if none does.
pub fn advice(
    files: &Files,
    key: &Key,
    live: Option<&str>,
    wanted: &str,
    loaders: &[Loader],
) -> Option<String> {
    let wrong = |loader: &Loader| {
        let outcome = files.outcome(*loader, key, live);
        let winner = outcome.winner().filter(|write| !same_value(&write.value, wanted))?;
        Some((*loader, winner.clone()))
    };
    let wrong: Vec<(Loader, Write)> = loaders.iter().filter_map(wrong).collect();
    let (_, first) = wrong.first()?;
    Some(format!("{} line {}: {}", first.file, first.line, cure(files, key, wanted, &wrong)))
}

fn cure(files: &Files, key: &Key, wanted: &str, winners: &[(Loader, Write)]) -> String {
    // Nothing sorts behind what procps reads last.
    let main = winners.iter().any(|(_, write)| write.file == Folder::Main.path());
    let line = format!("\"{} = {wanted}\"", key.dotted());
    if main {
        format!("remove that line or make it {line}: no file can sort behind {}", Folder::Main.path())
    } else {
        format!("remove that line, or write {line} and a line feed into /etc/sysctl.d/{}", later_name(files))
    }
}

fn nobody(files: &Files, key: &Key, found: &str, loaders: &[Loader]) -> String {
    let loser = loaders.iter().find_map(|loader| {
        let writes = files.outcome(*loader, key, Some(found)).writes;
        writes.into_iter().find(|write| same_value(&write.value, found))
    });
    match loser {
        Some(write) => format!(
            "{} line {} sets it to {found} but does not win, so somebody applied that file alone (sysctl -p) or a program wrote it",
            write.file, write.line
        ),
        None => format!(
            "no file sets it to {found}, so a program wrote it: a container engine, a VPN, a script with sysctl -w"
        ),
    }
}

/// A name for a file in `/etc/sysctl.d` that sorts behind all others.
pub fn later_name(files: &Files) -> String {
    let last = files.order(Loader::Procps).into_iter().rfind(|file| file.folder != Folder::Main);
    match last {
        Some(file) if file.name.as_str() >= LATE => {
            // `z` sorts behind the dot of `.conf`.
            format!("{}z-router.conf", file.name.trim_end_matches(".conf"))
        }
        _ => LATE.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Content, File};
    use super::*;

    fn files(list: &[(Folder, &str, &str)]) -> Files {
        let file = |(folder, name, text): &(Folder, &str, &str)| File {
            folder: *folder,
            name: (*name).to_owned(),
            content: Content::Bytes(text.as_bytes().to_vec()),
        };
        Files(list.iter().map(file).collect())
    }

    fn forward() -> Key {
        Key::parse("net.ipv4.ip_forward").unwrap()
    }

    const GCE: (Folder, &str, &str) = (Folder::Etc, "99-gce.conf", "# GCE\n\nnet.ipv4.ip_forward = 0\n");

    #[test]
    fn the_file_the_line_the_loaders_and_the_cure_are_named() {
        let words = blame(&files(&[GCE]), &forward(), "0", "1", &Loader::BOTH);
        assert_eq!(
            words,
            "/etc/sysctl.d/99-gce.conf line 3 sets it to 0, and wins under systemd-sysctl and sysctl --system; \
             remove that line, or write \"net.ipv4.ip_forward = 1\" and a line feed into /etc/sysctl.d/99-zz-router.conf"
        );
    }

    #[test]
    fn each_loader_has_its_own_winner_and_the_last_file_cannot_be_outdone() {
        let main = (Folder::Main, "sysctl.conf", "net.ipv4.ip_forward=0\n");
        let words = blame(&files(&[GCE, main]), &forward(), "0", "1", &Loader::BOTH);
        assert!(words.contains("99-gce.conf line 3 sets it to 0, and wins under systemd-sysctl;"), "{words}");
        assert!(
            words.contains("/etc/sysctl.conf line 1 sets it to 0, and wins under sysctl --system;"),
            "{words}"
        );
        assert!(words.ends_with("no file can sort behind /etc/sysctl.conf"), "{words}");
    }

    #[test]
    fn a_value_no_file_sets_was_written_by_a_program() {
        assert!(
            blame(&files(&[GCE]), &forward(), "2", "1", &Loader::BOTH).starts_with("no file sets it to 2")
        );
        let late = (Folder::Usr, "zz.conf", "net.ipv4.ip_forward=1\n");
        let words = blame(&files(&[GCE, late]), &forward(), "0", "1", &Loader::BOTH);
        assert!(
            words.starts_with("/etc/sysctl.d/99-gce.conf line 3 sets it to 0 but does not win"),
            "{words}"
        );
    }

    #[test]
    fn advice_is_given_only_where_a_loader_would_do_wrong() {
        let told = |list| advice(&files(list), &forward(), Some("1"), "1", &Loader::BOTH);
        assert!(told(&[GCE]).unwrap().starts_with("/etc/sysctl.d/99-gce.conf line 3: remove that line, or"));
        assert_eq!(told(&[GCE, (Folder::Etc, "99-zz-router.conf", "net.ipv4.ip_forward=1\n")]), None);
        assert_eq!(told(&[]), None);
    }

    #[test]
    fn a_later_name_is_later() {
        for name in ["99-gce.conf", "99-zz-router.conf", "zz.conf", "~.conf"] {
            let list = files(&[(Folder::Usr, name, "")]);
            assert!(later_name(&list).as_str() > name, "{name}");
        }
    }
}
