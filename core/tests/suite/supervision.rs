//! Requests to supervisors: who gets them, how often, and what those who asked are told.
//!
//! Owns races and cancellation, in memory. Never has a process: `tests/suite/cli_host.rs` does.

mod put_back;
mod rough;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use virtnet_core::faults::Rule;
use virtnet_core::pipe::PipeNetwork;
use virtnet_core::supervision::{Action, HostState, Reason, Supervisor};
use virtnet_core::{Cause, SubNetwork};

/// A bound that no test waits for.
const LONG: Duration = Duration::from_secs(60);

/// A bound that some tests wait for.
const SHORT: Duration = Duration::from_millis(200);

fn both() -> (PipeNetwork, SubNetwork) {
    let network = PipeNetwork::new("pipet").unwrap();
    let subnet = network.subnetwork();
    (network, subnet)
}

async fn network() -> (PipeNetwork, Supervisor) {
    let (network, subnet) = both();
    let beta = subnet.new_host("β").await.unwrap();
    let supervisor = subnet.supervise(&beta).await.unwrap();
    (network, supervisor)
}

/// Takes the next request, and does it.
async fn serve(supervisor: &mut Supervisor, state: HostState) -> (Action, String) {
    let request = supervisor.next().await.unwrap();
    let what = (request.action(), request.by().to_owned());
    supervisor.done(request, state).await.unwrap();
    what
}

#[tokio::test]
async fn each_action_is_done_and_shown() {
    let (network, mut supervisor) = network().await;
    let asking = network
        .subnetwork()
        .supervision()
        .within(LONG)
        .by("a\ntest");
    for (action, state) in [
        (Action::Pause, HostState::Paused),
        (Action::Resume, HostState::Running),
        (Action::Kill, HostState::Killed),
        (Action::Restart, HostState::Running),
    ] {
        let (asked, done) = tokio::join!(asking.ask(action, "β"), serve(&mut supervisor, state));
        asked.unwrap();
        assert_eq!(done, (action, "a test".to_owned()));
        assert_eq!(asking.hosts().await.unwrap()[0].state, state);
    }
}

#[tokio::test]
async fn a_refusal_has_a_reason() {
    let (network, mut supervisor) = network().await;
    let asking = network.subnetwork().supervision().within(LONG);
    let refusing = async {
        let request = supervisor.next().await.unwrap();
        let state = HostState::Killed;
        supervisor.refuse(request, state, "it was\nkilled").await
    };
    let (asked, refused) = tokio::join!(asking.resume("β"), refusing);
    refused.unwrap();
    let err = asked.unwrap_err();
    assert_eq!(err.to_string(), "host resume β: it was killed");
    assert!(matches!(err.reason(), Reason::Refused(why) if why == "it was killed"));
    let err = asking.kill("γ").await.unwrap_err();
    assert_eq!(err.to_string(), "host kill γ: no such host");
    let err = asking.kill("").await.unwrap_err();
    assert_eq!(err.cause(), Cause::InvalidAddr);
    let subnet = network.subnetwork();
    let _gamma = subnet.new_host("γ").await.unwrap();
    let err = asking.kill("γ").await.unwrap_err();
    let text = "host kill γ: not supervised: expected a host of \"virtnet run\"";
    assert_eq!(err.to_string(), text);
}

/// The registry still has the request, so that only its withdrawal tells.
#[tokio::test]
async fn what_was_withdrawn_is_not_done() {
    let [here, there] = rough::subnetworks();
    let beta = there.new_host("β").await.unwrap();
    let mut supervisor = there.supervise(&beta).await.unwrap();
    let asking = here.supervision();
    let err = asking.clone().within(SHORT).kill("β").await.unwrap_err();
    let text = "host kill β: its supervisor did not answer within 200ms; nothing was done";
    assert_eq!(
        (err.cause(), err.to_string()),
        (Cause::TimedOut, text.to_owned())
    );
    // The next one is the first that it gets.
    let pause = asking.within(LONG);
    let (asked, done) = tokio::join!(pause.pause("β"), serve(&mut supervisor, HostState::Paused));
    asked.unwrap();
    assert_eq!(done.0, Action::Pause);
}

