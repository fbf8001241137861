//! Which layers an image has and in what order: defaults, wishes, requirements, conflicts.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Error;
use crate::layer::Layer;

/// Resolves the layers of an image for `machine`, ordered by priority and name.
///
/// # Errors
/// An unknown layer, one for another machine, a missing requirement, a conflict, or a layer that
/// would be applied before one it requires.
pub fn resolve(
    all: &BTreeMap<String, Layer>,
    machine: &str,
    with: &[String],
    without: &[String],
) -> Result<Vec<Layer>, Error> {
    for name in with.iter().chain(without) {
        find(all, name)?;
    }
    if let Some(both) = with.iter().find(|name| without.contains(name)) {
        return Err(Error::Resolve(format!(
            "layer {both} is asked for with --with and --without; choose one"
        )));
    }
    let mut chosen: BTreeSet<&str> =
        all.values().filter(|l| l.default && l.fits(machine)).map(|l| l.name.as_str()).collect();
    chosen.extend(with.iter().map(String::as_str));
    for name in without {
        chosen.remove(name.as_str());
    }
    add_requirements(all, &mut chosen, without)?;
    check(all, &chosen, machine)?;
    let mut layers: Vec<Layer> = chosen.iter().map(|name| all[*name].clone()).collect();
    layers.sort_by(|a, b| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
    Ok(layers)
}

fn find<'a>(all: &'a BTreeMap<String, Layer>, name: &str) -> Result<&'a Layer, Error> {
    all.get(name).ok_or_else(|| {
        Error::Resolve(format!("no layer is called {name}; `scripts/bake layers` lists those there are"))
    })
}

fn add_requirements<'a>(
    all: &'a BTreeMap<String, Layer>,
    chosen: &mut BTreeSet<&'a str>,
    without: &[String],
) -> Result<(), Error> {
    let mut open: Vec<&str> = chosen.iter().copied().collect();
    while let Some(name) = open.pop() {
        for required in &all[name].requires {
            if without.contains(required) {
                return Err(Error::Resolve(format!(
                    "layer {name} requires {required}; leave out both (--without {name}) or neither"
                )));
            }
            find(all, required).map_err(|_| {
                Error::Resolve(format!("layer {name} requires {required}, which does not exist"))
            })?;
            if chosen.insert(required) {
                open.push(required);
            }
        }
    }
    Ok(())
}

fn check(all: &BTreeMap<String, Layer>, chosen: &BTreeSet<&str>, machine: &str) -> Result<(), Error> {
    for name in chosen {
        let layer = &all[*name];
        if !layer.fits(machine) {
            return Err(Error::Resolve(format!(
                "layer {name} is not for {machine}, only for {}",
                layer.machines.join(", ")
            )));
        }
        if let Some(other) = layer.conflicts.iter().find(|other| chosen.contains(other.as_str())) {
            return Err(Error::Resolve(format!("layers {name} and {other} exclude each other; drop one")));
        }
        if let Some(late) = layer.requires.iter().find(|r| all[*r].priority > layer.priority) {
            return Err(Error::Resolve(format!(
                "layer {name} (priority {}) requires {late} (priority {}), which would be applied after it",
                layer.priority, all[late].priority
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str, priority: u32, requires: &[&str]) -> Layer {
        Layer {
            name: name.into(),
            priority,
            default: true,
            requires: requires.iter().map(|&r| r.into()).collect(),
            ..Layer::default()
        }
    }

    fn all(layers: Vec<Layer>) -> BTreeMap<String, Layer> {
        layers.into_iter().map(|l| (l.name.clone(), l)).collect()
    }

    fn names(layers: &[Layer]) -> Vec<&str> {
        layers.iter().map(|l| l.name.as_str()).collect()
    }

    #[test]
    fn orders_by_priority_then_name() {
        let all = all(vec![layer("z", 1, &[]), layer("b", 2, &["z"]), layer("a", 2, &[])]);
        assert_eq!(names(&resolve(&all, "m", &[], &[]).unwrap()), ["z", "a", "b"]);
    }

    #[test]
    fn a_wish_brings_its_requirements_along() {
        let mut base = layer("base", 1, &[]);
        base.default = false;
        let mut extra = layer("extra", 2, &["base"]);
        extra.default = false;
        let all = all(vec![base, extra]);
        assert!(resolve(&all, "m", &[], &[]).unwrap().is_empty());
        assert_eq!(names(&resolve(&all, "m", &["extra".into()], &[]).unwrap()), ["base", "extra"]);
    }

    #[test]
    fn leaving_out_a_requirement_names_who_needs_it() {
        let all = all(vec![layer("base", 1, &[]), layer("top", 2, &["base"])]);
        let message = resolve(&all, "m", &[], &["base".into()]).unwrap_err().to_string();
        assert!(message.contains("top requires base"), "{message}");
    }

    #[test]
    fn conflicts_name_both_layers() {
        let mut a = layer("a", 1, &[]);
        a.conflicts = vec!["b".into()];
        let message = resolve(&all(vec![a, layer("b", 1, &[])]), "m", &[], &[]).unwrap_err().to_string();
        assert!(message.contains("layers a and b"), "{message}");
    }

    #[test]
    fn a_layer_of_another_machine_is_refused_when_asked_for_and_left_out_by_default() {
        let mut a = layer("a", 1, &[]);
        a.machines = vec!["other".into()];
        let all = all(vec![a]);
        assert!(resolve(&all, "m", &[], &[]).unwrap().is_empty());
        assert!(resolve(&all, "m", &["a".into()], &[]).unwrap_err().to_string().contains("only for other"));
    }

    #[test]
    fn a_requirement_applied_later_is_an_error() {
        let all = all(vec![layer("late", 9, &[]), layer("early", 1, &["late"])]);
        assert!(resolve(&all, "m", &[], &[]).unwrap_err().to_string().contains("after it"));
    }

    #[test]
    fn unknown_layers_are_named() {
        assert!(resolve(&all(vec![]), "m", &["x".into()], &[]).unwrap_err().to_string().contains("called x"));
    }
}
