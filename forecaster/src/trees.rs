//! A fitted forest of decision trees, and the plain Rust walker that predicts with it.
//!
//! The numbers are LightGBM's, bit for bit: the same outcome of each comparison, the same rules for NaN, for zero as
//! missing and for categories, and the leaves added in double precision in the order of the trees. LightGBM's text is
//! the only way in ([`Forest::parse`]); no C++ is called.
//!
//! ```text
//! one tree:   [0 root] [1 left of 0] [2 right of 0] [3 left of 1] [4 right of 1] …      8 bytes each
//!                 │ left = 1 ↗     children of one node stand side by side: next = left + (x > threshold)
//! leaves:     left = their own place, threshold = NaN, above which nothing is: a row that has arrived stays
//! one row:    [features as one kind of node reads them][as another kind does] …      see `Reading`
//! rows:       ROWS_IN_FLIGHT walk one tree together; their loads don't wait for each other
//! ```
//!
//! A value is a `f32`, a threshold in LightGBM's text a double: a value is above it where it is above the greatest `f32`
//! that the double is not below, and that one is kept. So a forest of 500 trees of 63 leaves takes 750 kB.
//!
//! What is missing goes where its node says. Instead of asking at each node, each row is laid out once for every way of
//! reading it that the forest has: with what is missing as −∞ it goes left everywhere, as ∞ right.

mod parse;

pub use parse::ParseError;

use std::ops::Range;

/// Rows that walk a tree together: enough for the loads of one to hide behind those of the others.
const ROWS_IN_FLIGHT: usize = 8;

/// Steps between looks whether all have arrived: a step too many costs less than a look at each.
const STEPS_A_LOOK: usize = 2;

/// What LightGBM takes for zero: |x| ≤ 1e-35, the constant being a C `float`.
const ZERO_MAX: f32 = 1e-35;

/// What ∞ is read as where what is missing is read as ∞; above every threshold that is not ∞.
const GREATEST: f32 = f32::MAX;

/// In a node's `feature`: its `threshold` names a bitset, and what is in it goes left.
const CATEGORIES: u16 = 1 << 15;

/// A quiet NaN without the bits that are free in it.
const NAN: u32 = 0x7fc0_0000;

#[derive(Clone, Copy, Debug)]
struct Node {
    /// Greatest value that goes left. Or, as bits: the number of a bitset; of a leaf its number in its tree, in a NaN.
    threshold: f32,
    /// Place of the left child in its tree; the right one stands behind it. A leaf's own place.
    left: u16,
    /// Column of a row as laid out, with [`CATEGORIES`] where it is a category.
    feature: u16,
}

#[derive(Clone, Debug)]
struct Tree {
    /// Places among the forest's nodes and leaves.
    nodes: Range<usize>,
    leaves: Range<usize>,
    categories: bool,
}

/// How a node reads a value: what it takes for missing, and where that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// As it is; for categories.
    AsItIs,
    /// NaN is zero.
    NanIsZero,
    NanLeft,
    NanRight,
    /// NaN and zero.
    ZeroLeft,
    ZeroRight,
}

impl Reading {
    fn of(self, x: f32) -> f32 {
        let zero = x.is_nan() || x.abs() <= ZERO_MAX;
        match self {
            Reading::NanIsZero if x.is_nan() => 0.0,
            Reading::NanLeft if x.is_nan() => f32::NEG_INFINITY,
            Reading::NanRight if x.is_nan() => f32::INFINITY,
            Reading::ZeroLeft if zero => f32::NEG_INFINITY,
            Reading::ZeroRight if zero => f32::INFINITY,
            // A threshold of ∞ tells what is missing from all else, ∞ too.
            Reading::NanRight | Reading::ZeroRight => x.min(GREATEST),
            _ => x,
        }
    }
}

/// A forest that answers one number a row.
#[derive(Clone, Debug)]
pub struct Forest {
    features: Vec<String>,
    nodes: Vec<Node>,
    /// What the leaves add.
    leaves: Vec<f64>,
    trees: Vec<Tree>,
    /// Those that its nodes have, in the order in which rows are laid out. At least one: leaves read a row, too.
    readings: Vec<Reading>,
    /// Bitsets of categories, one behind the other, and where each begins and ends.
    bits: Vec<u32>,
    bitsets: Vec<(u32, u32)>,
    /// Divide the sum by the number of trees (random forests).
    averaged: bool,
}

impl Forest {
    /// Reads LightGBM's text. Refuses what would not be walked exactly: several classes, linear leaves, objectives that
    /// transform their output.
    pub fn parse(text: &str) -> Result<Forest, ParseError> {
        parse::forest(text)
    }

