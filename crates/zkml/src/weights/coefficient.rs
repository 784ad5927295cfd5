//! The verifier's `F~(zeta, chi)` in closed form (section 6.3).

use p3_field::PrimeCharacteristicRing;

use super::statement::{Term, TermChannels};
use crate::field::K;
use crate::multilinear::{ArityError, eq_index, eq_points, shift, shift3, suffix};

impl Term<'_> {
    /// Returns the extension of the term's coefficients at `z`, the point of the whole vector.
    pub(super) fn at(&self, z: &[K]) -> Result<K, ArityError> {
        let low = suffix(z, self.segment.log_channels as usize)?;
        let high = z.get(..z.len() - low.len()).unwrap_or_default();
        match self.channels {
            TermChannels::Window { first, count } => {
                let channel = shift(self.tau, low, first.into(), count.into())?;
                Ok(self.outputs(self.rho, high, 0, self.segment.outputs)? * channel)
            }
            TermChannels::Depthwise => {
                let each =
                    |start| shift3(self.rho, self.tau, z, start, self.segment.outputs.into());
                self.over_taps(0, each)
            }
            TermChannels::Groups { groups, outputs, .. } => {
                let rho_low = suffix(self.rho, outputs.trailing_zeros() as usize)?;
                let tau_low = suffix(self.tau, low.len())?;
                let rho_high = self.rho.get(..self.rho.len() - rho_low.len()).unwrap_or_default();
                let tau_high = self.tau.get(..self.tau.len() - low.len()).unwrap_or_default();
                let sums = (0..groups).map(|group| {
                    let outputs = self.outputs(rho_low, high, group * outputs, outputs)?;
                    let index = u64::from(group);
                    Ok(outputs * eq_index(rho_high, index) * eq_index(tau_high, index))
                });
                Ok(sums.sum::<Result<K, ArityError>>()? * eq_points(tau_low, low)?)
            }
        }
    }

    /// `sum_t taps[t] SHIFT(rho, high; off/2^k + t O_pad + first, count)`.
    fn outputs(&self, rho: &[K], high: &[K], first: u32, count: u32) -> Result<K, ArityError> {
        self.over_taps(first, |start| shift(rho, high, start, count.into()))
    }

    fn over_taps(
        &self,
        first: u32,
        each: impl Fn(u64) -> Result<K, ArityError>,
    ) -> Result<K, ArityError> {
        let segment = &self.segment;
        let taps = self.taps.iter().zip(0_u32..);
        taps.map(|(&tap, t)| {
            let start = segment.index(first, t, 0) >> segment.log_channels;
            Ok(if tap == K::ZERO { K::ZERO } else { tap * each(start)? })
        })
        .sum()
    }
}
