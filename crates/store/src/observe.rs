use std::fmt::Debug;
use std::time::Duration;

/// Is told how long the steps of a store take.
pub trait StepObserver: Debug + Send + Sync {
    /// A step is done, or was given up; it took so long, the wait for its turn included.
    fn stepped(&self, kind: StepKind, took: Duration);
}

/// What a step of a store does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StepKind {
    /// It changes nothing.
    Read,
    /// It changes a transaction.
    Write,
}