    /// Names of the features, in the order of a row's columns.
    pub fn features(&self) -> &[String] {
        &self.features
    }

    pub fn trees(&self) -> usize {
        self.trees.len()
    }

    /// One number for each row. `rows` holds the rows one behind the other, each with a value per feature, NaN where
    /// missing.
    pub fn predict(&self, rows: &[f32]) -> Vec<f64> {
        let width = self.features.len();
        assert!(width > 0 && rows.len().is_multiple_of(width), "rows hold a value for each of the {width} features");
        let stride = width * self.readings.len();
        let laid_out = self.lay_out(rows);
        let mut sums = vec![0.0; rows.len() / width];
        for tree in &self.trees {
            match tree.categories {
                true => self.add_tree::<true>(tree, &laid_out, stride, &mut sums),
                false => self.add_tree::<false>(tree, &laid_out, stride, &mut sums),
            }
        }
        if self.averaged {
            sums.iter_mut().for_each(|sum| *sum /= self.trees.len() as f64);
        }
        sums
    }

    /// Each row once for each of the forest's readings.
    fn lay_out(&self, rows: &[f32]) -> Vec<f32> {
        let width = self.features.len();
        let mut laid_out = Vec::with_capacity(rows.len() * self.readings.len());
        for row in rows.chunks_exact(width) {
            for reading in &self.readings {
                // As LightGBM's C API does with a dense matrix: what it takes for zero becomes zero.
                let clean = |&x: &f32| if x.abs() <= ZERO_MAX { 0.0 } else { x };
                laid_out.extend(row.iter().map(clean).map(|x| reading.of(x)));
            }
        }
        laid_out
    }

    /// Adds a tree's leaves to the sums of all rows.
    fn add_tree<const CATEGORIC: bool>(&self, tree: &Tree, rows: &[f32], stride: usize, sums: &mut [f64]) {
        let whole = sums.len() / ROWS_IN_FLIGHT * ROWS_IN_FLIGHT;
        let (together, alone) = sums.split_at_mut(whole);
        for (rows, sums) in rows.chunks_exact(stride * ROWS_IN_FLIGHT).zip(together.chunks_exact_mut(ROWS_IN_FLIGHT)) {
            self.walk::<ROWS_IN_FLIGHT, CATEGORIC>(tree, rows, stride, sums);
        }
        for (row, sum) in rows[whole * stride..].chunks_exact(stride).zip(alone) {
            self.walk::<1, CATEGORIC>(tree, row, stride, std::slice::from_mut(sum));
        }
    }

    #[inline(always)]
    fn walk<const N: usize, const CATEGORIC: bool>(&self, tree: &Tree, rows: &[f32], stride: usize, sums: &mut [f64]) {
        assert!(rows.len() == N * stride && sums.len() == N, "{N} rows of {stride} walk together");
        let rows: [&[f32]; N] = std::array::from_fn(|row| &rows[row * stride..][..stride]);
        let (nodes, leaves) = (&self.nodes[tree.nodes.clone()], &self.leaves[tree.leaves.clone()]);
        let mut places = [0_u32; N];
        loop {
            let mut moved = 0;
            for _ in 0..STEPS_A_LOOK {
                moved = 0;
                for (place, row) in places.iter_mut().zip(rows) {
                    // SAFETY: `parse::forest` refuses a text whose children lie outside their tree or whose features lie
                    // outside a row as laid out; a place is the root or comes from a node.
                    let node = unsafe { nodes.get_unchecked(*place as usize) };
                    let right = if CATEGORIC && node.feature & CATEGORIES != 0 {
                        self.category_goes_right(node, row[usize::from(node.feature & !CATEGORIES)])
                    } else {
                        unsafe { *row.get_unchecked(usize::from(node.feature)) > node.threshold }
                    };
                    let next = u32::from(node.left) + u32::from(right);
                    moved |= next ^ *place;
                    *place = next;
                }
            }
            if moved == 0 {
                break;
            }
        }
        for (sum, place) in sums.iter_mut().zip(places) {
            *sum += leaves[(nodes[place as usize].threshold.to_bits() ^ NAN) as usize];
        }
    }

    fn category_goes_right(&self, node: &Node, x: f32) -> bool {
        if x.is_nan() {
            return true;
        }
        // As C++'s cast: towards zero. What does not fit an int is in no bitset.
        let Ok(category) = u32::try_from(x as i64) else { return true };
        let (begin, end) = self.bitsets[node.threshold.to_bits() as usize];
        match self.bits[begin as usize..end as usize].get(category as usize / 32) {
            Some(word) => word >> (category % 32) & 1 == 0,
            None => true,
        }
    }
}
