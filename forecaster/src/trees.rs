//! A fitted forest of decision trees, and the plain Rust walker that predicts with it.
//!
//! The numbers are LightGBM's, bit for bit: the same comparisons in double precision, the same rules for NaN, for zero
//! as missing and for categories, and the leaves added in the order of the trees. LightGBM's text is the only way in
//! ([`Forest::parse`]); no C++ is called.
//!
//! ```text
//! one tree:   [0 root] [1 left of 0] [2 right of 0] [3 left of 1] [4 right of 1] …      16 bytes each
//!                 │ left = 1 ↗     children of one node stand side by side: next = left + (x > threshold)
//! leaves:     left = their own place, threshold = what they add; they read −∞: a row that has arrived stays
//! one row:    [−∞][features as one kind of node reads them][as another kind does] …      see `Reading`
//! rows:       ROWS_IN_FLIGHT walk one tree together; their loads don't wait for each other
//! ```
//!
//! What is missing goes where its node says. Instead of asking at each node, each row is laid out once for every way of
//! reading it that the forest has: with what is missing as −∞ it goes left everywhere, as ∞ right.

mod parse;

pub use parse::ParseError;

/// Rows that walk a tree together: enough for the loads of one to hide behind those of the others.
const ROWS_IN_FLIGHT: usize = 8;

/// Steps between looks whether all have arrived: a step too many costs less than a look at each.
const STEPS_A_LOOK: usize = 2;

/// What LightGBM takes for zero: |x| ≤ 1e-35, the constant being a C `float`.
const ZERO_MAX: f64 = 1e-35_f32 as f64;

/// What ∞ is read as where what is missing is read as ∞; above every finite threshold.
const GREATEST: f64 = f64::MAX;

/// Column of a row as laid out in which −∞ stands, which is above no threshold; the features follow it.
const STAYS: u32 = 0;

/// In a node's `feature`: its `threshold` is the number of a bitset, and what is in it goes left.
const CATEGORIES: u32 = 1 << 31;

#[derive(Clone, Copy, Debug)]
struct Node {
    /// Greatest value that goes left; or the number of a bitset; or what a leaf adds.
    threshold: f64,
    /// Place of the left child; the right one stands behind it. A leaf's own place.
    left: u32,
    /// Column of a row as laid out, with [`CATEGORIES`] where it is a category.
    feature: u32,
}

#[derive(Clone, Debug)]
struct Tree {
    /// Place of the root among the nodes.
    root: u32,
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
    fn of(self, x: f64) -> f64 {
        let zero = x.is_nan() || x.abs() <= ZERO_MAX;
        match self {
            Reading::NanIsZero if x.is_nan() => 0.0,
            Reading::NanLeft if x.is_nan() => f64::NEG_INFINITY,
            Reading::NanRight if x.is_nan() => f64::INFINITY,
            Reading::ZeroLeft if zero => f64::NEG_INFINITY,
            Reading::ZeroRight if zero => f64::INFINITY,
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
    trees: Vec<Tree>,
    /// Those that its nodes have, in the order in which rows are laid out.
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
        let stride = 1 + width * self.readings.len();
        let laid_out = self.lay_out(rows);
        let mut sums = vec![0.0; rows.len() / width];
        for tree in &self.trees {
            match tree.categories {
                true => self.add_tree::<true>(tree.root, &laid_out, stride, &mut sums),
                false => self.add_tree::<false>(tree.root, &laid_out, stride, &mut sums),
            }
        }
        if self.averaged {
            sums.iter_mut().for_each(|sum| *sum /= self.trees.len() as f64);
        }
        sums
    }

    /// Each row once for each of the forest's readings, behind what lets it stay.
    fn lay_out(&self, rows: &[f32]) -> Vec<f64> {
        let width = self.features.len();
        let mut laid_out = Vec::with_capacity(rows.len() / width * (1 + width * self.readings.len()));
        for row in rows.chunks_exact(width) {
            laid_out.push(f64::NEG_INFINITY);
            for reading in &self.readings {
                // As LightGBM's C API does with a dense matrix: what it takes for zero becomes zero.
                let clean = |&x: &f32| if f64::from(x).abs() <= ZERO_MAX { 0.0 } else { f64::from(x) };
                laid_out.extend(row.iter().map(clean).map(|x| reading.of(x)));
            }
        }
        laid_out
    }

    /// Adds a tree's leaves to the sums of all rows.
    fn add_tree<const CATEGORIC: bool>(&self, root: u32, rows: &[f64], stride: usize, sums: &mut [f64]) {
        let whole = sums.len() / ROWS_IN_FLIGHT * ROWS_IN_FLIGHT;
        let (together, alone) = sums.split_at_mut(whole);
        for (rows, sums) in rows.chunks_exact(stride * ROWS_IN_FLIGHT).zip(together.chunks_exact_mut(ROWS_IN_FLIGHT)) {
            self.walk::<ROWS_IN_FLIGHT, CATEGORIC>(root, rows, stride, sums);
        }
        for (row, sum) in rows[whole * stride..].chunks_exact(stride).zip(alone) {
            self.walk::<1, CATEGORIC>(root, row, stride, std::slice::from_mut(sum));
        }
    }

    #[inline(always)]
    fn walk<const N: usize, const CATEGORIC: bool>(&self, root: u32, rows: &[f64], stride: usize, sums: &mut [f64]) {
        assert!(rows.len() == N * stride && sums.len() == N, "{N} rows of {stride} walk together");
        let mut places = [root; N];
        loop {
            let mut moved = 0;
            for _ in 0..STEPS_A_LOOK {
                moved = 0;
                for (row, place) in places.iter_mut().enumerate() {
                    // SAFETY: `parse::forest` refuses a text whose children lie outside their tree or whose features lie
                    // outside a row; a place is a root or comes from a node; `rows` has N rows of `stride`.
                    let node = unsafe { self.nodes.get_unchecked(*place as usize) };
                    let right = if CATEGORIC && node.feature & CATEGORIES != 0 {
                        self.category_goes_right(node, rows[row * stride + (node.feature & !CATEGORIES) as usize])
                    } else {
                        let x = unsafe { *rows.get_unchecked(row * stride + node.feature as usize) };
                        x > node.threshold
                    };
                    let next = node.left + u32::from(right);
                    moved |= next ^ *place;
                    *place = next;
                }
            }
            if moved == 0 {
                break;
            }
        }
        for (sum, place) in sums.iter_mut().zip(places) {
            *sum += self.nodes[place as usize].threshold;
        }
    }

    fn category_goes_right(&self, node: &Node, x: f64) -> bool {
        if x.is_nan() {
            return true;
        }
        // As C++'s cast: towards zero. What does not fit an int is in no bitset.
        let Ok(category) = u32::try_from(x as i64) else { return true };
        let (begin, end) = self.bitsets[node.threshold as usize];
        match self.bits[begin as usize..end as usize].get(category as usize / 32) {
            Some(word) => word >> (category % 32) & 1 == 0,
            None => true,
        }
    }
}
