//! `netguard explain KEY`: who sets a setting, who wins, and what is wrong with the files.

use super::{OK, USAGE, Words, usage};
use crate::driver::Settings;
use crate::sysctl::{ProcSys, files, respected};
use ruleset::sysctl::{
    Defect, Files, Folder, Key, Loader, Outcome, Write, advice, aliases, defects, nearest,
};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io;
use sysio::Root;

pub(super) const HELP: &str = "\
every file that sets KEY, the order and the winner of systemd-sysctl and of
sysctl --system, the live value, and what is wrong with the files. Needs no rights.
Exit: 0 told, 64 no such setting, 66 the configuration cannot be read, 78 it is wrong";

struct Explanation {
    key: Key,
    live: Result<String, String>,
    wanted: Option<String>,
    /// Every line that names it, with the file that hides its own.
    lines: Vec<(Write, Option<String>)>,
    loaders: Vec<(Loader, bool, Outcome)>,
    defects: Vec<Defect>,
    advice: Option<String>,
}

pub(super) fn run(words: &Words) -> u8 {
    let [name] = words.values.as_slice() else {
        return usage("explain what? netguard explain net.ipv4.ip_forward");
    };
    let key = match Key::parse(name) {
        Ok(key) => key,
        Err(error) => return usage(&format!("explain: {error}")),
    };
    let root = words.root.clone().unwrap_or_else(Root::system);
    let policy = match words.policy(&root) {
        Ok(policy) => policy,
        Err(code) => return code,
    };
    let wanted = ruleset::sysctls(&policy).into_iter().find(|sysctl| sysctl.path == key.path());
    let live = ProcSys::new(&root).read(key.path());
    let known = files::known(&root);
    let read = files::read_files(&root);
    let mentioned = Loader::BOTH.iter().any(|loader| !read.mentions(*loader, &key).is_empty());
    if live.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound) && !mentioned {
        return unknown(&key, &known);
    }
    let wanted = wanted.map(|s| match &live {
        Ok(live) if respected(&s, live) => live.clone(),
        _ => s.value.to_owned(),
    });
    let live = live.map_err(|e| reading(&e));
    let explanation = explain(&read, key, live, wanted, &known, &files::loaders(&root));
    if words.json {
        println!("{}", explanation.json());
    } else {
        print!("{}", explanation.text());
    }
    OK
}

fn reading(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "the kernel does not have it: a module is not loaded, an interface is not there".to_owned()
        }
        io::ErrorKind::PermissionDenied => "it can be read by root only".to_owned(),
        io::ErrorKind::IsADirectory => "it is a group of settings; name one of them".to_owned(),
        _ => error.to_string(),
    }
}

fn unknown(key: &Key, known: &[String]) -> u8 {
    let meant = nearest(key.path(), known.iter().map(String::as_str)).and_then(|path| Key::parse(path).ok());
    let hint = match meant {
        Some(meant) => format!("did you mean {}?", meant.dotted()),
        None => "sysctl -a lists those there are; an interface with a dot in its name is written eth0/100"
            .to_owned(),
    };
    eprintln!("netguard: explain: neither the kernel nor any file has {}; {hint}", key.dotted());
    USAGE
}

fn explain(
    read: &Files,
    key: Key,
    live: Result<String, String>,
    wanted: Option<String>,
    known: &[String],
    installed: &[Loader],
) -> Explanation {
    let now = live.as_deref().ok();
    let mut lines: Vec<(Write, Option<String>)> = Vec::new();
    for loader in Loader::BOTH {
        for (file, write) in read.mentions(loader, &key) {
            let hidden = read.hidden_by(file).map(ruleset::sysctl::File::path);
            if !lines.iter().any(|(known, _)| (&known.file, known.line) == (&write.file, write.line)) {
                lines.push((write, hidden));
            }
        }
    }
    let order = read.order(Loader::Procps);
    let place = |write: &Write| order.iter().position(|file| file.path() == write.file);
    lines.sort_by_key(|(write, _)| (place(write).is_none(), place(write), write.file.clone(), write.line));
    let outcome = |loader| (loader, installed.contains(&loader), read.outcome(loader, &key, now));
    // A host without a loader, or a root without programs: both are told.
    let judged = if installed.is_empty() { &Loader::BOTH[..] } else { installed };
    let defects = defects(read, &key, now, wanted.as_deref(), known, judged);
    // Without a wish of ours, what holds now is what somebody wants.
    let right = wanted.as_deref().or(now);
    let advice = right.and_then(|right| advice(read, &key, now, right, judged));
    Explanation { advice, loaders: Loader::BOTH.map(outcome).into(), key, live, wanted, lines, defects }
}

