//! The shipped quirk files, all together: every fact has a source, no two claim an id, and the image
//! has the drivers they name.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use modem_dialer::quirks::{Quirk, UsbId, parse};

/// Ids that are a CD-ROM and a modem: models that keep their id when they are switched.
const BOTH_MODES: [&str; 2] = ["12d1:1001", "12d1:1003"];

fn shipped() -> Vec<(String, Quirk)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hardware/modems");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let quirk = parse(&fs::read_to_string(&path).unwrap(), &path);
            found.push((name, quirk.unwrap_or_else(|problem| panic!("{problem}"))));
        }
    }
    found
}

fn unique<'a>(mode: &str, ids: impl Iterator<Item = (&'a str, &'a UsbId)>) -> BTreeMap<&'a str, &'a str> {
    let mut owners = BTreeMap::new();
    for (file, id) in ids {
        let first = owners.insert(id.as_str(), file);
        assert_eq!(first, None, "{} is a {mode} in two files, the second is {file}", id.as_str());
    }
    owners
}

#[test]
fn twenty_models_and_more_are_known_from_many_makers() {
    let shipped = shipped();
    let makers: std::collections::BTreeSet<_> =
        shipped.iter().filter_map(|(name, _)| name.split('-').next()).collect();
    assert!(shipped.len() >= 20, "{}", shipped.len());
    assert!(makers.len() >= 8, "{makers:?}");
}

#[test]
fn no_two_files_claim_an_id_in_the_same_mode() {
    let shipped = shipped();
    let cd_roms = unique(
        "CD-ROM",
        shipped.iter().flat_map(|(name, quirk)| {
            quirk.cd_rom.iter().flat_map(|mode| &mode.ids).map(move |id| (name.as_str(), id))
        }),
    );
    let modems = unique(
        "modem",
        shipped.iter().flat_map(|(name, quirk)| {
            let serial = quirk.serial.iter().flat_map(|mode| &mode.ids);
            let cards = quirk.network_card.iter().flat_map(|mode| &mode.ids);
            serial.chain(cards).map(move |id| (name.as_str(), id))
        }),
    );
    let both: Vec<_> = cd_roms.keys().filter(|id| modems.contains_key(*id)).copied().collect();
    assert_eq!(both, BOTH_MODES, "a model that keeps its id belongs into the list, with its reason");
}

#[test]
fn the_image_has_every_driver_the_files_name() {
    let layer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../image/layers/modem.toml");
    let layer: toml::Table = fs::read_to_string(layer).unwrap().parse().unwrap();
    let modules: Vec<String> = layer["modules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|module| module.as_str().unwrap().replace('-', "_"))
        .collect();
    for (name, quirk) in shipped() {
        let serial = quirk.serial.iter().map(|mode| &mode.driver);
        for driver in serial.chain(quirk.network_card.iter().map(|mode| &mode.driver)) {
            assert!(modules.contains(driver), "{name}: {driver} is not in image/layers/modem.toml");
        }
    }
}

#[test]
fn a_file_is_named_after_its_model() {
    for (name, quirk) in shipped() {
        let plain: String = quirk.model.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
        let maker = name.split('-').next().unwrap();
        assert!(plain.starts_with(maker), "{name} is about {:?}", quirk.model);
    }
}
