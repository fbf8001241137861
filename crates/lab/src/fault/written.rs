//! How a scenario writes a fault: its name, or a table with the name and what differs.

use std::time::Duration;

use serde::Deserialize;

use super::{Cure, Fault, Kind};

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Written {
    Name(String),
    Table(Table),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Table {
    name: String,
    seconds: Option<f64>,
    cycles: Option<u32>,
    code: Option<u8>,
    cured_by: Option<Cure>,
}

impl TryFrom<Written> for Fault {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let table = match written {
            Written::Name(name) => {
                return Kind::named(&name).map(Self::from);
            }
            Written::Table(table) => table,
        };
        let mut fault = Self::from(Kind::named(&table.name)?);
        fault.cycles = table.cycles.unwrap_or(fault.cycles);
        fault.code = table.code.or(fault.code);
        fault.cure = table.cured_by.unwrap_or(fault.cure);
        if let Some(seconds) = table.seconds {
            let seconds = Duration::try_from_secs_f64(seconds);
            fault.seconds = Some(seconds.map_err(|_| "seconds: not a time".to_owned())?);
        }
        if fault.cycles == 0 {
            return Err("cycles: at least 1".to_owned());
        }
        if fault.cure == Cure::Time && fault.seconds.is_none() {
            return Err(format!("{}: cured by time, but `seconds` is missing", table.name));
        }
        Ok(fault)
    }
}

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::named(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        fault: Fault,
    }

    fn read(text: &str) -> Result<Fault, String> {
        toml::from_str::<File>(text).map(|file| file.fault).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_is_the_catalogues_fault() {
        assert_eq!(read("fault = \"hang\""), Ok(Kind::Hang.into()));
    }

    #[test]
    fn a_table_changes_what_it_names() {
        let fault = read("fault = { name = \"registration-lost\", code = 3, seconds = 12 }").unwrap();
        assert_eq!((fault.code, fault.seconds), (Some(3), Some(Duration::from_secs(12))));
        assert_eq!(fault.cure, Cure::Time);
        let fault = read("fault = { name = \"no-answer\", cured-by = \"power\", cycles = 2 }").unwrap();
        assert_eq!((fault.cure, fault.cycles), (Cure::Power, 2));
    }

    #[test]
    fn typos_are_refused() {
        assert!(read("fault = \"hagn\"").unwrap_err().contains("hagn"));
        assert!(read("fault = { name = \"hang\", cycels = 2 }").is_err());
        assert!(read("fault = { name = \"hang\", cycles = 0 }").is_err());
        assert!(read("fault = { name = \"hang\", cured-by = \"time\" }").is_err());
    }
}
