//! After the receipt: the settlement, by the request that waits for it or in the background.

use std::time::Duration;

use assay_primitives::{Amount, Digest, Timestamp, TransactionId, failpoint};
use assay_receipt::{
    Receipt, SettlementBlock, SettlementPredicate, SettlementRecord, SettlementStatus,
};
use assay_store::{SettledBlock, SettlementState, SettlementUpdate};
use assay_verify::{Verified, open_settlement};
use assay_x402::{SettleError, SettleResponse, Settled, SettlementIntent};
use tracing::{error, info};

use super::Purchase;
use super::commit::Committed;
use super::error::{PurchaseError, refused, written};
use crate::metrics::SettlementOutcome;
use crate::{PurchasedItem, Release, Service, settled_extension};

/// A receipt whose money is to be moved. Made only of a receipt that verified.
pub(super) struct Settlement<'a> {
    pub(super) id: TransactionId,
    pub(super) receipt: &'a Verified<Receipt>,
    pub(super) receipt_digest: Digest,
    /// The time of the latest record so far: the next is not dated before it, whatever the clock says.
    pub(super) not_before: Timestamp,
}

/// What became of the money: settled and stored, or not, with what the payer is told of it.
type Outcome = Result<SettleResponse, (SettleError, SettleResponse)>;

impl Committed {
    #[expect(clippy::result_large_err, reason = "an outcome that is matched at once")]
    /// Settles, and gives what was bought.
    pub(super) async fn settle(mut self, service: &Service) -> Result<Purchase, PurchaseError> {
        let settlement = Settlement {
            id: self.id,
            receipt: &self.receipt,
            receipt_digest: self.receipt_digest,
            not_before: self.receipt.predicate().issued_at,
        };
        let outcome = settlement.carry_out(service, &self.intent).await.unwrap_or_else(|error| {
            // The money may have moved: whatever failed here, nobody may be told that it did not.
            error!(%error, transaction = %self.id, "A settlement broke off.");
            let detail = "the outcome could not be recorded yet".to_owned();
            let error = SettleError::Pending { transaction: None, detail };
            let response = settlement.extended(error.response(&self.intent.terms));
            Err((error, response))
        });
        // Somebody still owes this, though nobody waits for it any more.
        if !matches!(&outcome, Ok(_) | Err((SettleError::Failed { open_until: None, .. }, _))) {
            service.admission.hold(self.id, &self.intent.terms, self.intent.amount());
        }
        match outcome {
            Ok(response) => {
                let items = std::mem::take(&mut self.items);
                Ok(self.purchase(items, Some(response)))
            }
            Err((SettleError::Failed { .. }, response)) => {
                Err(PurchaseError::NotSettled(Box::new(response)))
            }
            Err((_, response)) => {
                let response = Box::new(response);
                Err(PurchaseError::Pending { transaction: self.id, response })
            }
        }
    }

    /// Returns what was bought, and what the payer is told of the payment if that is known.
    pub(super) const fn purchase(
        &self,
        items: Vec<PurchasedItem>,
        settlement: Option<SettleResponse>,
    ) -> Purchase {
        Purchase { transaction: self.id, items, receipt: self.receipt_digest, settlement }
    }
}

