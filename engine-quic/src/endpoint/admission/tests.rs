//! Tests of the gate: whom it lets in, and that nothing is left of who went.

use super::*;

fn gate(change: impl FnOnce(&mut Limits)) -> Arc<Admission> {
    let mut limits = Limits::default();
    change(&mut limits);
    Admission::new(limits)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn empty(gate: &Admission) {
    let state = gate.state.lock();
    assert_eq!((state.handshakes, state.connections), (0, 0));
    assert!(state.by_address.is_empty() && state.by_peer.is_empty());
}

#[test]
fn one_address_cannot_take_all() {
    let gate = gate(|limits| {
        limits.handshakes = 3;
        limits.handshakes_per_address = 2;
    });
    let (here, there) = (ip("10.0.0.1"), ip("10.0.0.2"));
    let first = gate.handshake(here, true).ok().unwrap();
    let _second = gate.handshake(here, true).ok().unwrap();
    assert_eq!(
        gate.handshake(here, true).err(),
        Some(TurnedAway::Handshakes)
    );
    let other = gate.handshake(there, true).ok().unwrap();
    // Now there are too many of all.
    assert_eq!(
        gate.handshake(there, true).err(),
        Some(TurnedAway::Handshakes)
    );
    drop(first);
    let again = gate.handshake(here, true).ok().unwrap();
    drop((other, again, _second));
    empty(&gate);
}

#[test]
fn addresses_are_counted_by_who_has_them() {
    let gate = gate(|limits| limits.handshakes_per_address = 1);
    let _first = gate.handshake(ip("2001:db8::1"), true).ok().unwrap();
    let neighbour = gate.handshake(ip("2001:db8::ffff:2"), true);
    assert_eq!(neighbour.err(), Some(TurnedAway::Handshakes));
    let _other = gate.handshake(ip("2001:db8:0:1::1"), true).ok().unwrap();
    // A socket of both families sees IPv4 like this.
    let _mapped = gate.handshake(ip("::ffff:10.0.0.1"), true).ok().unwrap();
    let same = gate.handshake(ip("10.0.0.1"), true);
    assert_eq!(same.err(), Some(TurnedAway::Handshakes));
    let _next = gate.handshake(ip("::ffff:10.0.0.2"), true).ok().unwrap();
}

#[test]
fn when_many_are_under_way_an_address_must_be_proved() {
    let gate = gate(|limits| limits.handshakes_unproved = 1);
    let here = ip("10.0.0.1");
    let first = gate.handshake(here, false).ok().unwrap();
    assert_eq!(
        gate.handshake(here, false).err(),
        Some(TurnedAway::Unproved)
    );
    let _proved = gate.handshake(here, true).ok().unwrap();
    drop(first);
    assert_eq!(
        gate.handshake(here, false).err(),
        Some(TurnedAway::Unproved)
    );
}

#[test]
fn connections_are_counted_by_certificate_and_in_all() {
    let gate = gate(|limits| {
        limits.connections = 3;
        limits.connections_per_peer = 2;
    });
    let (alpha, beta) = ("α's certificate", "β's certificate");
    let first = gate.connection(alpha).ok().unwrap();
    let second = gate.connection(alpha).ok().unwrap();
    assert!(Arc::ptr_eq(&first.unopened, &second.unopened));
    assert_eq!(gate.connection(alpha).err(), Some(TurnedAway::Connections));
    let third = gate.connection(beta).ok().unwrap();
    assert!(!Arc::ptr_eq(&first.unopened, &third.unopened));
    // Nobody begins a handshake that could lead nowhere.
    let full = gate.handshake(ip("10.0.0.1"), true);
    assert_eq!(full.err(), Some(TurnedAway::Connections));
    drop(first);
    // Two that have begun by then are one too many.
    let [begun, late] = [1, 2].map(|_| gate.handshake(ip("10.0.0.1"), true).ok().unwrap());
    let last = gate.connection("γ's certificate").ok().unwrap();
    let more = gate.connection("δ's certificate");
    assert_eq!(more.err(), Some(TurnedAway::Connections));
    drop((second, third, begun, late, last));
    empty(&gate);
}
