//! A fitted forest of decision trees, and the plain Rust walker that predicts with it.
//!
//! The numbers are LightGBM's, bit for bit: the same comparisons in double precision, the same rules for NaN, for zero
//! as missing and for categories, and the leaves added in the order of the trees. LightGBM's text is the only way in
//! ([`Forest::parse`]); no C++ is called.
//!
//! ```text
//! one tree:   [0 root] [1 left of 0] [2 right of 0] [3 left of 1] [4 right of 1] …      16 bytes each
//!                 │ left = 1 ↗     children of one node stand side by side: next = left + (goes right)
//! leaves:     left = their own place and nothing is added, so that a row that has arrived stays
//! rows:       ROWS_IN_FLIGHT walk one tree together; their loads don't wait for each other
//! ```

mod parse;

pub use parse::ParseError;

/// Rows that walk a tree together: enough for the loads of one to hide behind those of the others.
const ROWS_IN_FLIGHT: usize = 8;

/// What LightGBM takes for zero: |x| ≤ 1e-35, the constant being a C `float`.
const ZERO_MAX: f64 = 1e-35_f32 as f64;

/// A node is a leaf: `threshold` is its value.
const LEAF: u16 = 1;
/// What is missing goes right.
const MISSING_RIGHT: u16 = 2;
/// Zero is missing too.
const ZERO_IS_MISSING: u16 = 4;
/// `threshold` holds the number of a bitset; what is in it goes left.
const CATEGORIES: u16 = 8;

#[derive(Clone, Copy, Debug)]
struct Node {
    /// Greatest value that goes left; a leaf's value; or the number of a bitset.
    threshold: f64,
    /// Place of the left child; the right one stands behind it. A leaf's own place.
    left: u32,
    feature: u16,
    flags: u16,
}

#[derive(Clone, Debug)]
struct Tree {
    /// Place of the root among the nodes.
    root: u32,
    categories: bool,
}

/// A forest that answers one number a row.
#[derive(Clone, Debug)]
pub struct Forest {
    features: Vec<String>,
    nodes: Vec<Node>,
    trees: Vec<Tree>,
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
        // As LightGBM's C API does with a dense matrix: what it takes for zero becomes zero.
        let rows: Vec<f64> = rows.iter().map(|&x| f64::from(x)).map(|x| if x.abs() <= ZERO_MAX { 0.0 } else { x }).collect();
        let mut sums = vec![0.0; rows.len() / width];
        let whole = sums.len() / ROWS_IN_FLIGHT * ROWS_IN_FLIGHT;
        for (rows, sums) in rows.chunks_exact(width * ROWS_IN_FLIGHT).zip(sums.chunks_exact_mut(ROWS_IN_FLIGHT)) {
            self.add_trees::<ROWS_IN_FLIGHT>(rows, sums);
        }
        for (row, sum) in rows.chunks_exact(width).zip(&mut sums).skip(whole) {
            self.add_trees::<1>(row, std::slice::from_mut(sum));
        }
        if self.averaged {
            sums.iter_mut().for_each(|sum| *sum /= self.trees.len() as f64);
        }
        sums
    }

    /// Adds every tree's leaves, tree after tree, to the sums of `N` rows.
    fn add_trees<const N: usize>(&self, rows: &[f64], sums: &mut [f64]) {
        for tree in &self.trees {
            let leaves =
                if tree.categories { self.walk::<N, true>(tree.root, rows) } else { self.walk::<N, false>(tree.root, rows) };
            for (sum, leaf) in sums.iter_mut().zip(leaves) {
                *sum += leaf;
            }
        }
    }

    #[inline]
    fn walk<const N: usize, const CATEGORIC: bool>(&self, root: u32, rows: &[f64]) -> [f64; N] {
        let width = self.features.len();
        debug_assert_eq!(rows.len(), N * width);
        let mut places = [root; N];
        loop {
            let mut all_arrived = LEAF;
            for (row, place) in places.iter_mut().enumerate() {
                // SAFETY: `parse::forest` refuses a text whose children lie outside their tree or whose features lie
                // outside a row; a place is a root or comes from a node; `rows` has N rows of `width`.
                let node = unsafe { self.nodes.get_unchecked(*place as usize) };
                let x = unsafe { *rows.get_unchecked(row * width + usize::from(node.feature)) };
                let right = if CATEGORIC && node.flags & CATEGORIES != 0 {
                    self.category_goes_right(node, x)
                } else {
                    node.goes_right(x)
                };
                all_arrived &= node.flags;
                *place = node.left + u32::from(right);
            }
            if all_arrived & LEAF != 0 {
                return places.map(|place| self.nodes[place as usize].threshold);
            }
        }
    }

    fn category_goes_right(&self, node: &Node, x: f64) -> bool {
        if x.is_nan() {
            return true;
        }
        // As C++'s cast: towards zero. What does not fit an int is in no bitset.
        let category = x as i64;
        let (begin, end) = self.bitsets[node.threshold as usize];
        let Ok(category) = u32::try_from(category) else { return true };
        match self.bits[begin as usize..end as usize].get(category as usize / 32) {
            Some(word) => word >> (category % 32) & 1 == 0,
            None => true,
        }
    }
}

impl Node {
    #[inline(always)]
    fn goes_right(&self, x: f64) -> bool {
        let zero = self.flags & ZERO_IS_MISSING != 0 && x.abs() <= ZERO_MAX;
        let missing = x.is_nan() | zero;
        let splits = self.flags & LEAF == 0;
        splits & ((missing & (self.flags & MISSING_RIGHT != 0)) | (!missing & (x > self.threshold)))
    }
}
