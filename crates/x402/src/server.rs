//! What a seller says and compares. No HTTP: values of headers and bodies.

use std::fmt::Display;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::wire::{json_equal, shown};
use crate::{
    HeaderError, PaymentPayload, PaymentRefusal, PaymentRequired, PaymentRequirements,
    ResourceInfo, X402_VERSION, encode_payment_required,
};

/// The most offers in one challenge.
const MAX_OFFERS: usize = 64;
/// The longest time an offer may ask a payment to stay valid for: a day.
const MAX_TIMEOUT_SECONDS: u64 = 24 * 60 * 60;

/// A 402 answer: the value of `PAYMENT-REQUIRED`, and the same as the JSON body. Send it with
/// `Cache-Control: no-store`, and expose the header to browsers (CORS).
#[derive(Clone, Debug, PartialEq)]
pub struct Challenge {
    required: PaymentRequired,
}

/// A challenge that no client would understand.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ChallengeError {
    /// None, or too many.
    #[error("a challenge has 1 to {MAX_OFFERS} offers, got {0}")]
    Offers(usize),
    /// An offer's time is out of bounds.
    #[error("maxTimeoutSeconds: expected 1 to {MAX_TIMEOUT_SECONDS}, got {0}")]
    Timeout(u64),
    /// A field of the resource breaks its limits.
    #[error("resource.{field}: expected {expected}, got {got}")]
    Resource {
        /// The field, as on the wire.
        field: &'static str,
        /// Its limits.
        expected: &'static str,
        /// Its value.
        got: String,
    },
    /// The header would be too long.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

/// In what an accepted offer differs from one's own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct OfferDifference {
    /// The scheme of one's own.
    scheme: String,
    field: &'static str,
    expected: String,
    got: String,
}

impl Challenge {
    /// Makes a challenge.
    ///
    /// # Errors
    /// When it breaks a limit of the protocol's schemas, or its header would be too long.
    pub fn new(
        resource: ResourceInfo,
        offers: Vec<PaymentRequirements>,
    ) -> Result<Self, ChallengeError> {
        check_resource(&resource)?;
        if offers.is_empty() || offers.len() > MAX_OFFERS {
            return Err(ChallengeError::Offers(offers.len()));
        }
        for offer in &offers {
            if !(1..=MAX_TIMEOUT_SECONDS).contains(&offer.max_timeout_seconds) {
                return Err(ChallengeError::Timeout(offer.max_timeout_seconds));
            }
        }
        let required = PaymentRequired {
            x402_version: X402_VERSION,
            error: None,
            resource,
            accepts: offers,
            extensions: None,
        };
        Self { required }.checked()
    }

    /// Says why payment is required: an [`ErrorReason`](crate::ErrorReason)'s code, or a sentence.
    ///
    /// # Errors
    /// When the header would be too long.
    pub fn because(mut self, error: impl Into<String>) -> Result<Self, ChallengeError> {
        self.required.error = Some(error.into());
        self.checked()
    }

    /// Declares an extension.
    ///
    /// # Errors
    /// When the header would be too long.
    pub fn with_extension(
        mut self,
        key: impl Into<String>,
        declaration: Value,
    ) -> Result<Self, ChallengeError> {
        let extensions = self.required.extensions.get_or_insert_with(Map::new);
        extensions.insert(key.into(), declaration);
        self.checked()
    }

    /// Returns what is sent.
    #[must_use]
    pub const fn required(&self) -> &PaymentRequired {
        &self.required
    }

    /// Returns the value of `PAYMENT-REQUIRED`.
    ///
    /// # Errors
    /// None that construction has not seen before.
    pub fn header(&self) -> Result<String, HeaderError> {
        encode_payment_required(&self.required)
    }

    fn checked(self) -> Result<Self, ChallengeError> {
        let _fits = self.header()?;
        Ok(self)
    }
}

