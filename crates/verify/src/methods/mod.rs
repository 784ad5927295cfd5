//! One verifier for each method. A new method is a type like [`Signed`] and one line in
//! [`Methods::standard`].

mod signed;
mod tee;
mod zkml;

use std::fmt::Debug;
use std::time::Duration;

use assay_attest::{Images, Roots};
use assay_primitives::{Method, Timestamp};
use assay_receipt::{EvidenceReference, ItemStatement, Outcome, OutcomePolicy, Receipt};

pub use self::signed::Signed;
pub use self::tee::Tee;
pub(crate) use self::zkml::Program;
pub use self::zkml::Zkml;
use crate::{Check, Policy, Refusal, Verified};

/// Checks what certifies an item by one method.
pub trait MethodVerifier: Debug + Send + Sync {
    /// Returns the method's name.
    fn method(&self) -> Method;

    /// Checks the evidence of an item whose statement, request and output were checked already, and
    /// whose evidence has the contents that its statement names.
    ///
    /// # Errors
    /// With both values when the evidence does not certify the item. Whatever check the refusal
    /// names, [`crate::Check::ItemCertification`] is what is reported.
    fn verify(&self, context: &MethodContext<'_>) -> Result<Certification, Refusal>;

    /// Checks items of one bundle, each as [`verify`](Self::verify) does and in their order: a method whose
    /// evidence is of several items at once need not check it for each.
    fn verify_together(
        &self,
        contexts: &[&MethodContext<'_>],
    ) -> Vec<Result<Certification, Refusal>> {
        contexts.iter().map(|context| self.verify(context)).collect()
    }

    /// Takes over what the policy says of the method's evidence. Called when the method becomes part of a
    /// [`crate::Verifier`].
    fn adopt(&mut self, _policy: &Policy) {}
}

/// What a method has to look at.
#[derive(Debug)]
pub struct MethodContext<'a> {
    /// The receipt the item is in.
    pub receipt: &'a Verified<Receipt>,
    /// The item.
    pub item: &'a Verified<ItemStatement>,
    /// What was asked.
    pub request: &'a [u8],
    /// What was answered; none when the item failed.
    pub output: Option<&'a [u8]>,
    /// The images of enclaves that the operator stands by, of its key manifest.
    pub images: &'a Images,
    /// The item's evidence, in the order of its statement; contents match their digests.
    pub evidence: &'a [ItemEvidence<'a>],
    /// The time to verify at.
    pub now: Timestamp,
}

impl MethodContext<'_> {
    /// Says whether the item failed, and nothing but the operator's word backs that.
    fn is_word_alone(&self) -> bool {
        self.evidence.is_empty() && matches!(self.item.details.outcome, Outcome::Failed { .. })
    }

    /// What the operator's word is worth: one that is charged all the same only his buyer can judge.
    fn by_word(&self) -> Certification {
        let mut certification = Certification::by("the operator");
        let is_each = self.receipt.predicate().outcome_policy == OutcomePolicy::Each;
        if is_each && self.item.details.usage.inferences > 0 {
            certification.is_pinned = false;
            let note = "charged, though it failed: that its buyer ended it is the operator's word";
            certification.notes.push(note.to_owned());
        }
        certification
    }
}

/// A piece of evidence with its content.
#[derive(Clone, Copy, Debug)]
pub struct ItemEvidence<'a> {
    /// How the item refers to it.
    pub reference: &'a EvidenceReference,
    /// Its bytes.
    pub content: &'a [u8],
}

/// How long a payment waits at most: so long before the receipt may its evidence be made, and so long
/// after it may the transaction be settled, or be verified without a settlement, for the receipt's time
/// to say when that was.
const MAX_WAIT: Duration = Duration::from_secs(86_400);

/// An item that its method's evidence certifies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Certification {
    /// Whom one has to believe, in words.
    pub believe: String,
    /// Whether the evidence is of development roots.
    pub simulated: bool,
    /// Whether all that has to be believed is pinned: without it the best verdict is `consistent`.
    pub is_pinned: bool,
    /// When the evidence says that it was made, by another clock than the verifier's: it was judged as of
    /// then.
    pub signed_at: Option<Timestamp>,
    /// What a reader should know of the evidence, in words.
    pub notes: Vec<String>,
}

