//! WHIR's parameters from the text of section 7, not from the code that proves: the table of section
//! 7, and what the folds are worth under another theorem than the one that p3 prices them by.

use std::fmt::Write as _;

use assay_zkml::advice::{AdviceProfile, Schedule};
use assay_zkml::field::{F, K};
use p3_blake3::Blake3;
use p3_challenger::{HashChallenger, SerializingChallenger32};
use p3_whir::{FoldingFactor, ProtocolParameters, SecurityAssumption, WhirConfig};

type Config = WhirConfig<K, F, SerializingChallenger32<F, HashChallenger<u8, Blake3, 32>>>;

const JOHNSON: SecurityAssumption = SecurityAssumption::JohnsonBound;

/// `lg |K|` as p3 prices with it, rounded down.
const FIELD_BITS: usize = 154;

/// One vector that is committed to.
#[derive(Clone, Copy)]
struct Vector {
    variables: usize,
    log_inverse_rate: usize,
    samples: usize,
    /// Variables that are folded before the next vector.
    fold: usize,
    queries: usize,
}

impl Vector {
    /// `lg` of the leaves of its tree.
    fn depth(&self) -> usize {
        self.variables + self.log_inverse_rate - self.fold
    }

    /// Rows that are opened: all, if there are not more than queries.
    fn rows(&self) -> usize {
        self.queries.min(1 << self.depth())
    }
}

/// The opening of `2^log_cells` cells.
pub(crate) struct Profile {
    vectors: Vec<Vector>,
    /// Variables of the last polynomial.
    clear: usize,
}

impl Profile {
    pub(crate) fn new(log_cells: usize) -> Self {
        let first = if log_cells <= 17 { 2 } else { 1 };
        Self::with(log_cells, folds(log_cells), first, usize::MAX)
    }

    /// The opening of `2^log_weights` places of a `small` program, by the text of section 6.6.
    pub(crate) fn of_weights(log_weights: usize) -> Self {
        let f = log_weights.saturating_sub(6).max(4);
        let folds = match f {
            4..=6 => vec![f],
            _ => {
                let count = (f - 5).div_ceil(4).min(4);
                let even = (0..count).map(|i| (f - 5 + count - 1 - i) / count);
                std::iter::once(5).chain(even).collect()
            }
        };
        let first = match log_weights {
            ..=21 => 4,
            22 => 3,
            23..=27 => 2,
            _ => 1,
        };
        Self::with(log_weights, folds, first, log_weights)
    }

    /// No code after the first has more than `2^log_places` places.
    fn with(log_cells: usize, folds: Vec<usize>, first: usize, log_places: usize) -> Self {
        let mut rates = vec![first];
        let mut left = log_cells;
        for fold in &folds[..folds.len() - 1] {
            left -= fold;
            let rate = (rates.last().unwrap() + fold - 1).min((31 - left) / 2);
            rates.push(rate.min(log_places - left));
        }
        let config = Config::new(
            log_cells,
            ProtocolParameters {
                starting_log_inv_rate: rates[0],
                round_log_inv_rates: rates[1..].to_vec(),
                folding_factor: FoldingFactor::PerRound(folds.clone()),
                soundness_type: JOHNSON,
                security_level: 106,
                pow_bits: 0,
            },
        )
        .unwrap();
        let rounds = config.round_parameters();
        let samples = std::iter::once(config.commitment_ood_samples())
            .chain(rounds.iter().map(|round| round.ood_samples));
        let queries = rounds.iter().map(|round| round.num_queries);
        let queries = queries.chain([config.terminal().num_queries]);
        let mut left = log_cells;
        let vector = |(((samples, queries), fold), log_inverse_rate)| {
            let variables = left;
            left -= fold;
            Vector { variables, log_inverse_rate, samples, fold, queries }
        };
        let vectors = samples.zip(queries).zip(folds).zip(rates).map(vector).collect();
        Self { vectors, clear: config.final_sumcheck_rounds() }
    }

