//! The whole bundle: every part, every item, the money, the policy.

use assay_primitives::json::StrictJsonError;
use assay_primitives::{Amount, Digest, InferenceRequest, Timestamp};
use assay_receipt::{
    BUNDLE_MEDIA_TYPE, Bundle, BundleItem, Envelope, ItemStatement, KeyManifest, Outcome, Receipt,
    SettlementRecord,
};

use crate::methods::ItemEvidence;
use crate::{
    Check, ItemReport, MethodContext, Methods, ModelReport, PaymentReport, Policy, Refusal, Report,
    TimeBasis, Unusable, Verdict, Verified, open_item, open_manifest, open_receipt,
    open_settlement, payment,
};

/// What a verifier itself knows of the transaction.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// The request that one of the items must have been asked.
    pub input: Option<InferenceRequest>,
    /// The nonce that was sent.
    pub nonce: Option<String>,
}

/// Verifies bundles under one policy.
#[derive(Debug)]
pub struct Verifier {
    policy: Policy,
    methods: Methods,
    known: Option<(Envelope, Verified<KeyManifest>)>,
}

/// The parts of a bundle that have been checked, in the order of checking.
struct Opened<'a> {
    manifest: Verified<KeyManifest>,
    receipt: Verified<Receipt>,
    items: Vec<(&'a BundleItem, Verified<ItemStatement>)>,
    payment: PaymentReport,
}

impl Verifier {
    /// Makes a verifier.
    #[must_use]
    pub const fn new(policy: Policy, methods: Methods) -> Self {
        Self { policy, methods, known: None }
    }

    /// Remembers a key manifest, so that bundles that carry this very one need not have it checked
    /// again.
    ///
    /// # Errors
    /// When the manifest does not hold.
    pub fn with_manifest(mut self, envelope: Envelope) -> Result<Self, Refusal> {
        let manifest = open_manifest(&envelope)?;
        self.known = Some((envelope, manifest));
        Ok(self)
    }

    /// Verifies the file of a bundle at a time.
    ///
    /// # Errors
    /// When the file is no bundle at all. A bundle that fails a check gives a report that says so.
    pub fn verify(
        &self,
        file: &[u8],
        expectation: &Expectation,
        now: Timestamp,
    ) -> Result<Report, Unusable> {
        let bundle = match Bundle::from_bytes(file) {
            Ok(bundle) => bundle,
            Err(StrictJsonError::Shape(error)) => return Err(Unusable(error)),
            Err(error @ StrictJsonError::Spelling { .. }) => {
                let expected = "the bundle as it was written";
                return Ok(refused(Refusal::new(Check::BundleEncoding, expected, error)));
            }
        };
        Ok(self.verify_bundle(&bundle, expectation, now))
    }

    /// Verifies a bundle that was read already.
    #[must_use]
    pub fn verify_bundle(
        &self,
        bundle: &Bundle,
        expectation: &Expectation,
        now: Timestamp,
    ) -> Report {
        let mut report = empty();
        match self.fill(&mut report, bundle, expectation, now) {
            Ok(verdict) => report.verdict = verdict,
            Err(refusal) => {
                report.refusal = Some(refusal.clone());
                report.verdict = Verdict::Refused(Box::new(refusal));
            }
        }
        report
    }

    fn fill(
        &self,
        report: &mut Report,
        bundle: &Bundle,
        expectation: &Expectation,
        now: Timestamp,
    ) -> Result<Verdict, Refusal> {
        let opened = self.open(report, bundle, now)?;
        let mut verdict = Verdict::Verified;
        for (index, (item, statement)) in opened.items.iter().enumerate() {
            let certified =
                self.certify(&opened, item, statement, &bundle.evidence_of(statement)?, now);
            let certification =
                certified.map_err(|refusal| refusal.in_item(statement.details.index))?;
            let of_item = self.item_verdict(&opened, statement, certification.simulated)?;
            if let Some(item_report) = report.items.get_mut(index) {
                item_report.believe = certification.believe;
                item_report.verdict = of_item.clone();
            }
            verdict = verdict.and(of_item);
        }
        self.check_policy(&opened, report, now)?;
        check_expectation(&opened, expectation)?;
        report.notes = self.notes(&opened);
        Ok(verdict)
    }

