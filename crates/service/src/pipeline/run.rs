//! Running the items of a transaction: each as soon as what it refers to is there.
//!
//! Every item is a future, and so is every batch. An item waits for the outputs that its input refers
//! to, and gives its own. What is certified alone is certified by its future; of what is certified in
//! batches the future only runs the model, if others wait for its output, and the batch certifies it when
//! the last of its items has its input. Under `all` the first that fails ends all; under `each` it ends what
//! refers to it and no more.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use assay_primitives::{
    InferenceOutput, InferenceRequest, Method, ModelId, WrittenRequest, failpoint,
};
use assay_receipt::{OutcomePolicy, commit_output};
use futures_util::TryStreamExt as _;
use futures_util::future::try_join;
use futures_util::stream::FuturesUnordered;
use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;

use super::error::PurchaseError;
use super::steps::Work;
use crate::jobs::{ItemFailure, ItemState};
use crate::plan::Item;
use crate::{Certified, Certifier, CertifierError, Inference, Service, Stages};

/// What became of an item.
pub(super) enum Ended {
    /// It ran and is certified.
    Ran(Box<Ran>),
    /// It did not; under `each` the others go on.
    Failed(Failed),
}

/// An item that ran and is certified.
pub(super) struct Ran {
    pub(super) request: Arc<WrittenRequest>,
    pub(super) certified: Certified,
    /// The output's bytes.
    pub(super) output: Vec<u8>,
    /// From when its input was there until it was certified, by the monotonic clock.
    span: Range<Duration>,
}

/// An item that failed.
pub(super) struct Failed {
    /// As it was asked, where its input never was known.
    pub(super) request: Arc<WrittenRequest>,
    pub(super) failure: ItemFailure,
}

/// What is known of an item while the transaction runs.
#[derive(Default)]
struct Cell {
    /// Whether another item's input refers to its output.
    is_awaited: bool,
    /// Once its input is known, or that it never will be.
    inference: SetOnce<Option<(Inference, Duration)>>,
    /// Of its second attempt, alone, after its batch failed.
    alone: SetOnce<Stages>,
    /// Or that there is none.
    output: SetOnce<Option<Arc<InferenceOutput>>>,
    ended: SetOnce<Ended>,
    /// It ran, and so did all that went into its input: what it gave is charged, whatever else fails.
    is_sure: AtomicBool,
}

struct Run<'a> {
    service: &'a Service,
    work: &'a Work,
    /// Under `each`: what is certified by then is charged and released.
    cancel: &'a CancellationToken,
    cells: Vec<Cell>,
}

/// Runs and certifies the items of a job.
pub(super) async fn run(
    service: &Service,
    work: &Work,
    cancel: &CancellationToken,
) -> Result<Vec<Ended>, PurchaseError> {
    let mut cells: Vec<Cell> = work.items.iter().map(|_| Cell::default()).collect();
    for reference in work.items.iter().flat_map(|item| &item.references) {
        if let Some(cell) = cells.get_mut(reference.item as usize) {
            cell.is_awaited = true;
        }
    }
    let run = Run { service, work, cancel, cells };
    let items = (0..work.items.len()).map(|index| run.item(index));
    let batches = run.batches()?;
    let batches = batches.into_values().map(|members| run.batch(members));
    let joined = try_join(all(items), all(batches)).await;
    joined.map_err(|error| of_hidden(work, error))?;
    run.record();
    let ended = run.cells.into_iter().map(|cell| cell.ended.into_inner());
    let mut ended: Vec<Ended> = ended.collect::<Option<_>>().ok_or(PurchaseError::Interrupted)?;
    fail_with_sources(work, &mut ended);
    Ok(ended)
}

/// Waits for all, or the first that fails. Of several only those are polled that have something to do; one alone
/// would be polled once more than that.
async fn all<F>(mut futures: impl ExactSizeIterator<Item = F>) -> Result<(), PurchaseError>
where
    F: Future<Output = Result<(), PurchaseError>>,
{
    if futures.len() > 1 {
        return futures.collect::<FuturesUnordered<F>>().try_for_each(async |()| Ok(())).await;
    }
    match futures.next() {
        Some(future) => future.await,
        None => Ok(()),
    }
}

