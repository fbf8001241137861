//! The manifest beside an image: what is in it, from where, under which licences, how large.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::debian::Package;
use crate::error::Error;
use crate::layer::{Layer, Machine};

/// `<image>.manifest.json`.
#[derive(Debug, Serialize)]
pub struct Manifest<'a> {
    name: &'static str,
    version: &'static str,
    machine: &'a str,
    debian: &'static str,
    kernel: &'a str,
    source_date_epoch: u64,
    layers: Vec<LayerEntry<'a>>,
    /// Bytes by what they are of: slot, kernel, initramfs, image, download.
    sizes: &'a BTreeMap<&'static str, u64>,
    packages: &'a [Package],
}

#[derive(Debug, Serialize)]
struct LayerEntry<'a> {
    name: &'a str,
    description: &'a str,
    priority: u32,
}

impl<'a> Manifest<'a> {
    /// Collects the manifest.
    pub fn new(
        machine: &'a Machine,
        layers: &'a [Layer],
        packages: &'a [Package],
        sizes: &'a BTreeMap<&'static str, u64>,
        kernel: &'a str,
        epoch: u64,
    ) -> Self {
        let entry =
            |l: &'a Layer| LayerEntry { name: &l.name, description: &l.description, priority: l.priority };
        Self {
            name: "failberry",
            version: crate::VERSION,
            machine: &machine.name,
            debian: crate::debian::SUITE,
            kernel,
            source_date_epoch: epoch,
            layers: layers.iter().map(entry).collect(),
            sizes,
            packages,
        }
    }

    /// As JSON text.
    ///
    /// # Errors
    /// None in practice; serialising could fail.
    pub fn to_json(&self) -> Result<String, Error> {
        let json = serde_json::to_string_pretty(self)
            .map_err(|e| Error::Invalid(format!("write the manifest: {e}")))?;
        Ok(json + "\n")
    }
}