    /// Checks what holds under any policy, except for the methods' own checks.
    fn open<'a>(
        &self,
        report: &mut Report,
        bundle: &'a Bundle,
        now: Timestamp,
    ) -> Result<Opened<'a>, Refusal> {
        if bundle.media_type != BUNDLE_MEDIA_TYPE {
            let got = format!("`{}`", bundle.media_type.chars().take(96).collect::<String>());
            return Err(Refusal::new(Check::BundleVersion, BUNDLE_MEDIA_TYPE, got));
        }
        let manifest = match &self.known {
            Some((envelope, manifest)) if *envelope == bundle.key_manifest => manifest.clone(),
            _ => open_manifest(&bundle.key_manifest)?,
        };
        report.operator = Some(manifest.content().operator);
        report.manifest_version = Some(manifest.content().version);
        self.check_operator(&manifest)?;

        let receipt = open_receipt(&bundle.receipt, &manifest, now)?;
        let digest = bundle.receipt.digest();
        report.transaction = Some(receipt.predicate().transaction_id);
        report.receipt = Some(digest);
        report.issued_at = Some(receipt.predicate().issued_at);
        report.nonce.clone_from(&receipt.predicate().nonce);
        report.item_count = Some(receipt.predicate().item_count);

        let items = open_items(bundle, &receipt)?;
        check_evidence_is_used(bundle, &items)?;
        check_prices(&receipt, &items)?;
        let payment = open_payment(bundle, &manifest, &receipt, digest)?;
        report.time_basis = Some(time_basis(&payment));
        report.payment = Some(payment.clone());
        report.items = items.iter().map(|(_, item)| self.item_report(item)).collect();
        Ok(Opened { manifest, receipt, items, payment })
    }

    fn certify(
        &self,
        opened: &Opened<'_>,
        item: &BundleItem,
        statement: &Verified<ItemStatement>,
        evidence: &[ItemEvidence<'_>],
        now: Timestamp,
    ) -> Result<crate::Certification, Refusal> {
        let method = &statement.details.method;
        let verifier = self.methods.find(method).ok_or_else(|| {
            Refusal::new(Check::ItemMethod, format!("one of {}", self.methods.names()), method)
        })?;
        verifier.verify(&MethodContext {
            receipt: &opened.receipt,
            item: statement,
            request: &item.request,
            output: item.output.as_deref(),
            evidence,
            now,
        })
    }

    fn item_report(&self, item: &ItemStatement) -> ItemReport {
        let details = &item.details;
        let id = details.model.id();
        ItemReport {
            index: details.index,
            verdict: Verdict::Consistent,
            method: details.method.clone(),
            model: ModelReport {
                name: details.model.name.clone(),
                version: details.model.version.clone(),
                id,
                pinned: self.policy.model(&details.model.name, id) == Some(true),
                engine: format!("{} {}", details.model.engine.name, details.model.engine.version),
            },
            believe: String::new(),
            outcome: match &details.outcome {
                Outcome::Ok => "ok".to_owned(),
                Outcome::Failed { reason } => format!("failed: {reason}"),
            },
            evidence_bytes: details.evidence.iter().fold(0, |sum, e| e.size.saturating_add(sum)),
        }
    }

    fn item_verdict(
        &self,
        opened: &Opened<'_>,
        item: &ItemStatement,
        simulated: bool,
    ) -> Result<Verdict, Refusal> {
        let (index, method) = (item.details.index, &item.details.method);
        let (name, id) = (&item.details.model.name, item.details.model.id());
        if let Some(methods) = &self.policy.methods
            && !methods.contains(method)
        {
            return Err(Refusal::new(Check::PolicyMethod, listed(methods), method).in_item(index));
        }
        let model = self.policy.model(name, id);
        if model == Some(false) {
            let ids = self.policy.models.as_ref().and_then(|models| models.get(name));
            let expected =
                ids.map_or_else(|| "a model of the policy".to_owned(), |ids| listed(ids));
            let got = format!("`{name}` {id}");
            return Err(Refusal::new(Check::PolicyModel, expected, got).in_item(index));
        }
        Ok(if simulated || opened.payment.network.is_development() {
            Verdict::Simulated
        } else if self.policy.operators.is_some() && model == Some(true) {
            Verdict::Verified
        } else {
            Verdict::Consistent
        })
    }

    fn check_operator(&self, manifest: &KeyManifest) -> Result<(), Refusal> {
        let content = manifest.content();
        if let Some(operators) = &self.policy.operators
            && !operators.contains(&content.operator)
        {
            return Err(Refusal::new(Check::PolicyOperator, listed(operators), content.operator));
        }
        match self.policy.manifest_version {
            Some(least) if content.version < least => {
                let expected = format!("version {least} or newer");
                Err(Refusal::new(Check::PolicyManifestVersion, expected, content.version))
            }
            _ => Ok(()),
        }
    }

    fn check_policy(
        &self,
        opened: &Opened<'_>,
        report: &Report,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let terms = &opened.receipt.predicate().authorization;
        if let Some(networks) = &self.policy.networks
            && !networks.contains(&terms.network)
        {
            return Err(Refusal::new(Check::PolicyNetwork, listed(networks), &terms.network));
        }
        if let Some(accounts) = &self.policy.pay_to
            && !accounts.iter().any(|account| account.is_same(&terms.pay_to))
        {
            return Err(Refusal::new(Check::PolicyPayTo, listed(accounts), &terms.pay_to));
        }
        self.check_price(opened)?;
        let basis = report.time_basis.unwrap_or(TimeBasis::Asserted);
        if let Some(times) = &self.policy.times
            && !times.contains(&basis)
        {
            let expected = format!("one of {times:?}").to_lowercase();
            return Err(Refusal::new(
                Check::PolicyTime,
                expected,
                format!("{basis:?}").to_lowercase(),
            ));
        }
        let issued_at = opened.receipt.predicate().issued_at;
        match self.policy.max_age {
            Some(most) if now.since(issued_at) > most => {
                let expected = format!("an age of at most {} s", most.as_secs());
                let got = format!("{} s", now.since(issued_at).as_secs());
                return Err(Refusal::new(Check::PolicyAge, expected, got));
            }
            _ => {}
        }
        let state = opened.payment.state;
        match &self.policy.payments {
            Some(states) if !states.contains(&state) => {
                let expected = format!("one of {states:?}").to_lowercase();
                let got = format!("{state:?}").to_lowercase();
                Err(Refusal::new(Check::PolicyPayment, expected, got))
            }
            _ => Ok(()),
        }
    }

    fn check_price(&self, opened: &Opened<'_>) -> Result<(), Refusal> {
        let Some(prices) = &self.policy.max_price else { return Ok(()) };
        let terms = &opened.receipt.predicate().authorization;
        let most = prices.iter().find(|price| {
            *price.asset.network() == terms.network && price.asset.reference().is_same(&terms.asset)
        });
        match most {
            Some(price) if terms.amount <= price.amount => Ok(()),
            Some(price) => {
                let expected = format!("at most {} of {}", price.amount, price.asset);
                Err(Refusal::new(Check::PolicyPrice, expected, terms.amount))
            }
            None => {
                let got = format!("{} on {}", terms.asset, terms.network);
                Err(Refusal::new(Check::PolicyPrice, "an asset the policy has a price for", got))
            }
        }
    }

    fn notes(&self, opened: &Opened<'_>) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note = |missing: bool, text: &str| {
            if missing {
                notes.push(text.to_owned());
            }
        };
        note(
            opened.payment.network.is_development(),
            "payment: on a development chain, play money",
        );
        note(self.policy.operators.is_none(), "operator: any, no policy pins one");
        note(self.policy.models.is_none(), "model: as claimed by the operator");
        note(self.policy.pay_to.is_none(), "payTo: any settlement address of the operator's");
        let hidden = opened.receipt.predicate().item_count as usize != opened.items.len();
        note(hidden, "items: not all of the transaction's are disclosed");
        note(
            time_basis(&opened.payment) == TimeBasis::Asserted,
            "time: as claimed by the operator",
        );
        notes
    }
}

