//! Whose turn it is on a processor that a prover wants as well.

/// The niceness of the prover's threads: what else runs gets nearly all of a processor that it wants, and a
/// prover that is alone gets it as before.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 19;

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

/// Makes this thread a nice one. On Linux, where it is a thread's; elsewhere it would be the process's.
fn calm_thread() {
    #[cfg(target_os = "linux")]
    {
        let thread = rustix::thread::gettid();
        if let Err(error) = rustix::process::setpriority_process(Some(thread), NICENESS) {
            tracing::debug!(%error, "A thread of the prover is not nice.");
        }
    }
}
