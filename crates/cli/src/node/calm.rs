//! Whose turn it is on a processor that a prover wants as well.

/// Has what runs beside the prover come first: a proof takes every core for as long as it is made, and an
/// inference without one a moment. To be called before the first thread of the pool is started.
pub(super) fn calm_prover() {
    let pool = rayon::ThreadPoolBuilder::new()
        .thread_name(|index| format!("prover-{index}"))
        .start_handler(|_| calm_thread());
    // There is a pool already where a test starts two nodes in one process.
    if let Err(error) = pool.build_global() {
        tracing::debug!(%error, "The prover's threads are as they were started.");
    }
}

/// Makes this thread one that only gets what no other wants of a processor: Linux's `SCHED_IDLE`. The lowest
/// niceness is not enough. A thread that has it keeps the processor until the next tick when another wakes up, which
/// is up to 4 ms each time that an answer changes hands, while an idle one makes way at once. It is what is left
/// where the policy is refused.
fn calm_thread() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::{
            NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
            set_thread_priority_and_policy, thread_native_id,
        };
        let set = |policy| {
            let policy = ThreadSchedulePolicy::Normal(policy);
            set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy)
        };
        if let Err(error) = set(NormalThreadSchedulePolicy::Idle) {
            let is_nice = set(NormalThreadSchedulePolicy::Other).is_ok();
            tracing::warn!(?error, is_nice, "A thread of the prover may hold up others.");
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_thread_of_the_prover_is_idle_to_the_scheduler() {
        let stat = std::thread::spawn(|| {
            calm_thread();
            fs::read_to_string("/proc/thread-self/stat").unwrap()
        });
        let stat = stat.join().unwrap();
        // proc_pid_stat(5): `policy` is the 41st field; the second may hold spaces and ends with a bracket.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        assert_eq!(fields.split(' ').nth(41 - 3), Some("5"), "SCHED_IDLE: {stat}");
    }
}