/// Fails what was built of the output of an item that is not charged, whatever became of it: its input says
/// what nobody pays for, and its buyer did not end it. Where its buyer cancelled the source, what ran on it was
/// cancelled with it.
fn fail_with_sources(work: &Work, ended: &mut [Ended]) {
    for (index, item) in work.items.iter().enumerate() {
        let Some((earlier, [this, ..])) = ended.split_at_mut_checked(index) else { return };
        let sources = item.references.iter().filter_map(|one| earlier.get(one.item as usize));
        let failures = sources.filter_map(|source| match source {
            Ended::Failed(failed) => Some(failed.failure),
            Ended::Ran(_) => None,
        });
        // One that is not charged counts more.
        let Some(of_source) = failures.min_by_key(|failure| failure.is_charged()) else { continue };
        let (request, failure) = match (of_source.is_charged(), &*this) {
            (true, Ended::Failed(_)) => continue,
            (true, Ended::Ran(ran)) => (&ran.request, ItemFailure::Cancelled { has_begun: true }),
            (false, Ended::Failed(Failed { failure: ItemFailure::Cancelled { .. }, .. })) => {
                (&item.request, ItemFailure::Cancelled { has_begun: false })
            }
            (false, _) => (&item.request, ItemFailure::Source),
        };
        *this = Ended::Failed(Failed { request: Arc::clone(request), failure });
    }
}

