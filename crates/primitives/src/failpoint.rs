//! Places where a test ends the process: before and after each step that changes what is stored or
//! what is on the chain.

use std::sync::OnceLock;

static ARMED: OnceLock<String> = OnceLock::new();

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

/// Lets the process end at the failpoint of this name. The first name that is given stays.
pub fn arm_failpoint(name: String) {
    let _ = ARMED.set(name);
}

/// Ends the process without any clean-up, as a loss of power does, if this failpoint is armed.
#[doc(hidden)]
pub fn pass_failpoint(name: &str) {
    if ARMED.get().is_some_and(|armed| armed == name) {
        std::process::abort();
    }
}