/// Finds the offer that a payment accepts.
///
/// Every field is compared, `extra` and `maxTimeoutSeconds` included; the spelling of addresses and
/// the order of keys do not matter. The client's own numbers are never used afterwards: go on with
/// the offer that is returned.
///
/// # Errors
/// When it accepts none of them; the message names the first field in which the closest differs.
pub fn match_offer<'a>(
    offers: &'a [PaymentRequirements],
    payload: &PaymentPayload,
) -> Result<&'a PaymentRequirements, PaymentRefusal> {
    if payload.x402_version != X402_VERSION {
        return Err(PaymentRefusal::Version { got: payload.x402_version });
    }
    let mut closest: Option<Vec<OfferDifference>> = None;
    for offer in offers {
        let differences = differences(offer, &payload.accepted);
        if differences.is_empty() {
            return Ok(offer);
        }
        if closest.as_ref().is_none_or(|closest| differences.len() < closest.len()) {
            closest = Some(differences);
        }
    }
    let first = closest.and_then(|differences| differences.into_iter().next());
    let OfferDifference { scheme, field, expected, got } = first.unwrap_or(OfferDifference {
        scheme: String::new(),
        field: "accepts",
        expected: "an offer".to_owned(),
        got: "none".to_owned(),
    });
    Err(PaymentRefusal::NoSuchOffer { count: offers.len(), scheme, field, expected, got })
}

/// Checks that a payment echoes the extensions that were declared: a buyer may add, and neither
/// delete nor change (x402 version 2, extensions).
///
/// # Errors
/// When a declared key or value is missing or changed; the text is its path.
pub fn check_extensions_echo(
    declared: &Map<String, Value>,
    echoed: Option<&Map<String, Value>>,
) -> Result<(), String> {
    let empty = Map::new();
    let missing = first_missing(declared, echoed.unwrap_or(&empty));
    missing.map_or(Ok(()), Err)
}

/// Returns the first difference between one's own offer and an accepted one.
pub(crate) fn offer_difference(
    own: &PaymentRequirements,
    accepted: &PaymentRequirements,
) -> Option<OfferDifference> {
    differences(own, accepted).into_iter().next()
}

impl OfferDifference {
    pub(crate) fn into_refusal(self) -> PaymentRefusal {
        let Self { scheme, field, expected, got } = self;
        PaymentRefusal::Offer { scheme, field, expected, got }
    }
}

