//! After the receipt: the settlement, by the request that waits for it or in the background.

use std::sync::Arc;

use assay_primitives::{Amount, Digest, Timestamp, TransactionId};
use assay_receipt::{
    Receipt, SettlementBlock, SettlementPredicate, SettlementRecord, SettlementStatus,
};
use assay_store::{SettlementState, SettlementUpdate, TransactionRow, TransactionState};
use assay_verify::Verified;
use assay_x402::{
    PaymentPayload, SettleError, SettleResponse, Settled, SettlementIntent, check_exact,
};
use tracing::{info, warn};

use super::commit::{Committed, reopen, written};
use super::{Purchase, PurchaseError};
use crate::{Service, settled_extension};

/// How often a settlement is prepared again because its account nonce was taken.
const MAX_PREPARATIONS: u32 = 3;
/// How many transactions one background pass takes up.
const PASS: u32 = 256;

/// A receipt whose money is to be moved. Made only of a receipt that verified.
struct Settlement<'a> {
    id: TransactionId,
    receipt: &'a Verified<Receipt>,
    receipt_digest: Digest,
    payload: &'a [u8],
}

impl Committed {
    pub(super) async fn settle(self, service: &Service) -> Result<Purchase, PurchaseError> {
        let settlement = Settlement {
            id: self.id,
            receipt: &self.receipt,
            receipt_digest: self.receipt_digest,
            payload: &self.payload,
        };
        match settlement.carry_out(service, self.intent).await? {
            Ok(response) => Ok(Purchase {
                transaction: self.id,
                model: self.certified.model,
                output: self.certified.output,
                receipt: self.receipt_digest,
                access_token: self.access_token,
                settlement: response,
            }),
            Err((SettleError::Failed { .. }, response)) => {
                Err(PurchaseError::NotSettled(Box::new(response)))
            }
            Err((_, response)) => Err(PurchaseError::Pending {
                transaction: self.id,
                response: Box::new(response),
                access_token: self.access_token,
            }),
        }
    }
}

impl Service {
    /// Takes up what an earlier process left: releases payments whose work never ended, and tells
    /// the facilitator of the settlements that are still open. Call it once, before the first
    /// purchase.
    ///
    /// # Errors
    /// When the store or the chain fails.
    pub async fn resume(&self) -> Result<(), PurchaseError> {
        let released = self.parts().store.release_abandoned().await?;
        let mut intents = Vec::new();
        for row in self.parts().store.unsettled(u32::MAX).await? {
            intents.push(intent_of(&row)?);
        }
        if released + intents.len() as u64 > 0 {
            info!(released, open = intents.len(), "An earlier run left work behind.");
        }
        Ok(self.parts().facilitator.resume(&intents).await?)
    }

    /// Carries every open settlement on that no request is waiting for. Returns how many are still
    /// open.
    ///
    /// # Errors
    /// When the store fails. What fails for one transaction is logged and tried again next time.
    pub async fn settle_pending(self: &Arc<Self>) -> Result<usize, PurchaseError> {
        let mut open = 0;
        for row in self.parts().store.unsettled(PASS).await? {
            let Some(_in_flight) = self.take_up(row.id) else {
                open += 1;
                continue;
            };
            // Read again: the request that was in flight may have settled it meanwhile.
            let Some(row) = self.parts().store.transaction(row.id).await? else { continue };
            match self.settle_row(&row).await {
                Ok(true) => {}
                Ok(false) => open += 1,
                Err(error) => {
                    open += 1;
                    warn!(%error, transaction = %row.id, "A settlement could not be carried on.");
                }
            }
        }
        Ok(open)
    }

    /// Returns whether the outcome is known now.
    async fn settle_row(&self, row: &TransactionRow) -> Result<bool, PurchaseError> {
        let now = self.parts().clock.now();
        let (receipt, receipt_digest) = reopen(row, now)?;
        let intent = intent_of(row)?;
        let settlement =
            Settlement { id: row.id, receipt: &receipt, receipt_digest, payload: &row.payload };
        match row.state {
            TransactionState::Committed => Ok(settlement.carry_out(self, intent).await?.is_ok()),
            TransactionState::Failing => settlement.watch(self, &intent, now).await,
            _ => Ok(true),
        }
    }
}

