//! Intel TDX and SGX quotes (DCAP), verified by `dcap-qvl`.
//!
//! The library judges signatures, chains, revocation and TCB levels as Intel's own verifier does. Ours
//! is what it leaves out or says in words only: strict framing, one reading of every chain, the pinned
//! root, when all of it is valid, and which check a refusal is of.

mod collateral;
#[cfg(test)]
mod forge;
mod inspect;
mod pem;
#[cfg(test)]
mod properties;
mod quote;
mod report;
#[cfg(test)]
mod tests;
mod verify;

use dcap_qvl::intel::{PckExtension, parse_pck_extension};
use x509_cert::Certificate;

pub use self::collateral::Collateral;
use self::collateral::Parsed;
pub(crate) use self::inspect::{inspect_collateral, inspect_quote};
use self::quote::Quote;
use crate::evidence::Context;
use crate::x509::{self, Chain, Endorsed};
use crate::{Check, Claims, EvidenceKind, Refusal, Strength};

/// Appraises a quote of a kind: [`EvidenceKind::Tdx`] or [`EvidenceKind::Sgx`].
pub(crate) fn claims(
    kind: EvidenceKind,
    quote: &[u8],
    collateral: &Collateral,
    context: &Context<'_>,
) -> Result<Claims, Refusal> {
    let quote = Quote::read(quote, kind)?;
    let pck_chain = pck_chain(&quote, collateral)?;
    let collateral = Parsed::read(collateral, context)?;
    let root = pck_chain.last().map_or(&[][..], Vec::as_slice);
    let [leaf, tcb, qe] = [
        ("PCK certificate", &pck_chain, 3),
        ("TCB information", &collateral.tcb_chain, 2),
        ("QE identity", &collateral.qe_chain, 2),
    ]
    .map(|(what, chain, length)| endorse(kind, what, (chain, length), root, context));
    let (leaf, tcb, qe) = (leaf?, tcb?, qe?);
    let trust = leaf.trust;
    let chains = leaf.validity.and(tcb.validity).and(qe.validity);
    let pck = Pck::read(&pck_chain, leaf)?;
    collateral.check_match(kind, &pck, context)?;
    let validity = collateral.check_validity(context)?.and(chains);
    collateral.check_revocation(&pck, &[&tcb.leaf, &qe.leaf], context)?;
    // All of it was checked: this time is in it, unless that check is left out.
    let time = if validity.contains(context.now) { context.now } else { validity.not_before };
    let collateral = collateral.for_library(&pck_chain);
    let verified = verify::verify(&quote, collateral, trust, root, time, context)?;
    Ok(Claims {
        kind,
        strength: Strength::Tee,
        trust,
        platform: format!("FMSPC {}", assay_primitives::encoding::hex(&pck.extension.fmspc)),
        measurements: report::measurements(&verified.report),
        debug: report::is_debug(&verified.report),
        user_data: Some(report::data(&verified.report).to_vec()),
        public_key: None,
        nonce: None,
        time: None,
        validity,
        tcb: Some(verify::tcb(&verified)),
        warnings: verify::warnings(&verified),
    })
}

/// The certificate of a platform's provisioning certification key, and who vouches for it.
#[derive(Debug)]
struct Pck {
    leaf: Certificate,
    ca: Certificate,
    root: Certificate,
    /// What the certificate says of the platform.
    extension: PckExtension,
}

impl Pck {
    fn read(chain: &[Vec<u8>], leaf: Endorsed) -> Result<Self, Refusal> {
        let [first, ca, root] = chain else {
            return Err(wrong_length("PCK certificate", 3, chain.len()));
        };
        let extension = parse_pck_extension(first).map_err(|error| {
            let got = format!("{error:#}");
            Refusal::new(Check::ChainEncoding, "a PCK certificate with Intel's extension", got)
        })?;
        Ok(Self { leaf: leaf.leaf, ca: x509::read(ca)?, root: x509::read(root)?, extension })
    }
}

/// Finds the chain of the PCK certificate: the quote's, else the collateral's.
fn pck_chain(quote: &Quote<'_>, collateral: &Collateral) -> Result<Vec<Vec<u8>>, Refusal> {
    let given = collateral.pck_certificate_chain.as_ref().map(String::as_bytes);
    match (quote.pck_chain(), given) {
        (Some(chain), None) | (None, Some(chain)) => pem::read(chain, "PCK certificate"),
        (Some(of_quote), Some(given)) => {
            let chain = pem::read(of_quote, "PCK certificate")?;
            if pem::read(given, "PCK certificate")? == chain {
                return Ok(chain);
            }
            let expected = "the quote's chain of the PCK certificate in the collateral";
            Err(Refusal::new(Check::CollateralMatch, expected, "another"))
        }
        (None, None) => {
            let expected = "the chain of the PCK certificate in the quote or the collateral";
            let got = format!("certification data of type {}", quote.fields.inner_cert_type());
            Err(Refusal::new(Check::CollateralMatch, expected, got))
        }
    }
}

/// Checks a chain of so many certificates to the root that all the others end at.
fn endorse(
    kind: EvidenceKind,
    what: &str,
    (chain, length): (&[Vec<u8>], usize),
    root: &[u8],
    context: &Context<'_>,
) -> Result<Endorsed, Refusal> {
    let [leaf, between @ .., last] = chain else {
        return Err(wrong_length(what, length, chain.len()));
    };
    if chain.len() != length {
        return Err(wrong_length(what, length, chain.len()));
    }
    let expected = format!("one root of the PCK certificate and the {what}");
    context.checks.require(Check::ChainRoot, last == root, expected, "two")?;
    let intermediates: Vec<&[u8]> = between.iter().map(Vec::as_slice).collect();
    let chain =
        Chain { kind, leaf, intermediates: &intermediates, root: last, extended_key_usage: None };
    chain.verify(context)
}

fn wrong_length(what: &str, expected: usize, got: usize) -> Refusal {
    let expected = format!("{expected} certificates in the chain of the {what}");
    Refusal::new(Check::ChainPath, expected, got)
}
