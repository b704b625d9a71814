//! Events in causal order, also if their records contradict each other.
//!
//! Owns the sorting, and which edges are left out of a circle. Never finds an edge.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use crate::trace::merge::Traced;

/// So many circles are found one by one. After that, no edge between hosts counts among the events that are left: else
/// a file that is all wrong would take for ever.
const MOST_CIRCLES: usize = 64;

/// Sorts events so that each comes after its causes; among those that could be next, the one with the earliest time on
/// its machine's clock. Returns also the circles: each time, the events of which each would come before the next, and
/// the last before the first. They lose the edges that made the circle, which are not from a host to itself.
pub(super) fn in_order(unordered: Vec<Traced>) -> (Vec<Traced>, Vec<Vec<usize>>) {
    let mut sorting = Sorting::new(unordered);
    sorting.take_free();
    let mut circles = Vec::new();
    while sorting.order.len() < sorting.events.len() {
        if circles.len() < MOST_CIRCLES {
            let circle = sorting.circle();
            for index in &circle {
                sorting.cut(*index);
            }
            circles.push(circle);
        } else {
            let stuck = |index: &usize| sorting.place[*index].is_none();
            let stuck: Vec<_> = (0..sorting.events.len()).filter(stuck).collect();
            for index in stuck {
                sorting.cut(index);
            }
        }
        sorting.take_free();
    }
    sorting.done(circles)
}

struct Sorting {
    events: Vec<Traced>,
    effects: Vec<Vec<usize>>,
    /// How many causes of each event are not in order yet.
    waits_for: Vec<usize>,
    next: BinaryHeap<Reverse<(Duration, usize)>>,
    order: Vec<usize>,
    /// Where each event is in the order.
    place: Vec<Option<usize>>,
    /// The event that is looked at next for a circle: all before it are in order.
    first: usize,
}

impl Sorting {
    fn new(events: Vec<Traced>) -> Sorting {
        let mut effects = vec![Vec::new(); events.len()];
        let mut waits_for = vec![0; events.len()];
        for (index, traced) in events.iter().enumerate() {
            for cause in traced.previous.into_iter().chain(traced.cause) {
                effects[cause].push(index);
                waits_for[index] += 1;
            }
        }
        let mut sorting = Sorting {
            order: Vec::with_capacity(events.len()),
            place: vec![None; events.len()],
            next: BinaryHeap::new(),
            events,
            effects,
            waits_for,
            first: 0,
        };
        for index in 0..sorting.events.len() {
            sorting.free(index);
        }
        sorting
    }

    /// The event may come next, if all its causes are in order.
    fn free(&mut self, index: usize) {
        if self.waits_for[index] == 0 {
            self.next
                .push(Reverse((self.events[index].event.wall, index)));
        }
    }

    fn take_free(&mut self) {
        while let Some(Reverse((_, index))) = self.next.pop() {
            self.place[index] = Some(self.order.len());
            self.order.push(index);
            for effect in std::mem::take(&mut self.effects[index]) {
                self.waits_for[effect] -= 1;
                self.free(effect);
            }
        }
    }

    /// Events that wait for each other, each followed by one that waits for it.
    fn circle(&mut self) -> Vec<usize> {
        while self.place[self.first].is_some() {
            self.first += 1;
        }
        let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
        let mut path = Vec::new();
        let mut at = self.first;
        // Every event that is left waits for one that is left.
        while let std::collections::btree_map::Entry::Vacant(new) = seen.entry(at) {
            new.insert(path.len());
            path.push(at);
            let traced = &self.events[at];
            let mut causes = traced.cause.into_iter().chain(traced.previous);
            at = causes
                .find(|cause| self.place[*cause].is_none())
                .expect("an event that is left waits for another");
        }
        let mut circle = path.split_off(seen[&at]);
        circle.reverse();
        circle
    }

    /// The event does not follow one of another host any more, if that is not in order yet.
    fn cut(&mut self, index: usize) {
        let Some(cause) = self.events[index].cause else {
            return;
        };
        if self.place[cause].is_none() {
            self.events[index].cause = None;
            let effects = &mut self.effects[cause];
            // It may be there twice, if the event before it at its host is its cause, too.
            if let Some(at) = effects.iter().position(|effect| *effect == index) {
                effects.swap_remove(at);
            }
            self.waits_for[index] -= 1;
            self.free(index);
        }
    }

    fn done(self, circles: Vec<Vec<usize>>) -> (Vec<Traced>, Vec<Vec<usize>>) {
        let Sorting {
            events,
            order,
            place,
            ..
        } = self;
        let place = |index: usize| place[index].expect("all are in order");
        let mut events: Vec<_> = events.into_iter().map(Some).collect();
        let moved = order.iter().map(|index| {
            let mut traced = events[*index].take().expect("each is taken once");
            traced.previous = traced.previous.map(place);
            traced.cause = traced.cause.map(place);
            traced
        });
        let moved = moved.collect();
        let circles = circles.into_iter();
        let circles = circles.map(|circle| circle.into_iter().map(place).collect());
        (moved, circles.collect())
    }
}