impl Settlement<'_> {
    /// Settles, and stores what became of it.
    async fn carry_out(
        &self,
        service: &Service,
        mut intent: SettlementIntent,
    ) -> Result<Result<SettleResponse, (SettleError, SettleResponse)>, PurchaseError> {
        let facilitator = &service.parts().facilitator;
        let mut outcome = facilitator.settle(&intent).await;
        for _ in 1..MAX_PREPARATIONS {
            if !matches!(outcome, Err(SettleError::Stale { .. })) {
                break;
            }
            intent = match self.prepare_again(service).await {
                Ok(intent) => intent,
                // The payment no longer holds: what became of it is on the chain.
                Err(PurchaseError::Facilitator(_) | PurchaseError::Payment(_)) => {
                    outcome = facilitator.reconcile(&intent).await;
                    break;
                }
                Err(error) => return Err(error),
            };
            outcome = facilitator.settle(&intent).await;
        }
        match outcome {
            Ok(settled) => self.settled(service, &settled).await.map(Ok),
            Err(error) => {
                let mut response = error.response(intent.terms());
                response.extensions = Some(settled_extension(self.id, self.receipt_digest));
                if let SettleError::Failed { reason, open_until, .. } = &error {
                    self.failed(service, reason.as_str(), *open_until, &response).await?;
                }
                Ok(Err((error, response)))
            }
        }
    }

    /// Looks whether somebody carried out an authorisation after its payer was told that it failed.
    /// Sends nothing: the payer may have paid by another authorisation since.
    async fn watch(
        &self,
        service: &Service,
        intent: &SettlementIntent,
        now: Timestamp,
    ) -> Result<bool, PurchaseError> {
        match service.parts().facilitator.reconcile(intent).await {
            Ok(settled) => {
                self.settled(service, &settled).await?;
                Ok(true)
            }
            Err(error @ SettleError::Failed { .. })
                if matches!(error, SettleError::Failed { open_until: None, .. })
                    || now > intent.terms().valid_before =>
            {
                let response = error.response(intent.terms());
                self.failed(service, error.reason().as_str(), None, &response).await?;
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }

    async fn prepare_again(&self, service: &Service) -> Result<SettlementIntent, PurchaseError> {
        let parts = service.parts();
        let payload: PaymentPayload = serde_json::from_slice(self.payload)
            .map_err(|error| PurchaseError::Receipt(format!("stored payment: {error}")))?;
        let checked = check_exact(&payload, &payload.accepted, parts.clock.now())?;
        let payment = parts.facilitator.verify(&checked).await?;
        let prepared = parts.facilitator.prepare(&payment).await?;
        parts.store.replace_intent(self.id, &written(prepared.intent())?).await?;
        Ok(prepared.keep())
    }

    async fn settled(
        &self,
        service: &Service,
        settled: &Settled,
    ) -> Result<SettleResponse, PurchaseError> {
        let authorized = self.receipt.predicate().authorization.amount;
        if settled.amount > authorized {
            let text = format!("settled {} of {authorized} authorised", settled.amount);
            return Err(PurchaseError::Receipt(text));
        }
        let block = settled.block.as_ref().map(|block| SettlementBlock {
            number: block.number,
            hash: block.hash.to_string(),
            time: block.time,
        });
        let mut response = settled.response();
        response.extensions = Some(settled_extension(self.id, self.receipt_digest));
        let record = SettlementPredicate {
            status: SettlementStatus::Settled,
            amount: settled.amount,
            transaction: Some(settled.transaction.to_string()),
            block,
            ..self.blank_record(service)
        };
        self.store(service, SettlementState::Settled, record, &response).await?;
        Ok(response)
    }

    async fn failed(
        &self,
        service: &Service,
        reason: &str,
        open_until: Option<Timestamp>,
        response: &SettleResponse,
    ) -> Result<(), PurchaseError> {
        if open_until.is_some() {
            return Ok(service.parts().store.fail(self.id, &written(response)?).await?);
        }
        let record = SettlementPredicate {
            status: SettlementStatus::Failed,
            reason: Some(reason.to_owned()),
            ..self.blank_record(service)
        };
        self.store(service, SettlementState::Failed, record, response).await
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
            recorded_at: service.parts().clock.now(),
        }
    }

    async fn store(
        &self,
        service: &Service,
        state: SettlementState,
        record: SettlementPredicate,
        response: &SettleResponse,
    ) -> Result<(), PurchaseError> {
        let at = record.recorded_at;
        let key = service.parts().operator.receipt_key();
        let envelope = SettlementRecord::new(self.receipt_digest, record)
            .sign(key)
            .map_err(|error| PurchaseError::Receipt(error.to_string()))?;
        let update = SettlementUpdate {
            state,
            record: written(&envelope)?,
            record_digest: envelope.digest(),
            response: written(response)?,
            at,
        };
        Ok(service.parts().store.settle(self.id, &update).await?)
    }
}

fn intent_of(row: &TransactionRow) -> Result<SettlementIntent, PurchaseError> {
    serde_json::from_slice(row.intent.as_deref().unwrap_or_default())
        .map_err(|error| PurchaseError::Receipt(format!("stored settlement intent: {error}")))
}
