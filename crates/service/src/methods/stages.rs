use std::fmt;
use std::sync::Arc;

/// Is told the stage that a run or its certification is at. By default nobody is.
#[derive(Clone, Default)]
pub struct Stages(Option<Arc<dyn Fn(&'static str) + Send + Sync>>);

impl Stages {
    /// Tells `listener`.
    #[must_use]
    pub fn to(listener: impl Fn(&'static str) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    /// Says which stage begins, in one word.
    pub fn tell(&self, stage: &'static str) {
        if let Some(listener) = &self.0 {
            listener(stage);
        }
    }
}

impl fmt::Debug for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stages")
    }
}
