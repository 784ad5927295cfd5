use std::borrow::Cow;

use assay_receipt::{Envelope, KeyManifest};

use crate::{Check, Refusal, Verified, open_manifest};

/// The key manifests that a verifier knows already: the newest of each operator.
#[derive(Debug)]
pub(crate) struct KnownManifests(Vec<(Envelope, Verified<KeyManifest>)>);

impl KnownManifests {
    pub(crate) const fn none() -> Self {
        Self(Vec::new())
    }

    /// Remembers a manifest, in place of an older one of its operator.
    pub(crate) fn remember(&mut self, envelope: Envelope) -> Result<(), Refusal> {
        let manifest = open_manifest(&envelope)?;
        let operator = manifest.content().operator;
        let known = self.0.iter_mut().find(|(_, known)| known.content().operator == operator);
        match known {
            Some(known) => {
                if is_newer(&manifest, &known.1)? {
                    *known = (envelope, manifest);
                }
            }
            None => self.0.push((envelope, manifest)),
        }
        Ok(())
    }

    /// Returns the manifest to verify a bundle under: the one it carries, or a newer one that is
    /// known, in which a key may have been revoked since.
    pub(crate) fn resolve(
        &self,
        envelope: &Envelope,
    ) -> Result<Cow<'_, Verified<KeyManifest>>, Refusal> {
        if let Some((_, known)) = self.0.iter().find(|(known, _)| known == envelope) {
            return Ok(Cow::Borrowed(known));
        }
        let carried = open_manifest(envelope)?;
        let operator = carried.content().operator;
        match self.0.iter().find(|(_, known)| known.content().operator == operator) {
            Some((_, known)) if !is_newer(&carried, known)? => Ok(Cow::Borrowed(known)),
            _ => Ok(Cow::Owned(carried)),
        }
    }
}

/// Says whether `manifest` is newer than `known`; whichever is has to contain what the other says.
fn is_newer(manifest: &KeyManifest, known: &KeyManifest) -> Result<bool, Refusal> {
    let is_newer = manifest.content().version > known.content().version;
    let (newer, older) = if is_newer { (manifest, known) } else { (known, manifest) };
    newer.check_follows(older).map_err(|error| {
        let expected = format!("one history with version {}", known.content().version);
        Refusal::new(Check::ManifestHistory, expected, error)
    })?;
    Ok(is_newer)
}
