//! AMD SEV-SNP attestation reports: AMD 56860 (firmware ABI) and 57230 (VCEK and VLEK certificates).
//!
//! A report is signed by a key of the chip (VCEK) or of a cloud provider (VLEK), which the firmware
//! derives for the TCB that the report names; the certificate says for which chip and which TCB. A
//! chip that runs old firmware so has no key for a newer TCB, as long as no seed is known.

mod inspect;
mod product;
mod report;
mod vek;

use assay_primitives::encoding::hex;
use ring::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};

pub(crate) use self::inspect::inspect;
use self::product::{Component, Product};
pub(crate) use self::report::LEN as REPORT;
use self::report::{Report, SigningKey};
use self::vek::Vek;
use crate::evidence::Context;
use crate::x509::{self, Chain, Endorsed};
use crate::{Check, Claims, EvidenceKind, Measurement, Refusal, SnpPolicy, Strength, Tcb};

/// What identifies a guest, in the report's order. The host sets `host_data`; it also sets
/// `family_id` and `image_id`, unless `id_key_digest` shows whose key signed them.
const MEASUREMENTS: &[report::Field] = &[
    report::MEASUREMENT,
    report::HOST_DATA,
    report::ID_KEY_DIGEST,
    report::AUTHOR_KEY_DIGEST,
    report::FAMILY_ID,
    report::IMAGE_ID,
];

/// How many bytes of a chip id people are shown.
const SHOWN: usize = 4;

/// Verifies a report with its certificates in DER: the VEK's, the ASK's or ASVK's, the ARK's.
pub(crate) fn claims(
    report: &[u8],
    certificates: &[Vec<u8>],
    context: &Context<'_>,
) -> Result<Claims, Refusal> {
    let checks = context.checks;
    let report = Report::read(report, checks)?;
    let [vek, ca, root] = certificates else {
        let expected = "three certificates: of the VEK, the ASK or ASVK, and the ARK";
        return Err(Refusal::new(Check::EvidenceEncoding, expected, certificates.len()));
    };
    let chain = Chain {
        kind: EvidenceKind::Snp,
        leaf: vek,
        intermediates: &[ca],
        root,
        extended_key_usage: None,
    };
    let endorsed = chain.verify(context)?;
    let vek = Vek { certificate: &endorsed.leaf, checks };
    let key = match report.signing_key() {
        Ok(key) => key,
        Err(refusal) => {
            checks.fail(refusal)?;
            SigningKey::Vcek
        }
    };
    vek.check_key(key)?;
    check_signature(&report, &endorsed, context)?;
    vek.check_version()?;
    let product = product_of(&report, vek, context)?;
    vek.check_issuers(key, product, [&x509::read(ca)?, &x509::read(root)?])?;
    report.check_reserved_of(product, checks)?;
    let chip_id = report.bytes(report::CHIP_ID);
    let signer = match key {
        SigningKey::Vcek => {
            vek.check_chip(chip_id, product)?;
            format!("chip {}…", hex(chip_id.get(..SHOWN).unwrap_or_default()))
        }
        SigningKey::Vlek => format!("VLEK of {}", vek.provider()?),
    };
    vek.check_tcb(report.tcb(report::REPORTED_TCB, product))?;
    check_policy(&report, product, context)?;
    Ok(claimed(&report, product, &signer, &endorsed, &context.policy.snp))
}

fn check_signature(
    report: &Report<'_>,
    endorsed: &Endorsed,
    context: &Context<'_>,
) -> Result<(), Refusal> {
    let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, endorsed.public_key());
    let holds = key.verify(report.signed(), &report.signature()).is_ok();
    let expected = "a report signed by the key of its certificate";
    context.checks.require(Check::EvidenceSignature, holds, expected, "another signature")
}

/// Returns the product that the certificate names, which is that of the report's CPU.
fn product_of(
    report: &Report<'_>,
    vek: Vek<'_>,
    context: &Context<'_>,
) -> Result<Product, Refusal> {
    let named = vek.product()?;
    let Some((family, model)) = report.cpu() else { return Ok(named) };
    let product = Product::of_cpu(family, model);
    let got = product.map_or("none that is known", Product::as_str);
    let got = format!("{got} (CPU family {family:#04x}, model {model:#04x})");
    let expected = format!("a report of {named}, as its certificate");
    context.checks.require(Check::ChainPlatform, product == Some(named), expected, got)?;
    Ok(product.unwrap_or(named))
}

