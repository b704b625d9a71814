//! When faults cost nothing: after healing, and for hosts that no rule is for.
//!
//! Owns these tests. Never looks at what a rule does.

use tokio::time::timeout;

use super::{HANG, World};

/// The task that sends ends when all is healed, and starts again with the next rule.
#[tokio::test]
async fn no_task_is_left_after_healing() {
    let mut world = World::new("delay α -> β 5ms").await;
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    for round in 0..20 {
        world.send(b"late", None);
        assert_eq!(tasks(), 1, "round {round}");
        world.enforce("");
        assert_eq!(world.beta_gets().await, b"late");
        let ended = async {
            while tasks() > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(HANG, ended).await.expect("the task ends");
        world.send(b"at once", None);
        assert_eq!((world.beta_gets().await, tasks()), (b"at once".to_vec(), 0));
        world.enforce("delay α -> β 5ms");
    }
}

/// Rules for other hosts cost a host nothing.
#[tokio::test]
async fn rules_for_others_are_not_asked() {
    let mut world = World::new("delay γ -> * 5ms").await;
    for (plan, is_active) in [
        ("delay γ -> * 5ms", true),
        ("lose γ -> δ 100%\nrefuse α -> β", false),
        ("lose α -> β 100%", true),
    ] {
        world.enforce(plan);
        assert_eq!(world.faults.is_active(), is_active, "{plan}");
    }
}
