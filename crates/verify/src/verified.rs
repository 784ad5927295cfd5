use std::ops::Deref;

/// A `T` whose checks were made: by this crate, because nothing else can construct it.
///
/// What settles, logs or shows something as verified takes only this.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// Vouches for a value. Call it where the checks are made, and nowhere else.
    pub(crate) const fn assertion(value: T) -> Self {
        Self(value)
    }

    /// Returns the value, without the proof that it was checked.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
