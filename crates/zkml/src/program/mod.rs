//! The integer program: tensors, tables, segments, sites (sections 2, 5, 6.1 and 11).
//!
//! A [`Program`] is data and promises nothing. [`CheckedProgram`] is the proof that the rules for
//! loading a key hold; its [`sizes`](CheckedProgram::sizes) checks the caps of N4 for a batch.
//! [`Descriptor`] is the program with the weight root in its one encoding, whose hash is the model's
//! id.
//!
//! Tensor 0 is the input, and site `i` computes tensor `i + 1`: there is no other numbering.

mod bounds;
mod check;
mod codec;
mod descriptor;
mod error;
mod form;
mod intervals;
mod layout;
mod segment;
mod sizes;
mod table;
mod tensor;
mod terms;

pub use crate::advice::AdviceProfile;
use crate::field::MODULUS;
use crate::tensor_code::Shape;
pub use crate::weight_commitment::Mode;

pub use self::bounds::SiteBounds;
pub use self::check::{
    CheckedProgram, MAX_EXTENT, MAX_KERNEL_TAPS, MAX_REMOTE_TERMS, MAX_SITES, MAX_TABLE_ROWS,
};
pub use self::codec::DecodeError;
pub(crate) use self::codec::{Encoded, Reader};
pub use self::descriptor::{Descriptor, DescriptorError, MAX_DESCRIPTOR_BYTES, ModelId};
pub use self::error::{Place, ProgramError, Relation, Rule};
pub use self::form::{Axis, AxisMap, Conv, Form, Outside, Pick, Term, Window};
pub use self::layout::{SegmentLayout, SegmentSize, layout_segments};
pub use self::segment::Segment;
pub(crate) use self::segment::weight_run;
pub(crate) use self::sizes::MAX_LB;
pub use self::sizes::Sizes;
pub use self::table::Table;
pub use self::tensor::{Interval, Tensor, TensorShape};

/// `(p - 1) / 2`: the largest absolute value that an integer of the program may have (section 1).
pub const MAX_INTEGER: i64 = (MODULUS as i64 - 1) / 2;

/// What a non-linear step, or the output, computes (section 2.3). Site `i` computes tensor `i + 1`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the sites of section 2.3")]
pub enum Site {
    /// `y = Tab[(form + half(s)) >> s]`, section 2.1.
    Requant {
        /// The accumulator.
        form: Form,
        /// `s`, in bits, 0 to 16.
        shift: u32,
        /// Index of a clamp or function table.
        table: u32,
    },
    /// `max(a, b)`, in the program's one MAX2 table.
    Max2 {
        /// First operand.
        a: Form,
        /// Second operand.
        b: Form,
    },
    /// The form itself, committed: a layout that cannot be routed.
    Copy {
        /// The values.
        form: Form,
    },
    /// The raw result. Exactly one, and last.
    Output {
        /// The values.
        form: Form,
    },
}

impl Site {
    /// Returns the forms, in the order in which section 4.1 counts them.
    pub fn forms(&self) -> impl Iterator<Item = &Form> {
        let (first, second) = match self {
            Self::Requant { form, .. } | Self::Copy { form } | Self::Output { form } => {
                (form, None)
            }
            Self::Max2 { a, b } => (a, Some(b)),
        };
        std::iter::once(first).chain(second)
    }
}

/// A program as written down, unchecked.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the parts of the descriptor of section 3")]
pub struct Program {
    /// Parameters of the advice commitment.
    pub advice: AdviceProfile,
    /// `B`, the width of a limb in bits, 1 to 16 (section 5).
    pub limb_bits: u32,
    /// The input, then the tensor of each site.
    pub tensors: Vec<Tensor>,
    /// Table `k` has the tag `k + 1`.
    pub tables: Vec<Table>,
    /// Where weights and biases stand in the weight vector.
    pub segments: Vec<Segment>,
    /// In topological order, the output last.
    pub sites: Vec<Site>,
    /// How the weights are committed to and opened.
    pub mode: Mode,
    /// `n_w`, `kappa` and the rows in use.
    pub weights: Shape,
}

/// `half(s)` of section 2.1: what is added before a shift by `s <= 16` bits.
#[must_use]
pub const fn half(shift: u32) -> i64 {
    if shift == 0 { 0 } else { 1 << (shift - 1) }
}

/// Returns the widths in bits of the limbs of a remainder below `2^shift` (section 5).
pub fn limb_widths(shift: u32, limb_bits: u32) -> impl Iterator<Item = u32> {
    let low = shift.min(limb_bits);
    [low, shift - low].into_iter().filter(|&width| width > 0)
}
