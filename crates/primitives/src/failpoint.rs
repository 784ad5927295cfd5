//! Places where a test ends the process: before and after each step that changes what is stored or
//! what is on the chain.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

static ARMED: OnceLock<Armed> = OnceLock::new();

struct Armed {
    name: String,
    /// How often it is passed before it is the end.
    left: AtomicUsize,
}

/// Marks a place where a test may end the process. The name is `crate.step.before` or `.after`, and
/// stands nowhere else.
///
/// Does nothing unless it is [armed](arm_failpoint); in a build without debug assertions it is not
/// there.
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        if cfg!(debug_assertions) {
            $crate::pass_failpoint($name);
        }
    };
}

/// Lets the process end at the failpoint of this name, or with `name:N` when it is passed for the `N`th
/// time. The first that is given stays.
pub fn arm_failpoint(text: &str) {
    let counted = text.split_once(':').and_then(|(name, pass)| Some((name, pass.parse().ok()?)));
    let (name, pass): (&str, usize) = counted.unwrap_or((text, 1));
    let left = AtomicUsize::new(pass.saturating_sub(1));
    let _ = ARMED.set(Armed { name: name.to_owned(), left });
}

/// Ends the process without any clean-up, as a loss of power does, if this failpoint is armed.
#[doc(hidden)]
pub fn pass_failpoint(name: &str) {
    let Some(armed) = ARMED.get().filter(|armed| armed.name == name) else { return };
    let fewer = |left: usize| left.checked_sub(1);
    if armed.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer).is_err() {
        std::process::abort();
    }
}