fn check_policy(
    report: &Report<'_>,
    product: Product,
    context: &Context<'_>,
) -> Result<(), Refusal> {
    let (checks, policy) = (context.checks, &context.policy.snp);
    if let Some(products) = &policy.products {
        let holds = products.iter().any(|name| name == product.as_str());
        checks.require(Check::PolicyPlatform, holds, products.join(", "), product)?;
    }
    // Old firmware can have lied about what it started, so the TCB of the launch counts, too.
    for field in report::TCBS {
        for (component, version) in report.tcb(*field, product).components() {
            let Some(least) = minimum(policy, component) else { continue };
            let expected = format!("{} {least} or later", component.as_str());
            let got = format!("{version} in {}", field.name);
            checks.require(Check::PolicyTcbMinimum, version >= least, expected, got)?;
        }
    }
    let may_migrate = report.may_migrate() && !policy.allow_migration_agent;
    let expected = "a guest without migration agent";
    checks.require(Check::PolicyGuest, !may_migrate, expected, "bit 18 of the guest's policy")
}

/// Returns the least version of a component. What a product does not have is not asked for.
const fn minimum(policy: &SnpPolicy, component: Component) -> Option<u8> {
    match component {
        Component::Bootloader => policy.min_bootloader,
        Component::Tee => policy.min_tee,
        Component::Snp => policy.min_snp,
        Component::Microcode => policy.min_microcode,
        Component::Fmc => policy.min_fmc,
        Component::Spl4 | Component::Spl5 | Component::Spl6 | Component::Spl7 => None,
    }
}

fn claimed(
    report: &Report<'_>,
    product: Product,
    signer: &str,
    endorsed: &Endorsed,
    policy: &SnpPolicy,
) -> Claims {
    let reported = report.tcb(report::REPORTED_TCB, product);
    let named = reported.components().map(|(part, _)| part).filter(|part| !part.is_reserved());
    let open = named.filter(|part| minimum(policy, *part).is_none());
    let open: Vec<String> = open.map(|part| part.as_str().to_owned()).collect();
    let measurements = MEASUREMENTS.iter().map(|field| Measurement {
        name: field.name.to_owned(),
        value: report.bytes(*field).to_vec(),
    });
    Claims {
        kind: EvidenceKind::Snp,
        strength: Strength::Tee,
        trust: endorsed.trust,
        platform: format!("{product}, VMPL {}, {signer}", report.vmpl()),
        measurements: measurements.collect(),
        debug: report.is_debug(),
        user_data: Some(report.bytes(report::REPORT_DATA).to_vec()),
        public_key: None,
        nonce: None,
        time: None,
        validity: endorsed.validity,
        tcb: Some(Tcb {
            status: None,
            versions: reported.to_string(),
            advisories: Vec::new(),
            open: open.clone(),
        }),
        warnings: warnings(report, product, &open),
    }
}

fn warnings(report: &Report<'_>, product: Product, open: &[String]) -> Vec<String> {
    let mut warnings = Vec::new();
    if product == Product::Milan {
        let what = "Milan: that its VCEK seed can be read by software is claimed (arXiv 2605.12990); \
                    who has the seed signs any report";
        warnings.push(what.to_owned());
    }
    let vmpl = report.vmpl();
    if vmpl != 0 {
        warnings
            .push(format!("VMPL {vmpl}: a less privileged part of the guest asked for the report"));
    }
    if !report.has_alias_check() {
        let what = "the firmware does not say that it looked for memory aliases (CVE-2024-21944)";
        warnings.push(what.to_owned());
    }
    if report.may_migrate() {
        warnings.push("a migration agent may move the guest".to_owned());
    }
    if !open.is_empty() {
        let parts = open.join(", ");
        warnings.push(format!("TCB: any version of {parts}, as no policy sets a least one"));
    }
    warnings
}

#[cfg(test)]
pub(crate) mod tests;