impl Certification {
    /// Says whom one has to believe, where there is nothing else to say.
    #[must_use]
    pub fn by(whom: &str) -> Self {
        Self {
            believe: whom.to_owned(),
            simulated: false,
            is_pinned: true,
            signed_at: None,
            notes: Vec::new(),
        }
    }

    /// Takes back that all is pinned where evidence is judged as of a time that nobody but the operator
    /// vouches for. Whoever dates a receipt back has what was good then count: so it has to have been
    /// settled, or be verified, within a day.
    pub(crate) fn dated(
        mut self,
        issued_at: Timestamp,
        block: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let is_recent = block.unwrap_or(now).since(issued_at) <= MAX_WAIT;
        if is_recent || self.signed_at.is_none() {
            return self;
        }
        self.is_pinned = false;
        self.notes.push(match block {
            Some(block) => format!(
                "time: settled at {block}, more than a day after the receipt's {issued_at}: what its \
                 evidence rests on may have been out of date"
            ),
            None => format!(
                "time: no settlement bounds the receipt's {issued_at}: that its evidence was good then is \
                 the operator's word"
            ),
        });
        self
    }
}

/// The methods a verifier knows.
#[derive(Debug, Default)]
pub struct Methods(Vec<Box<dyn MethodVerifier>>);

impl Methods {
    /// Returns the methods of this version: evidence of enclaves ends at the vendors' roots alone;
    /// [`Tee::new`] takes others.
    #[must_use]
    pub fn standard() -> Self {
        Self::default()
            .with(Signed)
            .with(Tee::new(Roots::vendors(), assay_attest::Policy::default()))
            .with(Zkml::default())
    }

    /// Adds a method; of two with one name, the later counts.
    #[must_use]
    pub fn with(mut self, verifier: impl MethodVerifier + 'static) -> Self {
        self.0.retain(|other| other.method() != verifier.method());
        self.0.push(Box::new(verifier));
        self
    }

    /// Has every method take over what a policy says of its evidence.
    pub(crate) fn adopt(&mut self, policy: &Policy) {
        self.0.iter_mut().for_each(|verifier| verifier.adopt(policy));
    }

    /// Says of items of one bundle, in their order, whether their evidence certifies them. It does not
    /// where the method is not known here.
    #[must_use]
    pub fn certify(&self, contexts: &[MethodContext<'_>]) -> Vec<Result<Certification, Refusal>> {
        let unknown = |context: &MethodContext<'_>| {
            let (expected, got) =
                (format!("one of {}", self.names()), &context.item.details.method);
            Err(Refusal::new(Check::ItemMethod, expected, got))
        };
        let is_known = |method: &Method| self.0.iter().any(|known| known.method() == *method);
        let judged = contexts.iter().map(|context| match context.is_word_alone() {
            true if is_known(&context.item.details.method) => Ok(context.by_word()),
            _ => unknown(context),
        });
        let mut certified: Vec<_> = judged.collect();
        for verifier in &self.0 {
            let method = verifier.method();
            let of_method = contexts.iter().enumerate();
            let of_method = of_method.filter(|(_, context)| context.item.details.method == method);
            let (places, own): (Vec<usize>, Vec<&MethodContext<'_>>) =
                of_method.filter(|(_, context)| !context.is_word_alone()).unzip();
            for (place, result) in places.into_iter().zip(verifier.verify_together(&own)) {
                // Whatever a method finds wrong is a failed certification, and no other check.
                let result = result
                    .map_err(|refusal| Refusal { check: Check::ItemCertification, ..refusal });
                if let Some(certified) = certified.get_mut(place) {
                    *certified = result;
                }
            }
        }
        certified
    }

    fn names(&self) -> String {
        let names: Vec<String> = self.0.iter().map(|v| v.method().to_string()).collect();
        names.join(", ")
    }
}
