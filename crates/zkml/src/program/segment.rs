//! Segments of the weight vector (section 6.1).

/// Where the weights of a convolution, or a bias, stand: `w'[o, t, c]` is at
/// `off + ((t O_pad + o) << k) + c`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the segment (off, T, O, O_pad, C, k)")]
pub struct Segment {
    /// `off`, a multiple of `2^k`.
    pub off: u64,
    /// `T`, kernel taps; tap `(dy, dx)` is `dy kw + dx`. 1 for a bias.
    pub taps: u32,
    /// `O`, output channels.
    pub outputs: u32,
    /// `O_pad >= O`.
    pub outputs_padded: u32,
    /// `C`, input channels of one group. 1 for a bias.
    pub channels: u32,
    /// `k = lg C`.
    pub log_channels: u32,
}

impl Segment {
    /// Returns the segment without padded outputs: `O_pad = O`.
    #[must_use]
    pub const fn new(off: u64, taps: u32, outputs: u32, channels: u32) -> Self {
        let log_channels = super::tensor::lg(channels);
        Self { off, taps, outputs, outputs_padded: outputs, channels, log_channels }
    }

    /// Returns the segment of a bias for `outputs` channels.
    #[must_use]
    pub const fn bias(off: u64, outputs: u32) -> Self {
        Self::new(off, 1, outputs, 1)
    }

    /// Returns `off + T O_pad 2^k`, the place after the last, or `None` if that is above `u64`.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        let rows = u64::from(self.taps).checked_mul(u64::from(self.outputs_padded))?;
        let step = 1_u64.checked_shl(self.log_channels)?;
        self.off.checked_add(rows.checked_mul(step)?)
    }

    /// Returns the place of `w'[o, t, c]`, wrapping: exact inside a checked segment.
    #[must_use]
    pub const fn index(&self, output: u32, tap: u32, channel: u32) -> u64 {
        let row = (tap as u64).wrapping_mul(self.outputs_padded as u64);
        let row = row.wrapping_add(output as u64).wrapping_shl(self.log_channels);
        self.off.wrapping_add(row).wrapping_add(channel as u64)
    }
}

/// Returns up to `length` weights from `start` on; what lies behind the end is absent, hence 0.
pub(crate) fn weight_run(weights: &[i16], start: u64, length: usize) -> &[i16] {
    let rest = usize::try_from(start).ok().and_then(|start| weights.get(start..));
    let rest = rest.unwrap_or_default();
    rest.get(..length).unwrap_or(rest)
}
