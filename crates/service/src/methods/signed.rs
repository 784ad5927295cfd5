use assay_primitives::Method;
use async_trait::async_trait;

use super::turns::Turns;
use super::{Certified, Certifier, CertifierError, Inference};

/// How many jobs are in hand for each that runs.
const IN_HAND_FOR_EACH: usize = 32;

/// The `signed` method: the engine runs the model, and the receipt's signature is all the evidence.
#[derive(Debug)]
pub struct Signed {
    turns: Turns,
}

impl Signed {
    /// Makes the certifier, running at most `parallel` inferences at a time.
    #[must_use]
    pub fn new(parallel: usize) -> Self {
        Self { turns: Turns::new(parallel) }
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
        self.turns.parallel().saturating_mul(IN_HAND_FOR_EACH)
    }

    async fn certify(&self, inference: &Inference) -> Result<Certified, CertifierError> {
        let Inference { entry, request, stages, .. } = inference.clone();
        let output = self.turns.take(move || {
            stages.begin()?;
            entry.loaded().run(&request).map_err(CertifierError::from)
        });
        let output = output.await.map_err(|_| CertifierError::Interrupted)??;
        let model = inference.entry.used().clone();
        Ok(Certified { output, model, evidence: Vec::new() })
    }
}