/// Says of a failure only that there was one, where inputs were built of outputs: nobody has paid for these,
/// and why or where an item failed may tell them.
fn of_hidden(work: &Work, error: PurchaseError) -> PurchaseError {
    let is_of_item = matches!(
        error.cause(),
        PurchaseError::Request { .. }
            | PurchaseError::TimedOut { .. }
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

    /// Returns the items that are certified together: those of one model by one method. One with a timeout is
    /// certified alone, as others would have to wait for nothing of it.
    fn batches(&self) -> Result<BTreeMap<(Method, ModelId), Vec<usize>>, PurchaseError> {
        let mut batches: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (index, item) in self.work.items.iter().enumerate() {
            if item.timeout.is_none() && self.certifier(&item.method)?.batching().is_some() {
                let model = item.entry.package().id();
                batches.entry((item.method.clone(), model)).or_default().push(index);
            }
        }
        Ok(batches)
    }

    /// Runs an item. Under `each` one that fails ends no other.
    async fn item(&self, index: usize) -> Result<(), PurchaseError> {
        let (item, cell) = self.at(index)?;
        let attempt = async {
            let timeout = item.timeout.map(|timeout| timeout.after);
            let Some((inference, began)) = self.begin(index, item, cell).await? else {
                // Where the buyer cancelled the source, he cancelled this.
                return match self.cancel.is_cancelled() {
                    true => self.fail_cancelled(index),
                    false => self.fail(index, ItemFailure::Source),
                };
            };
            let certified = self.certify(item, cell, &inference);
            let certified = match timeout {
                None => certified.await?,
                Some(after) => tokio::select! {
                    biased;
                    certified = certified => certified?,
                    () = elapsed(&inference, after) => {
                        return Err(item.failed(PurchaseError::TimedOut { after }));
                    }
                },
            };
            match certified {
                Some(certified) => self.end(index, &inference, began, certified),
                // Its batch certifies it.
                None => Ok(()),
            }
        };
        self.contain(&[index], attempt).await
    }

    /// Under `each` keeps a failure, and a cancellation, to the items that an attempt is of.
    async fn contain(
        &self,
        members: &[usize],
        attempt: impl Future<Output = Result<(), PurchaseError>>,
    ) -> Result<(), PurchaseError> {
        if self.work.outcome_policy == OutcomePolicy::All {
            return attempt.await;
        }
        let done = tokio::select! {
            biased;
            // What is done by now is charged, and given.
            done = attempt => done,
            () = self.cancel.cancelled() => Err(CertifierError::Cancelled.into()),
        };
        done.or_else(|error| self.fail_by(members, error))
    }

    /// Ends items by an error that each of them failed with.
    fn fail_by(&self, members: &[usize], error: PurchaseError) -> Result<(), PurchaseError> {
        if matches!(error.cause(), PurchaseError::Certifier(CertifierError::Cancelled)) {
            return members.iter().try_for_each(|member| self.fail_cancelled(*member));
        }
        let Some(first) = members.first() else { return Ok(()) };
        let (item, _) = self.at(*first)?;
        let failure = item.failure(error)?;
        members.iter().try_for_each(|member| self.fail(*member, failure))
    }

    /// Waits for an item's input, and says that it runs; nothing if an item failed that it refers to.
    async fn begin(
        &self,
        index: usize,
        item: &Item,
        cell: &Cell,
    ) -> Result<Option<(Inference, Duration)>, PurchaseError> {
        let Some(request) = self.request(item).await? else { return Ok(None) };
        let mut began = self.work.started;
        if item.refers() {
            began = self.service.parts().clock.monotonic();
            let checked = self.certifier(&item.method)?.check(item.entry.package(), &request);
            checked.map_err(|reason| {
                let method = item.method.clone();
                item.failed(PurchaseError::Request { method, reason })
            })?;
        }
        let inference = self.inference(index, item, request)?;
        self.note(index, ItemState::Running(None));
        let _ = cell.inference.set(Some((inference.clone(), began)));
        Ok(Some((inference, began)))
    }

    /// Certifies an item, unless its batch does: then it only runs, if others wait for its output.
    async fn certify(
        &self,
        item: &Item,
        cell: &Cell,
        inference: &Inference,
    ) -> Result<Option<Certified>, PurchaseError> {
        let certifier = self.certifier(&item.method)?;
        let failed = |error: CertifierError| item.failed(error.into());
        let Some(batching) = certifier.batching().filter(|_| item.timeout.is_none()) else {
            return certifier.certify(inference).await.map(Some).map_err(failed);
        };
        if cell.is_awaited {
            let output = batching.run(inference).await.map_err(failed)?;
            let _ = cell.output.set(Some(Arc::new(output)));
        }
        Ok(None)
    }

    async fn batch(&self, members: Vec<usize>) -> Result<(), PurchaseError> {
        self.contain(&members, self.certify_batch(&members)).await
    }

    async fn certify_batch(&self, members: &[usize]) -> Result<(), PurchaseError> {
        let Some(first) = members.first() else { return Ok(()) };
        let is_alone = members.len() == 1;
        let (first, _) = self.at(*first)?;
        let Some(batching) = self.certifier(&first.method)?.batching() else { return Ok(()) };
        let mut begun = Vec::with_capacity(members.len());
        for member in members {
            let (_, cell) = self.at(*member)?;
            let Some((inference, began)) = cell.inference.wait().await else { continue };
            if cell.is_awaited {
                cell.output.wait().await;
            }
            // One that others wait for was run already, and may have failed.
            if cell.ended.get().is_none() {
                begun.push((*member, inference, *began));
            }
        }
        let asked: Vec<Inference> = begun.iter().map(|(_, asked, _)| (*asked).clone()).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let certified = match batching.certify_all(asked).await {
            Err(CertifierError::Engine(_) | CertifierError::Method { .. })
                if !is_alone && self.work.outcome_policy == OutcomePolicy::Each =>
            {
                return self.certify_alone(begun).await;
            }
            certified => certified,
        };
        let certified = certified.map_err(|error| match is_alone {
            true => first.failed(error.into()),
            // Nobody knows which of them it was.
            false => error.into(),
        })?;
        for ((member, inference, began), certified) in begun.into_iter().zip(certified) {
            self.end(member, inference, began, certified)?;
        }
        Ok(())
    }

    /// Certifies items one by one whose batch failed: one of them need not end the others. Their turns come
    /// anew.
    async fn certify_alone(
        &self,
        begun: Vec<(usize, &Inference, Duration)>,
    ) -> Result<(), PurchaseError> {
        let mut alone = Vec::with_capacity(begun.len());
        for (member, inference, began) in begun {
            let (item, cell) = self.at(member)?;
            let inference = Inference { stages: inference.stages.anew(), ..inference.clone() };
            let _ = cell.alone.set(inference.stages.clone());
            alone.push((member, item, inference, began));
        }
        for (member, item, inference, began) in alone {
            match self.certifier(&item.method)?.certify(&inference).await {
                Ok(certified) => self.end(member, &inference, began, certified)?,
                Err(error) => self.fail_by(&[member], item.failed(error.into()))?,
            }
        }
        Ok(())
    }

    /// Ends an item that its buyer cancelled: it is charged if its turn had come.
    fn fail_cancelled(&self, index: usize) -> Result<(), PurchaseError> {
        let (_, cell) = self.at(index)?;
        let begun = cell.inference.get().and_then(Option::as_ref);
        let stages = cell.alone.get().or(begun.map(|(inference, _)| &inference.stages));
        let has_begun = stages.is_some_and(Stages::has_begun);
        self.fail(index, ItemFailure::Cancelled { has_begun })
    }

    /// Ends an item that failed, and with it what refers to it. One that has ended stays as it is.
    fn fail(&self, index: usize, failure: ItemFailure) -> Result<(), PurchaseError> {
        let (item, cell) = self.at(index)?;
        let begun = cell.inference.get().and_then(Option::as_ref);
        let request = begun.map_or(&item.request, |(inference, _)| &inference.request);
        let failed = Failed { request: Arc::clone(request), failure };
        if cell.ended.set(Ended::Failed(failed)).is_ok() {
            let _ = cell.inference.set(None);
            let _ = cell.output.set(None);
            self.note(index, ItemState::Failed(failure));
            failpoint!("service.item.after");
        }
        Ok(())
    }

    /// Keeps what an item gave, for the receipt and for who refers to it. One that has ended, as its batch
    /// was not told in time, stays as it is.
    fn end(
        &self,
        index: usize,
        inference: &Inference,
        began: Duration,
        certified: Certified,
    ) -> Result<(), PurchaseError> {
        let (item, cell) = self.at(index)?;
        if cell.ended.get().is_some() {
            return Ok(());
        }
        let output = Some(Arc::new(certified.output.clone()));
        if cell.output.set(output.clone()).is_err() && cell.output.get() != Some(&output) {
            let reason = "two runs of one request gave two outputs".to_owned();
            let method = item.method.clone();
            return Err(item.failed(CertifierError::Method { method, reason }.into()));
        }
        let now = self.service.parts().clock.monotonic();
        let took = now.saturating_sub(began);
        let bytes = certified.output.to_bytes();
        let bytes = bytes.map_err(|error| PurchaseError::Receipt(error.to_string()))?;
        if item.id.is_some() {
            let [_, salt] = &inference.salts;
            let output_commitment = commit_output(salt, &bytes);
            let is_sure = self.is_sure(item);
            cell.is_sure.store(is_sure, Ordering::Release);
            let early = self.work.early.as_ref().filter(|_| is_sure);
            let output = output.filter(|_| early.inspect(|early| early.add(item.price)).is_some());
            self.note(index, ItemState::Certified { took, output_commitment, output });
        }
        failpoint!("service.item.after");
        let request = Arc::clone(&inference.request);
        let ran = Ran { request, certified, output: bytes, span: began..now };
        let _ = cell.ended.set(Ended::Ran(Box::new(ran)));
        Ok(())
    }

    /// Notes how long the items of each model and method took, from when the input of the first was there.
    fn record(&self) {
        let mut spans = BTreeMap::new();
        for (item, cell) in self.work.items.iter().zip(&self.cells) {
            let Some(Ended::Ran(ran)) = cell.ended.get() else { continue };
            let span = &ran.span;
            let group = spans.entry(item.kind());
            let (_, all, count) = group.or_insert_with(|| (item, span.clone(), 0_u32));
            *all = all.start.min(span.start)..all.end.max(span.end);
            *count = count.saturating_add(1);
        }
        for (item, span, count) in spans.into_values() {
            if let Some(latency) = item.latency() {
                latency.record(count, span.end.saturating_sub(span.start), span.end);
            }
        }
    }

    /// Waits for what an item's input refers to, and fills it in; nothing if one of them failed.
    async fn request(&self, item: &Item) -> Result<Option<Arc<WrittenRequest>>, PurchaseError> {
        if !item.refers() {
            return Ok(Some(Arc::clone(&item.request)));
        }
        let mut request = InferenceRequest::clone(&item.request);
        for reference in &item.references {
            let (_, source) = self.at(reference.item as usize)?;
            let Some(output) = source.output.wait().await else { return Ok(None) };
            let data = reference.pointer.read(output);
            let is_put = data.is_some_and(|data| reference.at.write(&mut request, &data));
            if !is_put {
                let reason = format!("{}: not as its card says", reference.pointer);
                let method = item.method.clone();
                return Err(item.failed(CertifierError::Method { method, reason }.into()));
            }
        }
        Ok(Some(Arc::new(request.into())))
    }

    fn inference(
        &self,
        index: usize,
        item: &Item,
        request: Arc<WrittenRequest>,
    ) -> Result<Inference, PurchaseError> {
        let place = u32::try_from(index).map_err(|_| PurchaseError::Interrupted)?;
        let secret = &self.work.secret;
        let salts = [secret.request_salt(place), secret.output_salt(place)];
        let (jobs, id) = (Arc::clone(&self.service.jobs), self.work.lease.id);
        let tell = move |stage| jobs.note(id, index, ItemState::Running(Some(stage)));
        let stages = if self.is_hidden(item) { Stages::default() } else { Stages::to(tell) };
        let stages = stages.until(self.cancel.clone());
        Ok(Inference { entry: item.entry.clone(), request, salts, stages })
    }

    /// Says how far an item is.
    fn note(&self, index: usize, state: ItemState) {
        if self.at(index).is_ok_and(|(item, _)| !self.is_hidden(item)) {
            self.service.jobs.note(self.work.lease.id, index, state);
        }
    }

    /// Says whether nothing is told of an item before the payment is settled: its input is built of outputs that
    /// have not left, and how far it is may tell of them.
    fn is_hidden(&self, item: &Item) -> bool {
        item.refers() && (self.work.early.is_none() || !self.is_sure(item))
    }

    /// Says whether all that went into an item's input is charged, whatever else fails.
    fn is_sure(&self, item: &Item) -> bool {
        let cell = |source: u32| self.cells.get(source as usize);
        let is_sure = |cell: &Cell| cell.is_sure.load(Ordering::Acquire);
        item.references.iter().all(|reference| cell(reference.item).is_some_and(is_sure))
    }
}

/// Waits until an item has had its time, from when its turn came.
async fn elapsed(inference: &Inference, after: Duration) {
    inference.stages.begun().await;
    tokio::time::sleep(after).await;
}

impl Item {
    /// Says in which item of several it was.
    pub(super) fn failed(&self, error: PurchaseError) -> PurchaseError {
        match &self.id {
            Some(id) => PurchaseError::Item { item: id.clone(), error: Box::new(error) },
            None => error,
        }
    }

    /// Says how an item failed by which others of its transaction need not: an error of the whole stays one.
    fn failure(&self, error: PurchaseError) -> Result<ItemFailure, PurchaseError> {
        tracing::info!(%error, "An item of a transaction failed.");
        match error.cause() {
            PurchaseError::Request { .. } => Ok(ItemFailure::Request),
            PurchaseError::TimedOut { .. } => Ok(ItemFailure::TimedOut {
                is_below_floor: self.timeout.is_some_and(|timeout| timeout.is_below_floor),
            }),
            PurchaseError::Certifier(CertifierError::Interrupted) => Err(error),
            PurchaseError::Certifier(CertifierError::Unavailable { .. } | CertifierError::Busy) => {
                Ok(ItemFailure::Unavailable)
            }
            PurchaseError::Certifier(_) => Ok(ItemFailure::Inference),
            _ => Err(error),
        }
    }
}
