//! Reads LightGBM's text model into the walker's layout.
//!
//! Everything that the walker relies on without looking again is checked here: children inside their tree and reached
//! once, features inside a row, bitsets inside their list.

use std::collections::HashMap;
use std::ops::Range;
use std::str::FromStr;

use super::{CATEGORIES, Forest, GREATEST, NAN, Node, Reading, Tree};

/// Objectives whose output is the plain sum of the leaves.
const PLAIN_OBJECTIVES: [&str; 6] = ["regression", "regression_l1", "quantile", "huber", "fair", "mape"];

/// Why a text is not a forest that the walker can walk.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ParseError {
    #[error("not a LightGBM text model: it begins with \"{0}\" instead of \"tree\"")]
    NotAModel(String),
    #[error("tree {tree}: \"{key}\" is missing")]
    Missing { tree: usize, key: &'static str },
    #[error("tree {tree}: \"{key}\" holds \"{value}\", which is no number")]
    NotANumber { tree: usize, key: &'static str, value: String },
    #[error("tree {tree}: \"{key}\" has {found} values instead of {expected}")]
    Length { tree: usize, key: &'static str, found: usize, expected: usize },
    #[error("tree {tree} is broken: {detail}")]
    Broken { tree: usize, detail: String },
    #[error("the walker cannot walk this model exactly: {0}")]
    Unsupported(String),
    #[error("the text ends before \"end of trees\": it was cut off")]
    Truncated,
}

/// Leaves of a tree: its nodes are numbered by 16 bits.
const LEAVES_MAX: usize = 1 << 15;

type Lines<'a> = HashMap<&'a str, &'a str>;

pub(super) fn forest(text: &str) -> Result<Forest, ParseError> {
    let first = text.lines().next().unwrap_or_default();
    if first != "tree" {
        return Err(ParseError::NotAModel(first.chars().take(40).collect()));
    }
    let (body, _) = text.split_once("\nend of trees").ok_or(ParseError::Truncated)?;
    let mut sections = body.split("\nTree=");
    let head = sections.next().expect("a split has a first part");
    let averaged = head.lines().any(|line| line == "average_output");
    let head = lines(head);
    supported(&head)?;
    let features = head.get("feature_names").ok_or(ParseError::Missing { tree: 0, key: "feature_names" })?;
    let features = features.split_ascii_whitespace().map(str::to_owned).collect();
    let mut forest = Forest {
        features,
        nodes: Vec::new(),
        leaves: Vec::new(),
        trees: Vec::new(),
        readings: Vec::new(),
        bits: Vec::new(),
        bitsets: Vec::new(),
        averaged,
    };
    for (number, section) in sections.enumerate() {
        add_tree(&mut forest, number, &lines(section))?;
    }
    if forest.readings.is_empty() {
        forest.readings.push(Reading::AsItIs);
    }
    Ok(forest)
}

fn lines(section: &str) -> Lines<'_> {
    section.lines().filter_map(|line| line.split_once('=')).collect()
}

fn supported(head: &Lines) -> Result<(), ParseError> {
    let objective = head.get("objective").copied().unwrap_or_default();
    let name = objective.split(' ').next().unwrap_or_default();
    if !PLAIN_OBJECTIVES.contains(&name) || objective.split(' ').any(|word| word == "sqrt") {
        return Err(ParseError::Unsupported(format!(
            "its objective is \"{objective}\", the walker knows {}",
            PLAIN_OBJECTIVES.join(", ")
        )));
    }
    match head.get("num_tree_per_iteration") {
        Some(&"1") => Ok(()),
        other => Err(ParseError::Unsupported(format!("it has \"{}\" trees an iteration instead of 1", other.unwrap_or(&"")))),
    }
}

fn add_tree(forest: &mut Forest, tree: usize, lines: &Lines) -> Result<(), ParseError> {
    let broken = |detail: String| ParseError::Broken { tree, detail };
    let leaves: usize = one(lines, tree, "num_leaves")?;
    let splits = leaves.checked_sub(1).ok_or_else(|| broken("it has no leaf".into()))?;
    if lines.get("is_linear").is_some_and(|&linear| linear != "0") {
        return Err(ParseError::Unsupported(format!("tree {tree} has linear leaves")));
    }
    if leaves > LEAVES_MAX {
        return Err(ParseError::Unsupported(format!("tree {tree} has {leaves} leaves, more than {LEAVES_MAX}")));
    }
    let (root, first_leaf) = (forest.nodes.len(), forest.leaves.len());
    forest.leaves.extend(many::<f64>(lines, tree, "leaf_value", leaves)?);
    if splits == 0 {
        forest.nodes.push(leaf(0, 0));
        forest.trees.push(Tree { nodes: root..root + 1, leaves: first_leaf..first_leaf + 1, categories: false });
        return Ok(());
    }
    let feature: Vec<u16> = many(lines, tree, "split_feature", splits)?;
    let threshold: Vec<f64> = many(lines, tree, "threshold", splits)?;
    let decision: Vec<i32> = many(lines, tree, "decision_type", splits)?;
    let left: Vec<i64> = many(lines, tree, "left_child", splits)?;
    let right: Vec<i64> = many(lines, tree, "right_child", splits)?;
    let bitsets = add_bitsets(forest, tree, lines)?;

    // Breadth first, children side by side: `queue` holds LightGBM's number of each node and where it goes.
    let mut queue = vec![0_i64];
    let mut categories = false;
    let mut next = 0;
    while next < queue.len() {
        let place = next as u16;
        let number = queue[next];
        next += 1;
        if number < 0 {
            let known = u16::try_from(!number).ok().filter(|&leaf| usize::from(leaf) < leaves);
            forest.nodes.push(leaf(place, known.ok_or_else(|| broken(format!("leaf {} of {leaves}", !number)))?));
            continue;
        }
        let split = usize::try_from(number).ok().filter(|&split| split < splits);
        let split = split.ok_or_else(|| broken(format!("node {number} of {splits}")))?;
        if queue.len() + 2 > leaves + splits {
            return Err(broken("its nodes are not a tree".into()));
        }
        if usize::from(feature[split]) >= forest.features.len() {
            return Err(broken(format!("feature {} of {}", feature[split], forest.features.len())));
        }
        let left_place = queue.len() as u16;
        queue.extend([left[split], right[split]]);
        let (reading, threshold) = decide(tree, decision[split], threshold[split], &bitsets)?;
        let column = reading_of(forest, reading) * forest.features.len() + usize::from(feature[split]);
        let column = u16::try_from(column).ok().filter(|column| column & CATEGORIES == 0);
        let column = column.ok_or_else(|| ParseError::Unsupported(format!("{} features are too many", forest.features.len())))?;
        let category = if reading == Reading::AsItIs { CATEGORIES } else { 0 };
        categories |= category != 0;
        forest.nodes.push(Node { threshold, left: left_place, feature: column | category });
    }
    forest.trees.push(Tree { nodes: root..forest.nodes.len(), leaves: first_leaf..first_leaf + leaves, categories });
    Ok(())
}

fn leaf(place: u16, number: u16) -> Node {
    Node { threshold: f32::from_bits(NAN | u32::from(number)), left: place, feature: 0 }
}

/// The greatest `f32` that is no greater than `x`.
fn floor(x: f64) -> f32 {
    let near = x as f32;
    if f64::from(near) > x { near.next_down() } else { near }
}

/// Which of the forest's readings this one is; added where it is new.
fn reading_of(forest: &mut Forest, reading: Reading) -> usize {
    let known = forest.readings.iter().position(|&known| known == reading);
    known.unwrap_or_else(|| {
        forest.readings.push(reading);
        forest.readings.len() - 1
    })
}

/// LightGBM's `decision_type`: bit 0 categories, bit 1 missing goes left, bits 2–3 what is missing (0 nothing: NaN is
/// read as 0.0; 1 zero and NaN; 2 NaN).
fn decide(tree: usize, decision: i32, threshold: f64, bitsets: &Range<usize>) -> Result<(Reading, f32), ParseError> {
    let broken = |detail: String| Err(ParseError::Broken { tree, detail });
    if decision & 1 != 0 {
        let bitset = bitsets.start + threshold as usize;
        if threshold < 0.0 || !bitsets.contains(&bitset) {
            return broken(format!("bitset {threshold} of {}", bitsets.len()));
        }
        return Ok((Reading::AsItIs, f32::from_bits(bitset as u32)));
    }
    if threshold.is_nan() {
        return broken("a threshold is NaN".into());
    }
    let left = decision & 2 != 0;
    let reading = match (decision >> 2) & 3 {
        0 => Reading::NanIsZero,
        1 if left => Reading::ZeroLeft,
        1 => Reading::ZeroRight,
        2 if left => Reading::NanLeft,
        2 => Reading::NanRight,
        other => return broken(format!("missing type {other}")),
    };
    let below = floor(threshold);
    Ok(match reading {
        // What is missing is above it, and ∞ is not.
        Reading::NanRight | Reading::ZeroRight if threshold == f64::INFINITY => (reading, GREATEST),
        // ∞ is above it, and the greatest number is not: there the two are read alike.
        Reading::NanRight | Reading::ZeroRight if below == GREATEST => {
            return Err(ParseError::Unsupported(format!("tree {tree} has a threshold of {threshold}")));
        }
        _ => (reading, below),
    })
}

/// Adds a tree's bitsets to the forest's; returns which of the forest's they are.
fn add_bitsets(forest: &mut Forest, tree: usize, lines: &Lines) -> Result<Range<usize>, ParseError> {
    let first = forest.bitsets.len();
    let count: usize = one(lines, tree, "num_cat")?;
    if count == 0 {
        return Ok(first..first);
    }
    let boundaries: Vec<u32> = many(lines, tree, "cat_boundaries", count + 1)?;
    let words = boundaries[count] as usize;
    let bits: Vec<u32> = many(lines, tree, "cat_threshold", words)?;
    if boundaries[0] != 0 || !boundaries.is_sorted() {
        return Err(ParseError::Broken { tree, detail: "its bitsets overlap".into() });
    }
    let offset = forest.bits.len() as u32;
    forest.bits.extend(bits);
    forest.bitsets.extend(boundaries.windows(2).map(|pair| (offset + pair[0], offset + pair[1])));
    Ok(first..first + count)
}

fn one<T: FromStr>(lines: &Lines, tree: usize, key: &'static str) -> Result<T, ParseError> {
    number(tree, key, lines.get(key).ok_or(ParseError::Missing { tree, key })?)
}

fn many<T: FromStr>(lines: &Lines, tree: usize, key: &'static str, expected: usize) -> Result<Vec<T>, ParseError> {
    let text = lines.get(key).ok_or(ParseError::Missing { tree, key })?;
    let values = text.split_ascii_whitespace().map(|word| number(tree, key, word)).collect::<Result<Vec<T>, _>>()?;
    if values.len() != expected {
        return Err(ParseError::Length { tree, key, found: values.len(), expected });
    }
    Ok(values)
}

fn number<T: FromStr>(tree: usize, key: &'static str, word: &str) -> Result<T, ParseError> {
    word.parse().map_err(|_| ParseError::NotANumber { tree, key, value: word.chars().take(40).collect() })
}
