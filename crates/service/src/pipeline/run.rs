//! Running the items of a transaction: each as soon as what it refers to is there.
//!
//! Every item is a future, and so is every batch. An item waits for the outputs that its input refers
//! to, and gives its own. What is certified alone is certified by its future; of what is certified in
//! batches the future only runs the model, if others wait for its output, and the batch certifies it when
//! the last of its items has its input. The first that fails ends all.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use assay_primitives::{InferenceOutput, InferenceRequest, Method, ModelId, failpoint};
use assay_receipt::commit_output;
use futures_util::future::{try_join, try_join_all};
use tokio::sync::SetOnce;

use super::error::PurchaseError;
use super::steps::Work;
use crate::jobs::ItemState;
use crate::methods::Batching;
use crate::plan::Item;
use crate::{Certified, Certifier, CertifierError, Inference, Service, Stages};

/// An item that ran and is certified.
pub(super) struct Ran {
    pub(super) request: Arc<InferenceRequest>,
    pub(super) certified: Certified,
    /// The output's bytes.
    pub(super) output: Vec<u8>,
}

/// What is known of an item while the transaction runs.
#[derive(Default)]
struct Cell {
    /// Whether another item's input refers to its output.
    is_awaited: bool,
    /// Once its input is known.
    inference: SetOnce<(Inference, Duration)>,
    output: SetOnce<Arc<InferenceOutput>>,
    ran: SetOnce<Ran>,
}

struct Run<'a> {
    service: &'a Service,
    work: &'a Work,
    cells: Vec<Cell>,
}

/// Runs and certifies the items of a job.
pub(super) async fn run(service: &Service, work: &Work) -> Result<Vec<Ran>, PurchaseError> {
    let mut cells: Vec<Cell> = work.items.iter().map(|_| Cell::default()).collect();
    for reference in work.items.iter().flat_map(|item| &item.references) {
        if let Some(cell) = cells.get_mut(reference.item as usize) {
            cell.is_awaited = true;
        }
    }
    let run = Run { service, work, cells };
    let items = (0..work.items.len()).map(|index| run.item(index));
    let batches = run.batches()?;
    let batches = batches.into_values().map(|members| run.batch(members));
    let joined = try_join(try_join_all(items), try_join_all(batches)).await;
    joined.map_err(|error| of_hidden(work, error))?;
    let ran = run.cells.into_iter().map(|cell| cell.ran.into_inner());
    ran.collect::<Option<_>>().ok_or(PurchaseError::Interrupted)
}

/// Says of a failure only that there was one, where inputs were built of outputs: nobody has paid for these,
/// and why or where an item failed may tell them.
fn of_hidden(work: &Work, error: PurchaseError) -> PurchaseError {
    let is_of_item = matches!(
        error.cause(),
        PurchaseError::Request { .. }
            | PurchaseError::Certifier(CertifierError::Engine(_) | CertifierError::Method { .. })
    );
    if !is_of_item || !work.items.iter().any(Item::refers) {
        return error;
    }
    tracing::warn!(%error, "An item of a transaction with references failed.");
    PurchaseError::Hidden
}

