use std::fmt;
use std::sync::Arc;

use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;

use super::CertifierError;

/// Is told how far a run and its certification are.
#[derive(Clone, Default)]
pub struct Stages {
    listener: Option<Arc<dyn Fn(&'static str) + Send + Sync>>,
    begun: Arc<SetOnce<()>>,
    cancel: CancellationToken,
}

impl Stages {
    /// Tells `listener` each stage, too.
    #[must_use]
    pub fn to(listener: impl Fn(&'static str) + Send + Sync + 'static) -> Self {
        Self { listener: Some(Arc::new(listener)), ..Self::default() }
    }

    /// Has no turn come once this is cancelled.
    pub(crate) fn until(self, cancel: CancellationToken) -> Self {
        Self { cancel, ..self }
    }

    /// Begins anew: what had begun came to nothing.
    pub(crate) fn anew(&self) -> Self {
        Self { begun: Arc::default(), ..self.clone() }
    }

    /// Says that its turn has come: from now on its time runs, and its buyer pays for what he ends.
    /// Each certifier says so when it holds what it needs.
    ///
    /// # Errors
    /// [`CertifierError::Cancelled`] when its buyer has cancelled it by then.
    pub fn begin(&self) -> Result<(), CertifierError> {
        if self.cancel.is_cancelled() {
            return Err(CertifierError::Cancelled);
        }
        let _ = self.begun.set(());
        Ok(())
    }

    /// Says whether its turn has come.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.get().is_some()
    }

    /// Waits until its turn has come.
    pub async fn begun(&self) {
        self.begun.wait().await;
    }

    /// Says which stage begins, in one word.
    pub fn tell(&self, stage: &'static str) {
        if let Some(listener) = &self.listener {
            listener(stage);
        }
    }
}

impl fmt::Debug for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stages").field("has_begun", &self.has_begun()).finish_non_exhaustive()
    }
}