fn differences(own: &PaymentRequirements, got: &PaymentRequirements) -> Vec<OfferDifference> {
    let extra =
        |offer: &PaymentRequirements| offer.extra.clone().map_or(Value::Null, Value::Object);
    let other = |offer: &PaymentRequirements| Value::Object(offer.other.clone());
    let (own_extra, got_extra) = (extra(own), extra(got));
    let (own_other, got_other) = (other(own), other(got));
    let (own_time, got_time) = (own.max_timeout_seconds, got.max_timeout_seconds);
    let fields: [(&'static str, bool, &dyn Display, &dyn Display); 8] = [
        ("scheme", own.scheme == got.scheme, &own.scheme, &got.scheme),
        ("network", own.network == got.network, &own.network, &got.network),
        ("asset", own.asset.is_same(&got.asset), &own.asset, &got.asset),
        ("payTo", own.pay_to.is_same(&got.pay_to), &own.pay_to, &got.pay_to),
        ("amount", own.amount == got.amount, &own.amount, &got.amount),
        ("maxTimeoutSeconds", own_time == got_time, &own_time, &got_time),
        ("extra", json_equal(&own_extra, &got_extra), &own_extra, &got_extra),
        ("other fields", json_equal(&own_other, &got_other), &own_other, &got_other),
    ];
    let differing = fields.into_iter().filter(|(_, is_equal, ..)| !is_equal);
    let shown = |value: &dyn Display| shown(&value.to_string());
    differing
        .map(|(field, _, expected, got)| OfferDifference {
            scheme: own.scheme.clone(),
            field,
            expected: shown(expected),
            got: shown(got),
        })
        .collect()
}

fn first_missing(declared: &Map<String, Value>, echoed: &Map<String, Value>) -> Option<String> {
    declared.iter().find_map(|(key, declared)| match (declared, echoed.get(key)) {
        (Value::Object(declared), Some(Value::Object(echoed))) => {
            first_missing(declared, echoed).map(|path| format!("{key}.{path}"))
        }
        (declared, Some(echoed)) if json_equal(declared, echoed) => None,
        _ => Some(key.clone()),
    })
}

fn check_resource(resource: &ResourceInfo) -> Result<(), ChallengeError> {
    let wrong = |field, expected, got: &str| {
        Err(ChallengeError::Resource { field, expected, got: shown(got) })
    };
    let is_label = |text: &str| {
        (1..=32).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, 0x20..=0x7e))
    };
    if resource.url.is_empty() {
        return wrong("url", "a URL", "");
    }
    if let Some(name) = resource.service_name.as_deref().filter(|name| !is_label(name)) {
        return wrong("serviceName", "1 to 32 printable ASCII characters", name);
    }
    let tags = resource.tags.as_deref().unwrap_or_default();
    if tags.len() > 5 {
        return wrong("tags", "at most 5 tags", &tags.len().to_string());
    }
    if let Some(tag) = tags.iter().find(|tag| !is_label(tag)) {
        return wrong("tags", "1 to 32 printable ASCII characters each", tag);
    }
    match resource.icon_url.as_deref() {
        Some(url) if url.chars().count() > 2_048 => {
            wrong("iconUrl", "at most 2048 characters", url)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ErrorReason;
    use crate::fixture::{offer, payment};

    #[test]
    fn the_accepted_offer_is_found() {
        let cheap = offer();
        let mut dear = offer();
        dear.amount.0 = 5_000;
        let offers = [dear, cheap];
        let found = match_offer(&offers, &payment(&offers[1]).payload).unwrap();
        assert_eq!(found, &offers[1]);
    }

    #[test]
    fn spelling_does_not_matter_and_values_do() {
        let offers = [offer()];
        let mut payload = payment(&offers[0]).payload;
        let lower = |text: &str| text.to_lowercase().parse().unwrap();
        payload.accepted.asset = lower(payload.accepted.asset.as_str());
        payload.accepted.pay_to = lower(payload.accepted.pay_to.as_str());
        assert!(match_offer(&offers, &payload).is_ok());
        payload.accepted.amount.0 = 999;
        let refusal = match_offer(&offers, &payload).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "accepted none of 1 offers; the closest differs in amount: expected 1000, got 999"
        );
        assert_eq!((refusal.reason(), refusal.status()), (ErrorReason::ValueMismatch, 402));
        assert!(match_offer(&[], &payload).is_err());
        payload.x402_version = 1;
        assert_eq!(match_offer(&offers, &payload).unwrap_err().status(), 400);
    }

    #[test]
    fn challenges_keep_the_schemas_limits() {
        let resource = || ResourceInfo::new("https://seller.example/v1/run");
        let challenge = Challenge::new(resource(), vec![offer()]).unwrap();
        let read = crate::decode_payment_required(&challenge.header().unwrap()).unwrap();
        assert_eq!(&read, challenge.required());
        assert_eq!(Challenge::new(resource(), vec![]).unwrap_err(), ChallengeError::Offers(0));
        let forever = PaymentRequirements { max_timeout_seconds: 100_000, ..offer() };
        let error = Challenge::new(resource(), vec![forever]).unwrap_err();
        assert_eq!(error, ChallengeError::Timeout(100_000));
        let named = ResourceInfo { service_name: Some("ü".into()), ..resource() };
        let error = Challenge::new(named, vec![offer()]).unwrap_err();
        assert!(matches!(error, ChallengeError::Resource { field: "serviceName", .. }), "{error}");
        let tags = Some(vec!["tag".to_owned(); 6]);
        let error = Challenge::new(ResourceInfo { tags, ..resource() }, vec![offer()]).unwrap_err();
        assert!(matches!(error, ChallengeError::Resource { field: "tags", .. }), "{error}");
        let long = json!({ "info": "x".repeat(6_000) });
        let error = challenge.with_extension("quote", long).unwrap_err();
        assert!(matches!(error, ChallengeError::Header(HeaderError::Length { .. })), "{error}");
    }
}
