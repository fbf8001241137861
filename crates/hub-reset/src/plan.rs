//! Whether a port may be switched off, which ports that takes, and what else loses power (pure).
//!
//! There is no way to force it: what is refused would cut the box off from whoever asks, or pull a
//! mounted disk, and nobody stands beside it to put that right.

use crate::boards::{Boards, Power};
use crate::topology::{Device, Port, Topology, is_at_or_below};

/// How to switch one port off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The port that is meant.
    pub target: String,
    /// The ports to switch.
    pub switch: Vec<Port>,
    /// Other devices that lose power as well.
    pub others: Vec<String>,
    /// Where the knowledge comes from.
    pub by: String,
}

/// Why a port is not switched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such port.
    #[error("{0}: no such port; `hub-reset list` shows what there is")]
    NoPort(String),
    /// The board says no.
    #[error("{port} is never switched off: {because}")]
    Never {
        /// The port.
        port: String,
        /// Why.
        because: String,
    },
    /// Its power cannot be switched.
    #[error(
        "the power of {port} cannot be switched: {because}; put the stick behind a hub that switches its ports"
    )]
    Fixed {
        /// The port.
        port: String,
        /// Why.
        because: String,
    },
    /// The hub did not say.
    #[error("hub {hub} does not say how it powers {port}: {because}; try again")]
    Unknown {
        /// The port.
        port: String,
        /// Its hub.
        hub: String,
        /// Why.
        because: String,
    },
    /// Something else would lose power that must not.
    #[error(
        "{port} is not switched off: {device} loses its power with it, and that carries {what}; move it to another hub"
    )]
    Carries {
        /// The port.
        port: String,
        /// The device.
        device: String,
        /// What is on it.
        what: String,
    },
}

/// Plans to switch `target` off. `characteristics` reads a hub's descriptor; `modems` are ids of known
/// sticks, whose own network interfaces and disks are no reason to spare them.
///
/// # Errors
/// Why it is not to be done.
pub fn plan(
    topology: &Topology,
    boards: &Boards,
    modems: &[String],
    characteristics: &dyn Fn(&Device) -> Result<u16, String>,
    target: &str,
) -> Result<Plan, Refusal> {
    let missing = || Refusal::NoPort(target.to_owned());
    let port = Port::parse(target).ok_or_else(missing)?;
    let hub = topology.devices.get(&port.hub).filter(|hub| port.number <= hub.ports).ok_or_else(missing)?;
    let (mut switch, mut cuts, by) = match on_board(topology, boards, target)? {
        Some(found) => found,
        None => elsewhere(boards, characteristics, hub, &port)?,
    };
    add_twins(topology, hub, &mut switch, &mut cuts);
    let affected = |device: &&Device| cuts.iter().any(|cut| is_at_or_below(&device.name, cut));
    let mut others = Vec::new();
    for device in topology.devices.values().filter(affected) {
        spare(topology, modems, target, device)?;
        if !is_at_or_below(&device.name, target) {
            others.push(format!("{} {}", device.name, device.id));
        }
    }
    Ok(Plan { target: target.to_owned(), switch, others, by })
}

type Ports = (Vec<Port>, Vec<String>, String);

/// What the board's file says of the port, if anything.
fn on_board(topology: &Topology, boards: &Boards, target: &str) -> Result<Option<Ports>, Refusal> {
    let Some(board) = boards.this(topology) else { return Ok(None) };
    if let Some(never) = board.never.iter().find(|never| never.port == target) {
        return Err(Refusal::Never { port: target.to_owned(), because: never.because.clone() });
    }
    if let Some(fixed) = board.fixed.iter().find(|fixed| fixed.port == target) {
        return Err(Refusal::Fixed { port: target.to_owned(), because: fixed.because.clone() });
    }
    let gang = board.gang.iter().find(|gang| gang.cuts.iter().any(|cut| cut == target));
    Ok(gang.map(|gang| {
        let switch = gang.switch.iter().filter_map(|name| Port::parse(name)).collect();
        (switch, gang.cuts.clone(), format!("what is known of the {}", board.name))
    }))
}

fn elsewhere(
    boards: &Boards,
    characteristics: &dyn Fn(&Device) -> Result<u16, String>,
    hub: &Device,
    port: &Port,
) -> Result<Ports, Refusal> {
    let fixed = |because: String| Refusal::Fixed { port: port.name(), because };
    let (power, by) = match boards.external(&hub.id) {
        Some(known) => (known.power, format!("what is known of the {}", known.name)),
        None => match characteristics(hub) {
            Ok(bits) => (Power::from_characteristics(bits, hub.ports), "the hub's descriptor".to_owned()),
            // A timeout now says nothing of the next time.
            Err(because) => {
                return Err(Refusal::Unknown { port: port.name(), hub: hub.name.clone(), because });
            }
        },
    };
    match power {
        Power::None => Err(fixed(format!("hub {} {} has no power switches ({by})", hub.name, hub.id))),
        Power::PerPort => Ok((vec![port.clone()], vec![port.name()], by)),
        Power::Ganged => {
            let all: Vec<Port> =
                (1..=hub.ports).map(|number| Port { hub: port.hub.clone(), number }).collect();
            let names = all.iter().map(Port::name).collect();
            Ok((all, names, format!("{by}: its ports have one switch together")))
        }
    }
}

/// The USB 2 and USB 3 halves of a hub feed the same sockets: power stays on until both are off.
fn add_twins(topology: &Topology, hub: &Device, switch: &mut Vec<Port>, cuts: &mut Vec<String>) {
    if hub.container.is_none() {
        return;
    }
    let twins = topology
        .devices
        .values()
        .filter(|other| other.ports > 0 && other.container == hub.container && other.name != hub.name);
    for twin in twins {
        let numbers = switch.iter().filter(|port| port.hub == hub.name && port.number <= twin.ports);
        let more: Vec<Port> =
            numbers.map(|port| Port { hub: twin.name.clone(), number: port.number }).collect();
        cuts.extend(more.iter().map(Port::name));
        switch.extend(more);
    }
}

/// Refuses when `device` carries what the box needs. Whether a disk is mounted cannot be seen from
/// inside a sandbox with mounts of its own, so every disk counts that is not the stick's.
fn spare(topology: &Topology, modems: &[String], target: &str, device: &Device) -> Result<(), Refusal> {
    let is_modem =
        modems.contains(&device.id) && topology.devices.get(&device.name).is_some_and(|d| d.ports == 0);
    if is_modem {
        return Ok(());
    }
    let what = match (device.networks.first(), device.disks.first()) {
        (Some(network), _) => format!("the network interface {network}"),
        (None, Some(disk)) => format!("the disk {disk}"),
        (None, None) => return Ok(()),
    };
    Err(Refusal::Carries { port: target.to_owned(), device: format!("{} {}", device.name, device.id), what })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