/// How the bundle's evidence is found by what refers to it.
trait EvidenceOf {
    fn evidence_of<'a>(&'a self, item: &'a ItemStatement)
    -> Result<Vec<ItemEvidence<'a>>, Refusal>;
}

impl EvidenceOf for Bundle {
    fn evidence_of<'a>(
        &'a self,
        item: &'a ItemStatement,
    ) -> Result<Vec<ItemEvidence<'a>>, Refusal> {
        let find = |reference: &'a assay_receipt::EvidenceReference| {
            let refusal = |got: String| {
                let expected =
                    format!("{} bytes with SHA-256 {}", reference.size, reference.sha256);
                Refusal::new(Check::ItemEvidence, expected, got).in_item(item.details.index)
            };
            let blob = self.evidence.iter().find(|blob| blob.sha256 == reference.sha256);
            let blob = blob.ok_or_else(|| refusal("none in the bundle".to_owned()))?;
            let digest = Digest::of(&blob.content);
            if digest != reference.sha256 || blob.content.len() as u64 != reference.size {
                return Err(refusal(format!("{} bytes with SHA-256 {digest}", blob.content.len())));
            }
            Ok(ItemEvidence { reference, content: &blob.content })
        };
        item.details.evidence.iter().map(find).collect()
    }
}

fn open_items<'a>(
    bundle: &'a Bundle,
    receipt: &Verified<Receipt>,
) -> Result<Vec<(&'a BundleItem, Verified<ItemStatement>)>, Refusal> {
    let mut items: Vec<(&BundleItem, Verified<ItemStatement>)> =
        Vec::with_capacity(bundle.items.len());
    for item in &bundle.items {
        let statement = open_item(item, receipt)?;
        let index = statement.details.index;
        if let Some((_, before)) = items.last()
            && before.details.index >= index
        {
            let expected = format!("an index above {}", before.details.index);
            return Err(Refusal::new(Check::ItemIndex, expected, index));
        }
        items.push((item, statement));
    }
    if items.is_empty() {
        return Err(Refusal::new(Check::ItemIndex, "at least one disclosed item", "none"));
    }
    Ok(items)
}