impl Run<'_> {
    fn at(&self, index: usize) -> Result<(&Item, &Cell), PurchaseError> {
        let (item, cell) = (self.work.items.get(index), self.cells.get(index));
        item.zip(cell).ok_or(PurchaseError::Interrupted)
    }

    fn certifier(&self, method: &Method) -> Result<&dyn Certifier, PurchaseError> {
        let certifier = self.service.parts().certifiers.find(method);
        certifier.ok_or_else(|| PurchaseError::NoCertifier(method.to_string()))
    }

    /// Returns the items that are certified together: those of one model by one method.
    fn batches(&self) -> Result<BTreeMap<(Method, ModelId), Vec<usize>>, PurchaseError> {
        let mut batches: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, item) in self.work.items.iter().enumerate() {
            if self.certifier(&item.method)?.batching().is_some() {
                let model = item.entry.package().id();
                batches.entry((item.method.clone(), model)).or_default().push(index);
            }
        }
        Ok(batches)
    }

    async fn item(&self, index: usize) -> Result<(), PurchaseError> {
        let (item, cell) = self.at(index)?;
        let certifier = self.certifier(&item.method)?;
        let request = self.request(item).await?;
        let mut began = self.work.started;
        if item.refers() {
            began = self.service.parts().clock.monotonic();
            let checked = certifier.check(item.entry.package(), &request);
            checked.map_err(|reason| {
                let method = item.method.clone();
                item.failed(PurchaseError::Request { method, reason })
            })?;
        }
        let inference = self.inference(index, item, request)?;
        self.note(index, ItemState::Running(None));
        if let Some(batching) = certifier.batching() {
            let _ = cell.inference.set((inference.clone(), began));
            return self.run_for_others(item, cell, batching, &inference).await;
        }
        let certified = certifier.certify(&inference).await;
        let certified = certified.map_err(|error| item.failed(error.into()))?;
        self.end(index, &inference, began, certified)
    }

    async fn run_for_others(
        &self,
        item: &Item,
        cell: &Cell,
        batching: &dyn Batching,
        inference: &Inference,
    ) -> Result<(), PurchaseError> {
        if cell.is_awaited {
            let output = batching.run(inference).await;
            let output = output.map_err(|error| item.failed(error.into()))?;
            let _ = cell.output.set(Arc::new(output));
        }
        Ok(())
    }

    async fn batch(&self, members: Vec<usize>) -> Result<(), PurchaseError> {
        let Some(first) = members.first() else { return Ok(()) };
        let is_alone = members.len() == 1;
        let (first, _) = self.at(*first)?;
        let Some(batching) = self.certifier(&first.method)?.batching() else { return Ok(()) };
        let mut inferences = Vec::with_capacity(members.len());
        for member in &members {
            let (_, cell) = self.at(*member)?;
            inferences.push(cell.inference.wait().await.clone());
        }
        let asked = inferences.iter().map(|(inference, _)| inference.clone()).collect();
        let certified = batching.certify_all(asked).await;
        let certified = certified.map_err(|error| match is_alone {
            true => first.failed(error.into()),
            // Nobody knows which of them it was.
            false => error.into(),
        })?;
        for ((member, (inference, began)), certified) in
            members.into_iter().zip(&inferences).zip(certified)
        {
            self.end(member, inference, *began, certified)?;
        }
        Ok(())
    }

    /// Keeps what an item gave, for the receipt and for who refers to it.
    fn end(
        &self,
        index: usize,
        inference: &Inference,
        began: Duration,
        certified: Certified,
    ) -> Result<(), PurchaseError> {
        let (item, cell) = self.at(index)?;
        let output = Arc::new(certified.output.clone());
        if cell.output.set(Arc::clone(&output)).is_err() && cell.output.get() != Some(&output) {
            let reason = "two runs of one request gave two outputs".to_owned();
            let method = item.method.clone();
            return Err(item.failed(CertifierError::Method { method, reason }.into()));
        }
        let took = self.service.parts().clock.monotonic().saturating_sub(began);
        if let Some(latency) = item.entry.latency(&item.method) {
            // What it shared with others of its method it took its part of.
            let alike = self.work.items.iter().filter(|other| other.method == item.method).count();
            latency.record(took / u32::try_from(alike.max(1)).unwrap_or(u32::MAX));
        }
        let output = output.to_bytes();
        let output = output.map_err(|error| PurchaseError::Receipt(error.to_string()))?;
        if item.id.is_some() {
            let [_, salt] = &inference.salts;
            let output_commitment = commit_output(salt, &output);
            self.note(index, ItemState::Certified { took, output_commitment });
        }
        failpoint!("service.item.after");
        let request = Arc::clone(&inference.request);
        let _ = cell.ran.set(Ran { request, certified, output });
        Ok(())
    }

    /// Waits for what an item's input refers to, and fills it in.
    async fn request(&self, item: &Item) -> Result<Arc<InferenceRequest>, PurchaseError> {
        if !item.refers() {
            return Ok(Arc::clone(&item.request));
        }
        let mut request = item.request.as_ref().clone();
        for reference in &item.references {
            let (_, source) = self.at(reference.item as usize)?;
            let data = reference.pointer.read(source.output.wait().await);
            let is_put = data.is_some_and(|data| reference.at.write(&mut request, &data));
            if !is_put {
                let reason = format!("{}: not as its card says", reference.pointer);
                let method = item.method.clone();
                return Err(item.failed(CertifierError::Method { method, reason }.into()));
            }
        }
        Ok(Arc::new(request))
    }

    fn inference(
        &self,
        index: usize,
        item: &Item,
        request: Arc<InferenceRequest>,
    ) -> Result<Inference, PurchaseError> {
        let place = u32::try_from(index).map_err(|_| PurchaseError::Interrupted)?;
        let secret = &self.work.secret;
        let salts = [secret.request_salt(place), secret.output_salt(place)];
        let (jobs, id) = (Arc::clone(&self.service.jobs), self.work.lease.id);
        let tell = move |stage| jobs.note(id, index, ItemState::Running(Some(stage)));
        let stages = if item.refers() { Stages::default() } else { Stages::to(tell) };
        Ok(Inference { entry: item.entry.clone(), request, salts, stages })
    }

    /// Says how far an item is, unless its input is built of outputs: they are not paid for yet.
    fn note(&self, index: usize, state: ItemState) {
        if self.at(index).is_ok_and(|(item, _)| !item.refers()) {
            self.service.jobs.note(self.work.lease.id, index, state);
        }
    }
}

impl Item {
    /// Says in which item of several it was.
    pub(super) fn failed(&self, error: PurchaseError) -> PurchaseError {
        match &self.id {
            Some(id) => PurchaseError::Item { item: id.clone(), error: Box::new(error) },
            None => error,
        }
    }
}
