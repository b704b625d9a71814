//! Which peers are admitted, and that nothing stays counted after all permits are dropped.

use super::*;

fn admission(change: impl FnOnce(&mut Limits)) -> Arc<Admission> {
    let mut limits = Limits::default();
    change(&mut limits);
    Admission::new(limits)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn empty(admission: &Admission) {
    let counts = admission.counts.lock();
    assert_eq!((counts.handshakes, counts.connections), (0, 0));
    assert!(counts.by_address.is_empty() && counts.by_peer.is_empty());
}

#[test]
fn one_address_cannot_take_all() {
    let admission = admission(|limits| {
        limits.handshakes = 3;
        limits.handshakes_per_address = 2;
    });
    let (here, there) = (ip("10.0.0.1"), ip("10.0.0.2"));
    let first = admission.handshake(here, true).ok().unwrap();
    let _second = admission.handshake(here, true).ok().unwrap();
    assert_eq!(
        admission.handshake(here, true).err(),
        Some(NotAdmitted::Handshakes)
    );
    let other = admission.handshake(there, true).ok().unwrap();
    // Now there are too many of all.
    assert_eq!(
        admission.handshake(there, true).err(),
        Some(NotAdmitted::Handshakes)
    );
    drop(first);
    let again = admission.handshake(here, true).ok().unwrap();
    drop((other, again, _second));
    empty(&admission);
}

#[test]
fn addresses_are_counted_by_who_has_them() {
    let admission = admission(|limits| limits.handshakes_per_address = 1);
    let _first = admission.handshake(ip("2001:db8::1"), true).ok().unwrap();
    let neighbour = admission.handshake(ip("2001:db8::ffff:2"), true);
    assert_eq!(neighbour.err(), Some(NotAdmitted::Handshakes));
    let _other = admission
        .handshake(ip("2001:db8:0:1::1"), true)
        .ok()
        .unwrap();
    // A socket of both families sees IPv4 like this.
    let _mapped = admission
        .handshake(ip("::ffff:10.0.0.1"), true)
        .ok()
        .unwrap();
    let same = admission.handshake(ip("10.0.0.1"), true);
    assert_eq!(same.err(), Some(NotAdmitted::Handshakes));
    let _next = admission
        .handshake(ip("::ffff:10.0.0.2"), true)
        .ok()
        .unwrap();
}

#[test]
fn when_many_are_under_way_an_address_must_be_proved() {
    let admission = admission(|limits| limits.handshakes_unproved = 1);
    let here = ip("10.0.0.1");
    let first = admission.handshake(here, false).ok().unwrap();
    assert_eq!(
        admission.handshake(here, false).err(),
        Some(NotAdmitted::Unproved)
    );
    let _proved = admission.handshake(here, true).ok().unwrap();
    drop(first);
    assert_eq!(
        admission.handshake(here, false).err(),
        Some(NotAdmitted::Unproved)
    );
}

#[test]
fn connections_are_counted_by_certificate_and_in_all() {
    let admission = admission(|limits| {
        limits.connections = 3;
        limits.connections_per_peer = 2;
    });
    let (alpha, beta) = ("α's certificate", "β's certificate");
    let first = admission.connection(alpha).ok().unwrap();
    let second = admission.connection(alpha).ok().unwrap();
    assert!(Arc::ptr_eq(&first.unopened, &second.unopened));
    assert_eq!(
        admission.connection(alpha).err(),
        Some(NotAdmitted::Connections)
    );
    let third = admission.connection(beta).ok().unwrap();
    assert!(!Arc::ptr_eq(&first.unopened, &third.unopened));
    // Nobody begins a handshake that could lead nowhere.
    let full = admission.handshake(ip("10.0.0.1"), true);
    assert_eq!(full.err(), Some(NotAdmitted::Connections));
    drop(first);
    // Two that have begun by then are one too many.
    let [begun, late] = [1, 2].map(|_| admission.handshake(ip("10.0.0.1"), true).ok().unwrap());
    let last = admission.connection("γ's certificate").ok().unwrap();
    let more = admission.connection("δ's certificate");
    assert_eq!(more.err(), Some(NotAdmitted::Connections));
    drop((second, third, begun, late, last));
    empty(&admission);
}