    /// Base-2 logarithm of p3's bound on the folds.
    pub(crate) fn folds(&self) -> f64 {
        self.fold_error(|vector| {
            let Vector { variables, log_inverse_rate, .. } = *vector;
            JOHNSON.prox_gaps_error(variables, log_inverse_rate, FIELD_BITS, 2)
        })
    }

    /// The same with the bound of eprint 2025/2055 on the exceptional points of a line.
    pub(crate) fn folds_by_2055(&self) -> f64 {
        self.fold_error(|vector| FIELD_BITS as f64 - exceptional_by_2055(vector).log2())
    }

    /// The sum over all folds of proximity gap and sumcheck, where p3 keeps one bit of the gap in
    /// reserve, and of the rounds over the last polynomial.
    fn fold_error(&self, gap: impl Fn(&Vector) -> f64) -> f64 {
        let phase = |vector: &Vector| {
            let Vector { variables, log_inverse_rate, .. } = *vector;
            let sumcheck = JOHNSON.fold_sumcheck_error(FIELD_BITS, variables, log_inverse_rate);
            vector.fold as f64 * ((1.0 - gap(vector)).exp2() + (-sumcheck).exp2())
        };
        let last = self.clear as f64 * (1.0 - FIELD_BITS as f64).exp2();
        (self.vectors.iter().map(phase).sum::<f64>() + last).log2()
    }

    fn queries(&self) -> f64 {
        let one = |v: &Vector| (-JOHNSON.queries_error(v.log_inverse_rate, v.queries)).exp2();
        self.vectors.iter().map(one).sum::<f64>().log2()
    }

    fn outside(&self) -> f64 {
        let one = |v: &Vector| {
            (-JOHNSON.ood_error(v.variables, v.log_inverse_rate, FIELD_BITS, v.samples)).exp2()
        };
        self.vectors.iter().map(one).sum::<f64>().log2()
    }

    /// The most bytes of the encoding in section 7.
    fn max_bytes(&self) -> usize {
        let mut bytes = (1 << self.clear) * 20 + self.clear * 40;
        for (index, vector) in self.vectors.iter().enumerate() {
            let element = if index == 0 { 4 } else { 20 };
            let root = if index == 0 { 0 } else { 32 };
            let (depth, rows) = (vector.depth(), vector.rows());
            let all = rows == 1 << depth;
            let siblings: usize = (0..depth).map(|level| rows.min(1 << level)).sum();
            bytes += root + 20 * vector.samples + 40 * vector.fold + 4;
            bytes += (rows << vector.fold) * element + if all { 0 } else { 32 * siblings };
        }
        bytes
    }
}

/// Most equations over `F` that an opening of weights discloses.
pub(crate) fn equations(log_weights: usize) -> usize {
    let Profile { vectors, clear } = Profile::of_weights(log_weights);
    let vector = |(index, v): (usize, &Vector)| {
        let degree = if index == 0 { 1 } else { 5 };
        degree * (v.rows() << v.fold) + 5 * v.samples + 10 * v.fold
    };
    let sent: usize = vectors.iter().enumerate().map(vector).sum();
    sent + 5 * (1 << clear) + 10 * clear
}

/// `f` variables in as many folds as section 7 says.
fn folds(log_cells: usize) -> Vec<usize> {
    let f = if log_cells < 10 { 4 } else { log_cells - 6 };
    let even = |sum: usize, count: usize| (0..count).map(move |i| (sum + count - 1 - i) / count);
    match log_cells {
        _ if f == 4 => vec![4],
        ..=17 => even(f, 2).collect(),
        _ => {
            let count = if log_cells < 25 { 3 } else { 4 };
            let first = ((f - 1).div_ceil(count) + 1).min(6);
            std::iter::once(first).chain(even(f - first, count - 1)).collect()
        }
    }
}

