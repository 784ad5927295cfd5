use std::sync::Arc;

use assay_primitives::Method;
use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::{Certified, Certifier, CertifierError, Inference};

/// How many jobs are in hand for each that runs.
const IN_HAND_FOR_EACH: usize = 32;

/// The `signed` method: the engine runs the model, and the receipt's signature is all the evidence.
#[derive(Debug)]
pub struct Signed {
    parallel: usize,
    permits: Arc<Semaphore>,
}

impl Signed {
    /// Makes the certifier, running at most `parallel` inferences at a time.
    #[must_use]
    pub fn new(parallel: usize) -> Self {
        let parallel = parallel.max(1);
        Self { parallel, permits: Arc::new(Semaphore::new(parallel)) }
    }
}

#[async_trait]
impl Certifier for Signed {
    fn method(&self) -> Method {
        Method::SIGNED
    }

    fn believe(&self) -> &'static str {
        "the operator"
    }

    /// A run takes less time than a step of the store: many are in hand for one that runs.
    fn slots(&self) -> usize {
        self.parallel.saturating_mul(IN_HAND_FOR_EACH)
    }

    async fn certify(&self, inference: &Inference) -> Result<Certified, CertifierError> {
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| CertifierError::Interrupted)?;
        inference.stages.begin();
        let Inference { entry, request, .. } = inference;
        let (model, request) = (entry.loaded().clone(), request.clone());
        let output = spawn_blocking(move || {
            let output = model.run(&request);
            drop(permit);
            output
        })
        .await
        .map_err(|_| CertifierError::Interrupted)??;
        Ok(Certified { output, model: entry.used().clone(), evidence: Vec::new() })
    }
}
