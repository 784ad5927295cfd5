//! Key manifests, each kept once: nearly every step refers to the same one.

use std::sync::{Mutex, MutexGuard, PoisonError};

use assay_primitives::Digest;
use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnection;

use super::SqliteStore;
use super::writer::Extent;
use crate::StoreError;

const KEEP: &str =
    "INSERT INTO key_manifests (digest, envelope) VALUES (?, ?) ON CONFLICT DO NOTHING";

/// The manifest that is known to be on the disk: none is ever taken out again.
#[derive(Debug, Default)]
pub(super) struct KeptManifest(Mutex<Option<Digest>>);

impl KeptManifest {
    fn digest(&self) -> MutexGuard<'_, Option<Digest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SqliteStore {
    /// Runs a step of one statement that refers to a key manifest, which is kept before it unless it is known
    /// to be.
    pub(super) async fn write_under<I, T>(
        &self,
        envelope: Vec<u8>,
        input: I,
        step: impl for<'c> Fn(
            &'c mut SqliteConnection,
            &'c I,
            Digest,
        ) -> BoxFuture<'c, Result<T, StoreError>>
        + Copy
        + Send
        + Sync
        + 'static,
    ) -> Result<T, StoreError>
    where
        I: Send + Sync + 'static,
        T: Send + Sync + 'static,
    {
        let manifest = Digest::of(&envelope);
        let missing = (*self.kept_manifest.digest() != Some(manifest)).then_some(envelope);
        let extent = match missing {
            Some(_) => Extent::Transaction,
            None => Extent::Statement,
        };
        let done = self
            .write(extent, (input, missing), move |writer, (input, missing)| {
                Box::pin(async move {
                    if let Some(envelope) = missing {
                        keep(writer, manifest, envelope).await?;
                    }
                    step(writer, input, manifest).await
                })
            })
            .await?;
        // Only now is it on the disk: what fails takes the manifest back with it.
        *self.kept_manifest.digest() = Some(manifest);
        Ok(done)
    }
}

async fn keep(
    writer: &mut SqliteConnection,
    manifest: Digest,
    envelope: &[u8],
) -> Result<(), StoreError> {
    let kept = sqlx::query(KEEP).bind(manifest.as_bytes().as_slice()).bind(envelope);
    kept.execute(writer).await?;
    Ok(())
}