impl Explanation {
    fn json(&self) -> Value {
        let write = |w: &Write| json!({"file": w.file, "line": w.line, "key": w.key, "value": w.value, "refused": w.refused});
        let line = |(w, hidden): &(Write, Option<String>)| json!({"file": w.file, "line": w.line, "key": w.key, "value": w.value, "hidden_by": hidden});
        let loader = |(loader, installed, outcome): &(Loader, bool, Outcome)| {
            let writes: Vec<Value> = outcome.writes.iter().map(write).collect();
            let told =
                json!({"installed": installed, "writes": writes, "winner": outcome.winner().map(write)});
            (loader.id().to_owned(), told)
        };
        let defect =
            |d: &Defect| json!({"id": d.problem.id(), "file": d.file, "line": d.line, "text": d.words});
        json!({
            "key": self.key.dotted(),
            "path": self.key.path(),
            "same_as": aliases(&self.key).iter().map(Key::dotted).collect::<Vec<_>>(),
            "live": self.live.as_deref().ok(),
            "live_error": self.live.as_deref().err(),
            "wanted": self.wanted,
            "set_by": self.lines.iter().map(line).collect::<Vec<_>>(),
            "loaders": self.loaders.iter().map(loader).collect::<serde_json::Map<_, _>>(),
            "defects": self.defects.iter().map(defect).collect::<Vec<_>>(),
            "advice": self.advice,
        })
    }

    fn text(&self) -> String {
        let mut out = String::new();
        self.write_head(&mut out);
        self.write_lines(&mut out);
        for (loader, installed, outcome) in &self.loaders {
            write_order(&mut out, *loader, *installed, outcome);
        }
        self.write_defects(&mut out);
        out
    }

    fn write_head(&self, out: &mut String) {
        let live = match &self.live {
            Ok(live) => format!("= {live} now"),
            Err(why) => format!("has no value now: {why}"),
        };
        let wanted = match &self.wanted {
            Some(wanted) => format!("netguard keeps it at {wanted}"),
            None => "netguard does not look after it".to_owned(),
        };
        let _ = writeln!(out, "{} {live}; {wanted}", self.key.dotted());
        for other in aliases(&self.key) {
            let _ = writeln!(out, "{} is another name of the same number", other.dotted());
        }
    }

    fn write_lines(&self, out: &mut String) {
        if self.lines.is_empty() {
            let folders: Vec<&str> = Folder::FOLDERS.iter().map(|folder| folder.path()).collect();
            let _ = writeln!(
                out,
                "\nno file sets it (looked in {} and {})",
                folders.join(", "),
                Folder::Main.path()
            );
            return;
        }
        let _ = writeln!(out, "\nfiles that set it");
        for (write, hidden) in &self.lines {
            let hidden =
                hidden.as_ref().map(|by| format!("   (not read: hidden by {by})")).unwrap_or_default();
            let _ = writeln!(out, "  {}:{}  {} = {}{hidden}", write.file, write.line, write.key, write.value);
        }
    }

    fn write_defects(&self, out: &mut String) {
        let _ = writeln!(out, "\n{}", if self.defects.is_empty() { "no defects" } else { "defects" });
        for defect in &self.defects {
            let place = match (defect.file.as_str(), defect.line) {
                ("", _) => String::new(),
                (file, Some(line)) => format!("{file}:{line}: "),
                (file, None) => format!("{file}: "),
            };
            let _ = writeln!(out, "  {place}{}", defect.words);
        }
        if let Some(advice) = &self.advice {
            let _ = writeln!(out, "\nwhat to do\n  {advice}");
        }
    }
}

fn write_order(out: &mut String, loader: Loader, installed: bool, outcome: &Outcome) {
    let there = if installed { "" } else { ", not installed here" };
    let _ = writeln!(out, "\n{} ({}{there})", loader.name(), loader.occasion());
    let winner = outcome.winner();
    for (number, write) in (1..).zip(&outcome.writes) {
        let mark = match winner {
            _ if write.refused => "   refused by the kernel",
            Some(winner) if winner == write => "   <- wins",
            _ => "",
        };
        let _ = writeln!(out, "  {number}. {}:{}  {}{mark}", write.file, write.line, write.value);
    }
    if winner.is_none() {
        let _ = writeln!(out, "  leaves it as it is");
    }
}
