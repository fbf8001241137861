//! The lab's world without an appliance: the wired line works, dies and comes back.

use std::time::Duration;

use lab::stop::Stop;
use lab::world::{APPLIANCE, Via, World, way};

/// The world's servers need a moment.
const SOON: Duration = Duration::from_secs(10);
/// One try.
const TRY: Duration = Duration::from_millis(500);

fn wired(world: &World) -> Option<()> {
    let subscriber = "198.51.100.20".parse().expect("an address");
    let page = world.client_get("http://web.test/", TRY).ok()?;
    assert_eq!(way(&page.body, subscriber), Some(Via::Wired), "{}", page.body);
    Some(())
}

#[test]
fn the_wired_line_carries_the_client_until_it_dies_and_after_it_is_back() {
    let logs = tempfile::tempdir().expect("a folder");
    let world = World::create(logs.path(), lab::world::Plan::default()).expect("a world");
    let stop = Stop::default();
    stop.wait("first page", SOON, || Ok(wired(&world))).expect("a page");

    world.wired_down().expect("wired down");
    assert!(wired(&world).is_none(), "a page came over a dead line");

    world.wired_up().expect("wired up");
    stop.wait("page after repair", SOON, || Ok(wired(&world))).expect("a page");
}

#[test]
fn nothing_in_the_world_reaches_the_builders_network() {
    let logs = tempfile::tempdir().expect("a folder");
    let world = World::create(logs.path(), lab::world::Plan::default()).expect("a world");
    let builder = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = builder.local_addr().expect("an address");
    assert!(std::net::TcpStream::connect_timeout(&address, TRY).is_ok(), "the builder listens");
    for namespace in [&*world.internet, &world.router, &world.house, &*world.client] {
        let reached = namespace.inside(|| Ok(std::net::TcpStream::connect_timeout(&address, TRY).is_ok()));
        assert!(!reached.expect("an answer"), "{} reaches the builder", namespace.name());
    }
    assert!(world.client_get(&format!("http://{APPLIANCE}/"), TRY).is_err(), "there is no appliance");
}
