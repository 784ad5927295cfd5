//! Why a program is refused: where, which rule, and both values.

use std::fmt;

use thiserror::Error;

/// A rule that does not hold.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("{place}: {rule} must be {relation} {required}, got {got}")]
#[non_exhaustive]
pub struct ProgramError {
    /// The part of the program.
    pub place: Place,
    /// What was checked.
    pub rule: Rule,
    /// How the value has to stand to [`required`](Self::required).
    pub relation: Relation,
    /// The bound.
    pub required: i64,
    /// The value found, held inside `i64`.
    pub got: i64,
}

/// A part of a program, by its index.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Place {
    /// The program as a whole.
    Program,
    /// A tensor.
    Tensor(usize),
    /// A table.
    Table(usize),
    /// A segment.
    Segment(usize),
    /// A site.
    Site(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program => f.write_str("program"),
            Self::Tensor(index) => write!(f, "tensor {index}"),
            Self::Table(index) => write!(f, "table {index}"),
            Self::Segment(index) => write!(f, "segment {index}"),
            Self::Site(index) => write!(f, "site {index}"),
        }
    }
}

/// How a value has to stand to its bound.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Relation {
    /// `got = required`.
    Equal,
    /// `got <= required`.
    AtMost,
    /// `got >= required`.
    AtLeast,
    /// `required` divides `got`.
    MultipleOf,
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "equal to",
            Self::AtMost => "at most",
            Self::AtLeast => "at least",
            Self::MultipleOf => "a multiple of",
        })
    }
}

/// Defines [`Rule`] with the words that an error uses.
macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $name:ident = $words:literal,)+) => {
        /// What was checked, with the section that asks for it.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[non_exhaustive]
        pub enum Rule {
            $($(#[doc = $doc])+ $name,)+
        }

        impl fmt::Display for Rule {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => $words,)+ })
            }
        }
    };
}

rules! {
    /// Section 2.2, N4.
    Sites = "number of sites",
    /// One tensor for the input and one for each site.
    Tensors = "number of tensors",
    /// Section 2.2, N4.
    Terms = "number of terms",
    /// Section 2.2, N4.
    RemoteTerms = "number of Conv, Pick and Bias terms",
    /// Section 2.2, N4.
    TableRows = "number of table rows, padded",
    /// Section 2.2, N4.
    KernelTaps = "number of kernel taps",
    /// Section 2.2, N4.
    Extent = "extent of an axis",
    /// Section 2.2, N4.
    BatchBits = "lb",
    /// Section 2.2, N4.
    LookupLeaves = "number of leaves of the lookup tree",
    /// Section 2.2, N4.
    AdviceCells = "number of advice cells",
    /// Section 2.2, N4.
    VerifierWork = "verifier work of Conv and Pick terms",
    /// Section 2.2, N3: `2^s (2 Bq + 1) <= p`.
    UniqueRemainder = "2^s (2 Bq + 1) (N3)",
    /// Section 2.2, N1.
    Accumulator = "largest accumulator with half(s) (N1)",
    /// Section 2.2, N2.
    TableCovers = "Bq of the table (N2)",
    /// Weights at hand for N1 and N2.
    WeightCount = "number of weights",
    /// Section 2.2, N4, in the program's mode.
    WeightPlaces = "n_w",
    /// Section 11: of a `small` program.
    RowsUsed = "places of the rows in use",
    /// What the check of N1 and N2 takes.
    WeightSums = "number of sums that N1 takes, with those before,",
    /// The rows of the weight matrix that a model file's weights are in.
    RowsFilled = "rows_used, for the weights that there are,",
    /// Section 2.2, N3: `|w'| <= 32767`.
    Weight = "absolute value of a weight (N3)",
    /// Section 11.
    LimbBits = "limb width B",
    /// Section 11.
    Shift = "shift s",
    /// Section 11.
    Integer = "absolute value of an integer",
    /// Section 2.
    IntervalLow = "low end of an interval",
    /// Section 2.
    IntervalHigh = "high end of an interval",
    /// The output's interval is that of raw outputs.
    RawInterval = "end of the output's interval",
    /// Section 11.
    OneOutput = "number of outputs at the end of the sites",
    /// Section 11.
    Topological = "index of a tensor read",
    /// A table named by its index.
    TableIndex = "index of the table",
    /// A segment named by its index.
    SegmentIndex = "index of a segment",
    /// Section 11: `Requant` names a clamp or a function.
    RequantTable = "number of clamp or function tables named",
    /// Section 11.
    DistinctTables = "number of equal tables",
    /// Every table is named by a site, so that a program without lookups has no table.
    TableUsed = "number of sites that use the table",
    /// One RANGE table for each limb's width.
    LimbTable = "number of RANGE tables for a limb",
    /// One MAX2 table for `Max2`.
    Max2Table = "number of MAX2 tables",
    /// Section 5.
    RangeBits = "bits of RANGE",
    /// Section 11.
    ClampLow = "low end of a clamp",
    /// Section 11.
    ClampHigh = "high end of a clamp",
    /// Section 3.
    FunctionValues = "number of values of a function",
    /// Section 11.
    TableLow = "smallest value of the site's table",
    /// Section 11.
    TableHigh = "largest value of the site's table",
    /// Section 11.
    Max2Terms = "number of Conv and Bias terms of a Max2 or Copy",
    /// Section 11.
    Max2Range = "kmax",
    /// Section 11.
    FormLow = "smallest value of a form",
    /// Section 11.
    FormHigh = "largest value of a form",
    /// Section 6.1.
    SegmentSize = "size of a segment's axis",
    /// Section 6.1.
    SegmentLog = "k of a segment",
    /// Section 6.1.
    SegmentAlignment = "offset of a segment",
    /// Section 6.1.
    SegmentPadding = "O_pad of a segment",
    /// Section 11.
    SegmentEnd = "end of a segment",
    /// Section 11: equal real shape.
    LocalShape = "extent of a Local term",
    /// Section 11.
    Taps = "number of taps along an axis",
    /// Section 11.
    Stride = "stride",
    /// Section 11.
    Dilation = "dilation",
    /// Paddings are not above the largest extent.
    Padding = "padding",
    /// Section 2.3.
    ConvTaps = "kernel taps of the segment",
    /// Section 2.3.
    ConvOutputs = "output channels of the segment",
    /// Section 2.3.
    ConvChannels = "input channels of the segment",
    /// Section 4.4.
    ConvGroups = "groups",
    /// Section 4.4.
    ConvGroupSize = "power of two that a group has",
    /// Section 4.4.
    ConvOffset = "c_off with groups",
    /// Section 2.3.
    BiasShape = "size of a bias segment",
    /// Section 2.3.
    PickOrder = "number of uses of an axis",
    /// Section 2.3.
    PickTaps = "tap after another",
    /// Section 2.3: windows on `c`.
    PickChannels = "number of taps maps on the channel axis",
    /// Section 2.3.
    PickWindow = "end of a window",
    /// Section 4.5.
    PickOutside = "taps of a Pick that reads lo outside",
}

