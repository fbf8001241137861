//! Probes and the daemon that sends them, with a real kernel and real servers, in network namespaces.

#[path = "net_probe/kinds.rs"]
mod kinds;
#[path = "net_probe/outages.rs"]
mod outages;
#[path = "net_probe/trouble.rs"]
mod trouble;
#[path = "net_probe/world.rs"]
mod world;