/// `(2 (m+1/2)^5 + 3 (m+1/2) gamma rho) n / (3 rho^(3/2)) + (m+1/2) / sqrt(rho)` with `m = 10` and
/// `gamma = 1 - sqrt(rho) (1 + 1/(2m))`, which is the radius `1 - sqrt(rho) - eta` of p3.
fn exceptional_by_2055(vector: &Vector) -> f64 {
    let rho = (-(vector.log_inverse_rate as f64)).exp2();
    let n = ((vector.variables + vector.log_inverse_rate) as f64).exp2();
    let (m, root) = (10.0_f64, rho.sqrt());
    let gamma = 1.0 - root * (1.0 + 0.5 / m);
    let t = m + 0.5;
    (2.0 * t.powi(5) + 3.0 * t * gamma * rho) * n / (3.0 * rho * root) + t / root
}

/// One column of `2^log_cells` cells, opened at one point.
fn schedule(log_cells: usize) -> Schedule {
    let arities = vec![log_cells as u32];
    Schedule::new(AdviceProfile::default(), arities, vec![vec![0]]).unwrap()
}

fn joined(numbers: impl Iterator<Item = usize>) -> String {
    let words: Vec<String> = numbers.map(|number| number.to_string()).collect();
    words.join(", ")
}

/// The table of section 7.
pub(crate) fn table() -> String {
    table_of("cells", Profile::new)
}

/// The table of section 6.6.
pub(crate) fn table_of_weights() -> String {
    table_of("places", Profile::of_weights)
}

fn table_of(what: &str, profile: impl Fn(usize) -> Profile) -> String {
    let mut table = format!(
        "| {what} | `lg(1/rate)` | folds | rows opened | samples | last polynomial |\n|---|---|---|---|---|---|\n",
    );
    for log_cells in 6..=28 {
        let Profile { vectors, clear } = profile(log_cells);
        let rates = joined(vectors.iter().map(|v| v.log_inverse_rate));
        let folds = joined(vectors.iter().map(|v| v.fold));
        let samples = joined(vectors.iter().map(|v| v.samples));
        let rows = vectors.iter().map(|v| match v.rows() {
            rows if rows == 1 << v.depth() => format!("all {rows}"),
            rows => rows.to_string(),
        });
        let rows = rows.collect::<Vec<String>>().join(", ");
        writeln!(
            table,
            "| 2^{log_cells} | {rates} | {folds} | {rows} | {samples} | {} |",
            1 << clear
        )
        .unwrap();
    }
    table
}

#[test]
fn the_text_of_sections_6_6_and_7_gives_the_parameters_in_use() {
    let of_weights = |log_weights| Schedule::for_weights(log_weights as u32).unwrap();
    for log_cells in 6..=28 {
        compare(&Profile::new(log_cells), &schedule(log_cells), log_cells);
        compare(&Profile::of_weights(log_cells), &of_weights(log_cells), log_cells);
    }
}

fn compare(text: &Profile, code: &Schedule, log_cells: usize) {
    assert_eq!(text.max_bytes(), code.max_proof_bytes(), "2^{log_cells}");
    let terms = [
        ("WHIR folds", text.folds()),
        ("WHIR queries", text.queries()),
        ("WHIR out of domain", text.outside()),
    ];
    for (name, computed) in terms {
        let of_code = code.terms().iter().find(|term| term.name == name).unwrap().log2_error;
        assert!((computed - of_code).abs() < 1e-9, "2^{log_cells} {name}: {computed}");
    }
}

/// Section 7 gives the counts as inequalities, too.
#[test]
fn the_counts_are_the_least_that_section_7_asks_for() {
    for log_cells in 6..=28 {
        let of_weights = Profile::of_weights(log_cells).vectors;
        for v in Profile::new(log_cells).vectors.into_iter().chain(of_weights) {
            let log_inverse_rate = v.log_inverse_rate as f64;
            let miss = 1.05_f64.log2() - log_inverse_rate / 2.0;
            assert_eq!(v.queries, (106.0 / -miss).ceil() as usize);
            let bits = |samples: usize| {
                let log2_list = 10_f64.log2() + log_inverse_rate;
                samples as f64 * (155.0 - v.variables as f64) + 1.0 - 2.0 * log2_list
            };
            assert_eq!((1..64).find(|&samples| bits(samples) >= 106.0), Some(v.samples));
        }
    }
}
