//! What a 402 says of itself, held against the buyer's policy before anything is signed.

use assay_primitives::{Method, ModelId, OperatorId};
use assay_verify::{Announcement, Policy};
use assay_x402::{PaymentRequired, PaymentRequirements};
use serde::Deserialize;

use crate::ClientError;

/// The extension that announces it.
const VERIFIED_INFERENCE: &str = "verified-inference";

#[derive(Deserialize)]
struct Info {
    operator: OperatorId,
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    name: String,
    id: ModelId,
}

/// Checks an offer. A seller that announces nothing is paid only where the policy pins neither
/// operator nor model: its receipt could be anybody's.
pub(crate) fn check(
    model: &str,
    method: &Method,
    asked: &PaymentRequired,
    offer: &PaymentRequirements,
    policy: &Policy,
) -> Result<(), ClientError> {
    let extension = asked.extensions.as_ref().and_then(|all| all.get(VERIFIED_INFERENCE));
    let Some(info) = extension.and_then(|extension| extension.get("info")) else {
        if policy.operators.is_none() && policy.models.is_none() {
            return Ok(());
        }
        let got = "none, and the policy pins who sells what".to_owned();
        return Err(ClientError::Protocol { expected: "a verified-inference extension", got });
    };
    let info = Info::deserialize(info).map_err(|error| ClientError::Protocol {
        expected: "a verified-inference extension with operator and model",
        got: error.to_string(),
    })?;
    if info.model.name != model {
        let expected = "a 402 for the model that was asked for";
        return Err(ClientError::Protocol { expected, got: info.model.name });
    }
    let announced = Announcement {
        operator: info.operator,
        model: &info.model.name,
        model_id: info.model.id,
        method,
        network: &offer.network,
        asset: &offer.asset,
        amount: offer.amount,
        pay_to: &offer.pay_to,
    };
    policy.check_announcement(&announced).map_err(|e| ClientError::NotAccepted(Box::new(e)))
}