impl Settlement<'_> {
    /// Settles, and stores what became of it.
    pub(super) async fn carry_out(
        &self,
        service: &Service,
        intent: &SettlementIntent,
    ) -> Result<Outcome, PurchaseError> {
        let started = service.parts().clock.monotonic();
        let outcome = service.parts().facilitator.settle(intent).await;
        self.conclude(service, intent, outcome, started).await
    }

    /// Settles what may be settled already: nothing is sent that would come too late.
    pub(super) async fn carry_on(
        &self,
        service: &Service,
        intent: &SettlementIntent,
    ) -> Result<Outcome, PurchaseError> {
        let facilitator = &service.parts().facilitator;
        let started = service.parts().clock.monotonic();
        let outcome = match facilitator.reconcile(intent).await {
            known @ (Ok(_) | Err(SettleError::Failed { open_until: None, .. })) => known,
            Err(_) => facilitator.settle(intent).await,
        };
        self.conclude(service, intent, outcome, started).await
    }

    async fn conclude(
        &self,
        service: &Service,
        intent: &SettlementIntent,
        outcome: Result<Settled, SettleError>,
        started: Duration,
    ) -> Result<Outcome, PurchaseError> {
        let stored = self.store_outcome(service, intent, outcome).await;
        let label = match &stored {
            Ok(Ok(_)) => SettlementOutcome::Settled,
            Ok(Err((error, _))) => SettlementOutcome::of(error),
            Err(_) => SettlementOutcome::Broken,
        };
        let took = service.parts().clock.monotonic().saturating_sub(started);
        service.metrics.settlement(label, took);
        stored
    }

    async fn store_outcome(
        &self,
        service: &Service,
        intent: &SettlementIntent,
        outcome: Result<Settled, SettleError>,
    ) -> Result<Outcome, PurchaseError> {
        match self.in_block(intent, outcome) {
            Ok((settled, block)) => self.settled(service, &settled, block).await.map(Ok),
            Err(error) => {
                let response = self.extended(error.response(&intent.terms));
                if let SettleError::Failed { reason, open_until, .. } = &error {
                    self.failed(service, intent, reason.as_str(), *open_until, &response).await?;
                }
                Ok(Err((error, response)))
            }
        }
    }

    /// Looks whether somebody carried out an authorisation after its payer was told that it failed.
    /// Sends nothing: the payer may have paid by another authorisation since. Returns whether it is
    /// known now.
    pub(super) async fn watch(
        &self,
        service: &Service,
        intent: &SettlementIntent,
    ) -> Result<bool, PurchaseError> {
        match self.in_block(intent, service.parts().facilitator.reconcile(intent).await) {
            Ok((settled, block)) => {
                self.settled(service, &settled, block).await?;
                Ok(true)
            }
            Err(error @ SettleError::Failed { open_until: None, .. }) => {
                let response = self.extended(error.response(&intent.terms));
                self.failed(service, intent, error.reason().as_str(), None, &response).await?;
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }

    /// Takes a settlement for one only when it is in a block and moved what was authorised. A
    /// facilitator's word alone is pending until the chain shows it. Where nothing is charged there is no
    /// block.
    fn in_block(
        &self,
        intent: &SettlementIntent,
        outcome: Result<Settled, SettleError>,
    ) -> Result<(Settled, Option<SettlementBlock>), SettleError> {
        let settled = outcome?;
        let terms = &self.receipt.predicate().authorization;
        let transaction = settled.transaction;
        if settled.amount != intent.amount()
            || settled.network != terms.network
            || !settled.asset.is_same(&terms.asset)
            || !settled.payer.is_same(&terms.payer)
            || !settled.pay_to.is_same(&terms.pay_to)
        {
            let detail = format!("settled {settled:?}, charged {} of {terms:?}", intent.amount());
            error!(transaction = %self.id, detail, "A settlement is not the authorised one.");
            return Err(SettleError::Pending { transaction, detail: "another payment".to_owned() });
        }
        if settled.amount == Amount::ZERO && transaction.is_none() {
            return Ok((settled, None));
        }
        let Some(block) = &settled.block else {
            let detail = "the facilitator says so, the chain does not show it yet".to_owned();
            return Err(SettleError::Pending { transaction, detail });
        };
        let (number, hash, time) = (block.number, block.hash.to_string(), block.time);
        Ok((settled, Some(SettlementBlock { number, hash, time })))
    }

    async fn settled(
        &self,
        service: &Service,
        settled: &Settled,
        block: Option<SettlementBlock>,
    ) -> Result<SettleResponse, PurchaseError> {
        let response = self.extended(settled.response());
        let record = SettlementPredicate {
            status: match block {
                Some(_) => SettlementStatus::Settled,
                None => SettlementStatus::Zero,
            },
            amount: settled.amount,
            transaction: settled.transaction.map(|hash| hash.to_string()),
            block,
            ..self.blank_record(service)
        };
        self.store(service, SettlementState::Settled, record, &response).await?;
        Ok(response)
    }

    /// Stores a failure: for good, or, while somebody else could still carry the authorisation out,
    /// as one that is watched.
    async fn failed(
        &self,
        service: &Service,
        intent: &SettlementIntent,
        reason: &str,
        open_until: Option<Timestamp>,
        response: &SettleResponse,
    ) -> Result<(), PurchaseError> {
        if open_until.is_some() {
            return Ok(service.parts().store.fail(self.id, written(response)?).await?);
        }
        let record = SettlementPredicate {
            status: SettlementStatus::Failed,
            reason: Some(reason.to_owned()),
            ..self.blank_record(service)
        };
        self.store(service, SettlementState::Failed, record, response).await?;
        if service.parts().settings.release == Release::Verification {
            service.admission.write_off(self.id, &intent.terms, intent.amount());
        }
        Ok(())
    }

    /// Stores that the block of a settlement is no longer in the chain.
    pub(super) async fn reorged(
        &self,
        service: &Service,
        response: &SettleResponse,
    ) -> Result<(), PurchaseError> {
        let record =
            SettlementPredicate { status: SettlementStatus::Reorged, ..self.blank_record(service) };
        self.store(service, SettlementState::Reorged, record, response).await
    }

    fn blank_record(&self, service: &Service) -> SettlementPredicate {
        let terms = &self.receipt.predicate().authorization;
        let operator = &service.parts().operator;
        SettlementPredicate {
            operator: operator.id(),
            receipt_key: operator.receipt_key().public().id(),
            status: SettlementStatus::Zero,
            network: terms.network.clone(),
            asset: terms.asset.clone(),
            payer: terms.payer.clone(),
            pay_to: terms.pay_to.clone(),
            amount: Amount::ZERO,
            transaction: None,
            block: None,
            reason: None,
            recorded_at: service.parts().clock.now().max(self.not_before),
        }
    }

    /// Signs a record, checks it as a verifier will, and stores it with the manifest that both it and
    /// the receipt verify under.
    async fn store(
        &self,
        service: &Service,
        state: SettlementState,
        record: SettlementPredicate,
        response: &SettleResponse,
    ) -> Result<(), PurchaseError> {
        let operator = &service.parts().operator;
        let (at, manifest) = (record.recorded_at, operator.manifest());
        let block = record.block.as_ref();
        let block =
            block.map(|block| SettledBlock { number: block.number, hash: block.hash.clone() });
        let envelope = SettlementRecord::new(self.receipt_digest, record)
            .sign(operator.receipt_key())
            .map_err(|error| PurchaseError::Receipt(error.to_string()))?;
        open_settlement(&envelope, manifest, self.receipt, self.receipt_digest, at)
            .map_err(|refusal| refused(&refusal))?;
        let update = SettlementUpdate {
            state,
            record: written(&envelope)?,
            record_digest: envelope.digest(),
            key_manifest: written(operator.manifest_envelope())?,
            response: written(response)?,
            block,
            at,
        };
        failpoint!("service.record.before");
        service.parts().store.settle(self.id, update).await?;
        failpoint!("service.record.after");
        info!(?state, "The settlement is recorded.");
        Ok(())
    }

    fn extended(&self, mut response: SettleResponse) -> SettleResponse {
        response.extensions = Some(settled_extension(self.id, self.receipt_digest));
        response
    }
}