#[tokio::test]
async fn what_was_begun_is_not_said_to_be_undone() {
    let (network, mut supervisor) = network().await;
    let asking = network.subnetwork().supervision().within(SHORT);
    let (asked, taken) = tokio::join!(asking.kill("β"), supervisor.next());
    let text = "host kill β: its supervisor has begun, but has not finished within 200ms";
    assert_eq!(asked.unwrap_err().to_string(), text);
    // Nobody waits for the answer any more.
    supervisor
        .done(taken.unwrap(), HostState::Killed)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_request_survives_a_wait_that_is_dropped_at_every_poll() {
    let (network, mut supervisor) = network().await;
    let asking = network.subnetwork().supervision().within(LONG);
    let mut asked = pin!(asking.kill("β"));
    let mut polls = 0;
    let request = loop {
        // One poll more each time, so that it is dropped at each of its awaits.
        polls += 1;
        assert!(asked.as_mut().poll(&mut noop()).is_pending());
        let mut next = pin!(supervisor.next());
        let mut polled = (0..polls).map(|_| next.as_mut().poll(&mut noop()));
        if let Some(Poll::Ready(request)) = polled.find(Poll::is_ready) {
            break request.unwrap();
        }
        tokio::task::yield_now().await;
        assert!(polls < 1000, "it is never handed out");
    };
    supervisor.done(request, HostState::Killed).await.unwrap();
    asked.await.unwrap();
}

fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

#[tokio::test]
async fn of_two_supervisors_that_see_a_request_one_gets_it() {
    let [here, there] = rough::subnetworks();
    let beta = there.new_host("β").await.unwrap();
    let mut one = there.supervise(&beta).await.unwrap();
    let mut other = there.supervise(&beta).await.unwrap();
    let asking = here.supervision().within(LONG);
    for _ in 0..10 {
        let serving = async {
            let (first, request) = tokio::select! {
                request = one.next() => (true, request.unwrap()),
                request = other.next() => (false, request.unwrap()),
            };
            let supervisor = if first { &mut one } else { &mut other };
            supervisor.done(request, HostState::Running).await.unwrap();
        };
        let (asked, ()) = tokio::join!(asking.resume("β"), serving);
        asked.unwrap();
    }
    for supervisor in [&mut one, &mut other] {
        let left = tokio::time::timeout(SHORT, supervisor.next()).await;
        assert!(left.is_err(), "a request was handed out twice");
    }
}

#[tokio::test]
async fn a_killed_host_is_not_asked_if_another_has_its_name() {
    let (network, subnet) = both();
    let beta = subnet.new_host("β").await.unwrap();
    let mut killed = subnet.supervise(&beta).await.unwrap();
    let asking = network.subnetwork().supervision().within(LONG);
    let (asked, _) = tokio::join!(asking.kill("β"), serve(&mut killed, HostState::Killed));
    asked.unwrap();
    let mut other = subnet.supervise(&beta).await.unwrap();
    let served = async {
        tokio::select! {
            biased;
            request = killed.next() => panic!("{request:?}"),
            done = serve(&mut other, HostState::Paused) => done,
        }
    };
    let (asked, done) = tokio::join!(asking.pause("β"), served);
    asked.unwrap();
    assert_eq!(done.0, Action::Pause);
}

#[tokio::test]
async fn the_end_refuses_what_nobody_took() {
    let (network, supervisor) = network().await;
    let asking = network.subnetwork().supervision().within(LONG);
    let mut asked = pin!(asking.kill("β"));
    assert!(asked.as_mut().poll(&mut noop()).is_pending());
    while asked.as_mut().poll(&mut noop()).is_pending() {
        if asking.hosts().await.unwrap().len() == 1 {
            break;
        }
    }
    supervisor.end().await.unwrap();
    let err = asked.await.unwrap_err();
    assert_eq!(err.to_string(), "host kill β: its supervisor has ended");
    assert_eq!(asking.hosts().await.unwrap(), []);
}

/// What the plan of faults says, its supervisor does before it is acknowledged.
#[tokio::test]
async fn a_plan_pauses_and_kills_until_it_is_healed() {
    let (network, mut supervisor) = network().await;
    let setting = network.subnetwork();
    let faults = setting.faults();
    let does = async |supervisor: &mut Supervisor, action, state| {
        let (what, by) = serve(supervisor, state).await;
        assert_eq!((what, &*by), (action, "the plan of faults"));
    };
    for (rule, action, state, back) in [
        (
            Rule::pause("β"),
            Action::Pause,
            HostState::Paused,
            Action::Resume,
        ),
        (
            Rule::kill("β*"),
            Action::Kill,
            HostState::Killed,
            Action::Restart,
        ),
    ] {
        // Not before it is done.
        let mut applied = pin!(faults.apply(rule));
        let early = tokio::time::timeout(SHORT, applied.as_mut()).await;
        assert!(early.is_err(), "acknowledged before it was done");
        let (guard, ()) = tokio::join!(applied, does(&mut supervisor, action, state));
        let running = HostState::Running;
        let (healed, ()) =
            tokio::join!(guard.unwrap().heal(), does(&mut supervisor, back, running));
        assert_eq!(healed.unwrap().unmatched, []);
    }
    // From one to the other, and to both: killed is more than paused.
    let pause = async { faults.apply(Rule::pause("β")).await.unwrap() };
    let (paused, ()) = tokio::join!(
        pause,
        does(&mut supervisor, Action::Pause, HostState::Paused)
    );
    let kill = async { faults.apply(Rule::kill("β")).await.unwrap() };
    let (killed, ()) = tokio::join!(kill, does(&mut supervisor, Action::Kill, HostState::Killed));
    let restarts = async {
        does(&mut supervisor, Action::Restart, HostState::Running).await;
        does(&mut supervisor, Action::Pause, HostState::Paused).await;
    };
    let (healed, ()) = tokio::join!(killed.heal(), restarts);
    healed.unwrap();
    drop(paused);
    does(&mut supervisor, Action::Resume, HostState::Running).await;
}

#[tokio::test]
async fn a_plan_that_no_supervisor_can_do_is_refused() {
    let (network, mut supervisor) = network().await;
    let subnet = network.subnetwork();
    let _gamma = subnet.new_host("γ").await.unwrap();
    let faults = network.subnetwork().faults();
    let err = faults.apply(Rule::pause("γ")).await.unwrap_err();
    let text = "faults: the plan cannot be enforced by the subnetwork of \"γ\": \"pause γ\": γ is not \
                supervised";
    assert_eq!(err.to_string(), text);
    let refusing = async {
        let request = supervisor.next().await.unwrap();
        let state = HostState::Running;
        supervisor.refuse(request, state, "it will not").await
    };
    let (applied, refused) = tokio::join!(faults.apply(Rule::pause("β")), refusing);
    refused.unwrap();
    let text =
        "faults: the plan cannot be enforced by the subnetwork of \"β\": \"pause β\": it will not";
    assert_eq!(applied.unwrap_err().to_string(), text);
    assert!(faults.status().await.unwrap().rules.is_empty());
}
