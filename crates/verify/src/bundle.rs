//! The whole bundle: every part, every item, the money, the policy.

use assay_attest::Images;
use assay_primitives::json::StrictJsonError;
use assay_primitives::{Timestamp, printable};
use assay_receipt::{BUNDLE_MEDIA_TYPE, Bundle, Envelope, KeyManifest, Receipt};

use crate::items::{
    OpenedItem, check_prices, check_references, check_settled, open_evidence, open_items,
};
use crate::known::KnownManifests;
use crate::methods::Certification;
use crate::payment::open_payment;
use crate::{
    Check, Expectation, ItemReport, MethodContext, Methods, PaymentReport, Policy, Refusal, Report,
    TimeBasis, Unusable, Verdict, Verified, open_receipt,
};

/// Verifies bundles under one policy.
#[derive(Debug)]
pub struct Verifier {
    policy: Policy,
    methods: Methods,
    known: KnownManifests,
}

impl Verifier {
    /// Makes a verifier. What the policy says of a method's evidence counts more than what the method
    /// was made with.
    #[must_use]
    pub fn new(policy: Policy, mut methods: Methods) -> Self {
        methods.adopt(&policy);
        Self { policy, methods, known: KnownManifests::none() }
    }

    /// Returns the policy.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Remembers an operator's key manifest. Bundles that carry this very one need not have it
    /// checked again; one that carries an older version is verified under this one, so that a key
    /// revoked since is refused; and one whose manifest contradicts it is refused.
    ///
    /// # Errors
    /// When the manifest does not hold, or contradicts one that is remembered.
    pub fn with_manifest(mut self, envelope: Envelope) -> Result<Self, Refusal> {
        self.known.remember(envelope)?;
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
        match Bundle::from_bytes(file) {
            Ok(bundle) => Ok(self.verify_bundle(&bundle, expectation, now)),
            Err(StrictJsonError::Shape(error)) => Err(Unusable(error)),
            Err(error @ StrictJsonError::Spelling { .. }) => {
                let expected = "the bundle as it was written";
                let refusal = Refusal::new(Check::BundleEncoding, expected, error);
                Ok(Report::empty().conclude(Err(refusal)))
            }
        }
    }

    /// Verifies a bundle that was read already.
    #[must_use]
    pub fn verify_bundle(
        &self,
        bundle: &Bundle,
        expectation: &Expectation,
        now: Timestamp,
    ) -> Report {
        let mut report = Report::empty();
        let verdict = self.examine(&mut report, bundle, expectation, now);
        report.conclude(verdict)
    }

    /// Makes the checks, and writes down what they find as long as they hold.
    fn examine(
        &self,
        report: &mut Report,
        bundle: &Bundle,
        expectation: &Expectation,
        now: Timestamp,
    ) -> Result<Verdict, Refusal> {
        if bundle.media_type != BUNDLE_MEDIA_TYPE {
            let got = format!("`{}`", printable(&bundle.media_type, 96));
            return Err(Refusal::new(Check::BundleVersion, BUNDLE_MEDIA_TYPE, got));
        }
        let manifest = self.known.resolve(&bundle.key_manifest)?;
        report.operator = Some(manifest.content().operator);
        report.manifest_version = Some(manifest.content().version);
        self.policy.check_manifest(&manifest)?;

        let receipt = open_receipt(&bundle.receipt, &manifest, now)?;
        report.transaction = Some(receipt.predicate().transaction_id);
        report.receipt = Some(bundle.receipt.digest());
        report.issued_at = Some(receipt.predicate().issued_at);
        report.nonce.clone_from(&receipt.predicate().nonce);
        report.item_count = Some(receipt.predicate().item_count);

        let items = open_items(bundle, &receipt)?;
        check_references(&items)?;
        let evidence = open_evidence(bundle, &items)?;

        // The transaction and its items are judged apart, so that a report says of the payment what
        // it can when an item fails, and the other way round.
        let transaction = self
            .judge_payment(report, bundle, &manifest, &receipt, &items, now)
            .and_then(|payment| {
                self.policy.check_transaction(receipt.predicate(), &payment, now)?;
                expectation.check(receipt.predicate(), &items)
            });
        let images = Images::from_texts(&manifest.content().enclave_measurements);
        let block = report.payment.as_ref().and_then(|payment| payment.block_time);
        let contexts: Vec<MethodContext<'_>> = items
            .iter()
            .zip(&evidence)
            .map(|(item, evidence)| MethodContext {
                receipt: &receipt,
                item: &item.statement,
                request: &item.disclosed.request,
                output: item.disclosed.output.as_deref(),
                images: &images,
                evidence,
                now,
            })
            .collect();
        let certified = self.methods.certify(&contexts);
        report.items = items
            .iter()
            .zip(certified)
            .map(|(item, certified)| {
                let certified = certified.map(|certification| {
                    certification.dated(receipt.predicate().issued_at, block, now)
                });
                let hidden = item.hidden_sources(&items);
                self.judge_item(&receipt, item, certified).with_hidden(&hidden)
            })
            .collect();
        conclude(&mut report.items, transaction)
    }