/// Evidence that no item refers to would be carried along unchecked.
fn check_evidence_is_used(
    bundle: &Bundle,
    items: &[(&BundleItem, Verified<ItemStatement>)],
) -> Result<(), Refusal> {
    for (at, blob) in bundle.evidence.iter().enumerate() {
        let used = items.iter().flat_map(|(_, item)| &item.details.evidence);
        if !used.into_iter().any(|reference| reference.sha256 == blob.sha256) {
            let got = format!("{}, to which no item refers", blob.sha256);
            return Err(Refusal::new(Check::ItemEvidence, "evidence of the items", got));
        }
        if bundle.evidence.iter().take(at).any(|other| other.sha256 == blob.sha256) {
            return Err(Refusal::new(Check::ItemEvidence, "each evidence once", blob.sha256));
        }
    }
    Ok(())
}

/// Of a wholly disclosed transaction, the prices of what did not fail are what was authorised.
fn check_prices(
    receipt: &Receipt,
    items: &[(&BundleItem, Verified<ItemStatement>)],
) -> Result<(), Refusal> {
    let terms = &receipt.predicate().authorization;
    let mut total = Amount::ZERO;
    for (_, item) in items {
        let (price, index) = (&item.details.price, item.details.index);
        let same = *price.asset.network() == terms.network
            && price.asset.reference().is_same(&terms.asset);
        if !same {
            let expected = format!("a price in {} on {}", terms.asset, terms.network);
            return Err(Refusal::new(Check::ReceiptPrice, expected, &price.asset).in_item(index));
        }
        if item.details.outcome == Outcome::Ok {
            total = Amount(total.0.saturating_add(price.amount.0));
        }
    }
    let complete = items.len() == receipt.predicate().item_count as usize;
    if total > terms.amount || (complete && total != terms.amount) {
        return Err(Refusal::new(
            Check::ReceiptPrice,
            format!("prices of {}", terms.amount),
            total,
        ));
    }
    Ok(())
}

fn open_payment(
    bundle: &Bundle,
    manifest: &Verified<KeyManifest>,
    receipt: &Verified<Receipt>,
    digest: Digest,
) -> Result<PaymentReport, Refusal> {
    let records = bundle
        .settlement_records
        .iter()
        .map(|envelope| open_settlement(envelope, manifest, receipt, digest))
        .collect::<Result<Vec<Verified<SettlementRecord>>, _>>()?;
    payment::report(&receipt.predicate().authorization, &records)
}

const fn time_basis(payment: &PaymentReport) -> TimeBasis {
    if payment.block_time.is_some() { TimeBasis::Settled } else { TimeBasis::Asserted }
}

fn check_expectation(opened: &Opened<'_>, expectation: &Expectation) -> Result<(), Refusal> {
    if let Some(nonce) = &expectation.nonce {
        let got = opened.receipt.predicate().nonce.as_deref();
        if got != Some(nonce) {
            let got = got.map_or_else(|| "none".to_owned(), |got| format!("`{got}`"));
            return Err(Refusal::new(Check::ExpectedNonce, format!("`{nonce}`"), got));
        }
    }
    let Some(input) = &expectation.input else { return Ok(()) };
    let refusal = |expected, got| Err(Refusal::new(Check::ExpectedInput, expected, got));
    let Ok(expected) = input.to_bytes() else {
        return refusal("an input that can be written".to_owned(), "another".to_owned());
    };
    if opened.items.iter().any(|(item, _)| item.request == expected) {
        return Ok(());
    }
    let got: Vec<Digest> = opened.items.iter().map(|(item, _)| Digest::of(&item.request)).collect();
    refusal(format!("a request with SHA-256 {}", Digest::of(&expected)), listed(&got))
}

fn listed<T: std::fmt::Display>(values: &[T]) -> String {
    let shown: Vec<String> = values.iter().take(8).map(ToString::to_string).collect();
    let more = if values.len() > shown.len() { ", …" } else { "" };
    match shown.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        _ => format!("one of {}{more}", shown.join(", ")),
    }
}

fn refused(refusal: Refusal) -> Report {
    Report {
        refusal: Some(refusal.clone()),
        verdict: Verdict::Refused(Box::new(refusal)),
        ..empty()
    }
}

const fn empty() -> Report {
    Report {
        verdict: Verdict::Consistent,
        refusal: None,
        operator: None,
        manifest_version: None,
        transaction: None,
        receipt: None,
        issued_at: None,
        time_basis: None,
        nonce: None,
        item_count: None,
        items: Vec::new(),
        payment: None,
        notes: Vec::new(),
    }
}
