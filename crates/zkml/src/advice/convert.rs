//! From the protocol's form of a proof to p3's.
//!
//! p3's form has witnesses of proof-of-work, which are 0 and nowhere else, and the opened values.

use p3_field::PrimeCharacteristicRing;
use p3_multilinear_util::poly::Poly;
use p3_sumcheck::{OpeningEvals, SumcheckData};
use p3_whir::{QueryOpenings, SharedProofOpening};

use super::proof::{AdviceProof, Openings, RoundProof, Rows};
use super::scheme::{P3Openings, P3Paths, P3Proof, P3Round, P3Whir, to_commitment};
use crate::field::{F, K};

/// Returns p3's form of `proof` with the opened values `evals`, in p3's order of batches.
///
/// Its lengths are those of `proof`, which the caller has checked.
pub(super) fn to_p3(proof: &AdviceProof, evals: Vec<OpeningEvals<K>>) -> P3Proof {
    let whir = P3Whir {
        initial_ood_answers: proof.initial_answers.clone(),
        initial_sumcheck: to_sumcheck(&proof.initial_rounds),
        rounds: proof.rounds.iter().map(to_round).collect(),
        final_poly: Some(Poly::new(proof.final_polynomial.clone())),
        final_pow_witness: F::ZERO,
        final_openings: to_openings(&proof.final_openings),
        final_sumcheck: Some(to_sumcheck(&proof.final_rounds)),
    };
    P3Proof { whir, evals }
}

fn to_sumcheck(rounds: &[[K; 2]]) -> SumcheckData<F, K> {
    SumcheckData { polynomial_evaluations: rounds.to_vec(), pow_witnesses: Vec::new() }
}

fn to_round(round: &RoundProof) -> P3Round {
    P3Round {
        commitment: Some(to_commitment(&round.root)),
        ood_answers: round.answers.clone(),
        pow_witness: F::ZERO,
        openings: to_openings(&round.openings),
        sumcheck: to_sumcheck(&round.rounds),
    }
}

fn to_openings(openings: &Openings) -> P3Openings {
    let sibling_hashes = openings.siblings.iter().map(|sibling| *sibling.as_bytes()).collect();
    let proof = P3Paths { sibling_hashes };
    match &openings.rows {
        Rows::Base(rows) => QueryOpenings::Base(SharedProofOpening { rows: rows.clone(), proof }),
        Rows::Extension(rows) => {
            QueryOpenings::Extension(SharedProofOpening { rows: rows.clone(), proof })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl AdviceProof {
        /// Returns the protocol's form of what p3 proved. A part that p3 left out is empty.
        pub(in crate::advice) fn of_p3(whir: P3Whir) -> Self {
            let last = whir.final_sumcheck.map(|sumcheck| sumcheck.polynomial_evaluations);
            Self {
                initial_answers: whir.initial_ood_answers,
                initial_rounds: whir.initial_sumcheck.polynomial_evaluations,
                rounds: whir.rounds.into_iter().map(of_round).collect(),
                final_polynomial: whir.final_poly.map(Poly::into_evals).unwrap_or_default(),
                final_openings: of_openings(whir.final_openings),
                final_rounds: last.unwrap_or_default(),
            }
        }
    }

    fn of_round(round: P3Round) -> RoundProof {
        let root = round.commitment.and_then(|cap| cap.roots().first().copied());
        RoundProof {
            root: root.unwrap().into(),
            answers: round.ood_answers,
            openings: of_openings(round.openings),
            rounds: round.sumcheck.polynomial_evaluations,
        }
    }

    fn of_openings(openings: P3Openings) -> Openings {
        let (rows, proof) = match openings {
            QueryOpenings::Base(opening) => (Rows::Base(opening.rows), opening.proof),
            QueryOpenings::Extension(opening) => (Rows::Extension(opening.rows), opening.proof),
        };
        Openings { rows, siblings: proof.sibling_hashes.into_iter().map(Into::into).collect() }
    }
}