/// Turns a number into the one that an error holds.
pub(crate) trait Shown: Copy {
    /// The number, or the nearest that fits.
    fn shown(self) -> i64;
}

impl Shown for u32 {
    fn shown(self) -> i64 {
        i64::from(self)
    }
}

impl Shown for i32 {
    fn shown(self) -> i64 {
        i64::from(self)
    }
}

impl Shown for i64 {
    fn shown(self) -> i64 {
        self
    }
}

impl Shown for u64 {
    fn shown(self) -> i64 {
        i64::try_from(self).unwrap_or(i64::MAX)
    }
}

impl Shown for usize {
    fn shown(self) -> i64 {
        i64::try_from(self).unwrap_or(i64::MAX)
    }
}

impl Place {
    /// Refuses unless `got <= required`.
    pub(crate) fn at_most(
        self,
        rule: Rule,
        required: impl Shown,
        got: impl Shown,
    ) -> Result<(), ProgramError> {
        let holds = got.shown() <= required.shown();
        self.require(holds, rule, Relation::AtMost, required.shown(), got.shown())
    }

    /// Refuses unless `got >= required`.
    pub(crate) fn at_least(
        self,
        rule: Rule,
        required: impl Shown,
        got: impl Shown,
    ) -> Result<(), ProgramError> {
        let holds = got.shown() >= required.shown();
        self.require(holds, rule, Relation::AtLeast, required.shown(), got.shown())
    }

    /// Refuses unless `got = required`.
    pub(crate) fn equal(
        self,
        rule: Rule,
        required: impl Shown,
        got: impl Shown,
    ) -> Result<(), ProgramError> {
        let holds = got.shown() == required.shown();
        self.require(holds, rule, Relation::Equal, required.shown(), got.shown())
    }

    /// Refuses unless `low <= got <= high`.
    pub(crate) fn within(
        self,
        rule: Rule,
        low: impl Shown,
        high: impl Shown,
        got: impl Shown,
    ) -> Result<(), ProgramError> {
        self.at_least(rule, low, got)?;
        self.at_most(rule, high, got)
    }

    /// Refuses unless `holds`.
    pub(crate) fn require(
        self,
        holds: bool,
        rule: Rule,
        relation: Relation,
        required: i64,
        got: i64,
    ) -> Result<(), ProgramError> {
        if holds {
            Ok(())
        } else {
            Err(ProgramError { place: self, rule, relation, required, got })
        }
    }
}
