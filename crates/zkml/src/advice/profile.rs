//! WHIR's parameters: an enum, never numbers (section 11).

use p3_whir::{FoldingFactor, ProtocolParameters, SecurityAssumption};

/// The parameters of the opening of advice (section 7).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum AdviceProfile {
    /// Johnson bound, rate 1/2, 106 bits for each term, no grinding.
    #[default]
    WhirJohnson106,
}

impl AdviceProfile {
    /// Returns p3's parameters for `2^log_cells` cells.
    ///
    /// Round rates are left to p3: each round divides the rate by `2^(k-1)`, `k` its folding factor.
    pub(super) fn parameters(self, log_cells: usize) -> ProtocolParameters {
        match self {
            Self::WhirJohnson106 => ProtocolParameters {
                starting_log_inv_rate: 1,
                round_log_inv_rates: Vec::new(),
                folding_factor: FoldingFactor::Constant(if log_cells <= 18 { 4 } else { 6 }),
                soundness_type: SecurityAssumption::JohnsonBound,
                security_level: 106,
                pow_bits: 0,
            },
        }
    }
}
