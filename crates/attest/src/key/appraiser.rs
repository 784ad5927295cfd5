use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use assay_primitives::{Digest, Timestamp};

use super::{AttestedKey, KeyAttestation};
use crate::evidence::Context;
use crate::refusal::Checks;
use crate::{Claims, Policy, Refusal, Roots};

/// How many attestations are remembered.
pub(super) const MAX_KNOWN: usize = 256;

/// Appraises key attestations under one policy, and remembers the signatures that it found good: an
/// attestation certifies all that is signed in its epoch.
#[derive(Debug)]
pub struct KeyAppraiser {
    roots: Roots,
    policy: Policy,
    known: Mutex<HashMap<Digest, Arc<Known>>>,
}

/// An attestation whose signatures held at a time.
#[derive(Debug)]
struct Known {
    attestation: KeyAttestation,
    claims: Vec<Claims>,
}

impl KeyAppraiser {
    /// Makes an appraiser.
    #[must_use]
    pub fn new(roots: Roots, policy: Policy) -> Self {
        Self { roots, policy, known: Mutex::default() }
    }

    /// Returns whom evidence may end at.
    #[must_use]
    pub const fn roots(&self) -> &Roots {
        &self.roots
    }

    /// Returns the policy.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Appraises the file of a key attestation as of a time.
    ///
    /// # Errors
    /// Names the first check that fails.
    pub fn appraise(&self, file: &[u8], now: Timestamp) -> Result<AttestedKey, Refusal> {
        let context =
            Context { now, roots: &self.roots, policy: &self.policy, checks: Checks::default() };
        let digest = Digest::of(file);
        if let Some(known) = self.find(digest, now) {
            return known.attestation.accept(known.claims.clone(), &context);
        }
        let attestation = KeyAttestation::read(file, context.checks)?;
        let claims = attestation.claims(&context)?;
        let key = attestation.accept(claims.clone(), &context)?;
        // Not before it was accepted: else anybody could have public evidence remembered under any
        // number of bindings, each as long as a file may be.
        self.remember(digest, Arc::new(Known { attestation, claims }));
        Ok(key)
    }

    /// Returns how many are remembered.
    #[cfg(all(test, feature = "collect"))]
    pub(super) fn known_count(&self) -> usize {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Finds an attestation whose signatures hold at a time as well.
    fn find(&self, digest: Digest, now: Timestamp) -> Option<Arc<Known>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(&digest)?;
        found.claims.iter().all(|claims| claims.validity.contains(now)).then(|| found.clone())
    }

    fn remember(&self, digest: Digest, found: Arc<Known>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(digest, found);
    }
}