    /// Checks the prices and the settlement records, and reports the payment.
    fn judge_payment(
        &self,
        report: &mut Report,
        bundle: &Bundle,
        manifest: &Verified<KeyManifest>,
        receipt: &Verified<Receipt>,
        items: &[OpenedItem<'_>],
        now: Timestamp,
    ) -> Result<PaymentReport, Refusal> {
        let charged = check_prices(receipt, items)?;
        let digest = bundle.receipt.digest();
        let payment = open_payment(&bundle.settlement_records, manifest, receipt, digest, now)?;
        check_settled(charged, payment.settled)?;
        report.time_basis = Some(payment.time_basis());
        report.payment = Some(payment.clone());
        report.notes = self.notes(receipt, &payment, items.len());
        Ok(payment)
    }

    /// Says of an item whether it is certified and the policy accepts it.
    fn judge_item(
        &self,
        receipt: &Verified<Receipt>,
        item: &OpenedItem<'_>,
        certified: Result<Certification, Refusal>,
    ) -> ItemReport {
        let details = &item.statement.details;
        let (mut believe, mut signed_at, mut notes) = (None, None, Vec::new());
        let verdict = certified.and_then(|certification| {
            believe = Some(certification.believe);
            (signed_at, notes) = (certification.signed_at, certification.notes);
            self.policy.check_item(details)?;
            let network = &receipt.predicate().authorization.network;
            let simulated = certification.simulated || network.is_development();
            Ok(self.policy.verdict(details, simulated, certification.is_pinned))
        });
        let verdict =
            verdict.unwrap_or_else(|refusal| Verdict::refused(refusal.in_item(details.index)));
        ItemReport::new(details, self.policy.pins(details), believe, verdict)
            .with_evidence(signed_at, notes)
    }

    fn notes(&self, receipt: &Receipt, payment: &PaymentReport, disclosed: usize) -> Vec<String> {
        let hidden = receipt.predicate().item_count as usize != disclosed;
        let about_the_bundle = [
            (payment.network.is_development(), "payment: on a development chain, play money"),
            (hidden, "items: not all of the transaction's are disclosed"),
            (payment.time_basis() == TimeBasis::Asserted, "time: as claimed by the operator"),
        ];
        let about_the_bundle =
            about_the_bundle.into_iter().filter_map(|(holds, note)| holds.then_some(note));
        about_the_bundle.chain(self.policy.notes()).map(str::to_owned).collect()
    }
}

/// Puts the verdict on the whole together, and lets no item be better than its transaction.
fn conclude(
    items: &mut [ItemReport],
    transaction: Result<(), Refusal>,
) -> Result<Verdict, Refusal> {
    let refusals = items.iter().filter_map(|item| item.verdict.refusal().cloned());
    let refusals: Vec<Refusal> = refusals.chain(transaction.clone().err()).collect();
    if let Err(refusal) = transaction {
        for item in items.iter_mut().filter(|item| item.verdict.refusal().is_none()) {
            item.verdict = Verdict::refused(refusal.clone());
        }
    }
    match Refusal::first(refusals) {
        Some(refusal) => Err(refusal),
        None => Ok(items.iter().fold(Verdict::Verified, |all, item| all.and(item.verdict.clone()))),
    }
}
