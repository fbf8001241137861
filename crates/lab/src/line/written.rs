//! How a scenario writes a fault of a line: `{ line = "wired", name = "loss", percent = 30 }`.

use std::time::Duration;

use serde::Deserialize;

use super::{Direction, How, Kind, Line, LineFault};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Written {
    line: Line,
    name: Kind,
    percent: Option<f64>,
    milliseconds: Option<u64>,
    jitter_milliseconds: Option<u64>,
    direction: Option<Direction>,
    how: Option<How>,
    operators: Option<Vec<String>>,
}

impl TryFrom<Written> for LineFault {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let row = written.name.row();
        written.only_what_it_takes()?;
        let missing = |key: &str| format!("{}: `{key}` is missing", row.name);
        if written.name == Kind::Loss && !written.percent.is_some_and(|p| p > 0.0 && p <= 100.0) {
            return Err(format!("{}: `percent` must be above 0 and at most 100", row.name));
        }
        if written.name == Kind::Latency && written.milliseconds.is_none() {
            return Err(missing("milliseconds"));
        }
        if written.name == Kind::Asymmetric && written.direction.is_none() {
            return Err(missing("direction"));
        }
        if written.name == Kind::Transit && written.operators.as_ref().is_none_or(Vec::is_empty) {
            return Err(missing("operators"));
        }
        if written.how == Some(How::Redirect) && written.name != Kind::QuotaWall {
            return Err(format!("{}: `how = \"redirect\"` is for the quota wall", row.name));
        }
        Ok(Self {
            line: written.line,
            kind: written.name,
            percent: written.percent.unwrap_or_default(),
            delay: Duration::from_millis(written.milliseconds.unwrap_or_default()),
            jitter: Duration::from_millis(written.jitter_milliseconds.unwrap_or_default()),
            direction: written.direction,
            how: written.how.unwrap_or(row.how),
            operators: written.operators.unwrap_or_default(),
        })
    }
}

impl Written {
    fn only_what_it_takes(&self) -> Result<(), String> {
        let given = [
            ("percent", self.percent.is_some()),
            ("milliseconds", self.milliseconds.is_some()),
            ("jitter-milliseconds", self.jitter_milliseconds.is_some()),
            ("direction", self.direction.is_some()),
            ("how", self.how.is_some()),
            ("operators", self.operators.is_some()),
        ];
        let row = self.name.row();
        match given.iter().find(|(key, is)| *is && !row.takes.contains(key)) {
            Some((key, _)) => Err(format!("{}: `{key}` means nothing here", row.name)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        fault: LineFault,
    }

    fn read(rest: &str) -> Result<LineFault, String> {
        let text = format!("fault = {{ line = \"wired\", {rest} }}");
        toml::from_str::<File>(&text).map(|file| file.fault).map_err(|error| error.to_string())
    }

    #[test]
    fn a_fault_is_the_catalogues_with_what_the_scenario_says() {
        let fault = read("name = \"loss\", percent = 30").unwrap();
        assert_eq!((fault.line, fault.kind), (Line::Wired, Kind::Loss));
        assert!((fault.percent - 30.0).abs() < f64::EPSILON);
        assert_eq!(read("name = \"http\"").unwrap().how, How::Open);
        assert_eq!(read("name = \"http\", how = \"reset\"").unwrap().how, How::Reset);
    }

    #[test]
    fn what_would_do_nothing_is_refused() {
        for wrong in [
            "name = \"los\", percent = 3",
            "name = \"loss\"",
            "name = \"loss\", percent = 0",
            "name = \"loss\", percent = 130",
            "name = \"down\", percent = 30",
            "name = \"latency\"",
            "name = \"asymmetric\"",
            "name = \"transit\"",
            "name = \"http\", how = \"redirect\"",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
