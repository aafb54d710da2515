//! The walker's numbers are LightGBM's, bit for bit, on random models: missing values, zeros, categories, averages.

use crate::{Binned, Booster, Rows, grow};
use forecaster::{Forest, ParseError};

use super::city::Random;

const WIDTH: usize = 7;
const FEATURES: [&str; WIDTH] = ["a", "b", "c", "d", "category", "large_category", "g"];

/// Values of every kind that a feature can have.
fn value(random: &mut Random, column: usize) -> f32 {
    if random.below(6) == 0 {
        return f32::NAN;
    }
    match column {
        4 => random.below(12) as f32,
        5 => random.below(90) as f32,
        _ => match random.below(8) {
            0 => 0.0,
            1 => -0.0,
            2 => 1e-36,
            3 => -1e-38,
            4 => random.below(5) as f32,
            _ => (random.below(2_000_001) as f32 - 1e6) / 1e4,
        },
    }
}

fn table(seed: u64, rows: usize) -> (Vec<f32>, Vec<f32>) {
    let mut random = Random(seed);
    let columns: Vec<f32> = (0..rows * WIDTH).map(|index| value(&mut random, index % WIDTH)).collect();
    let known = |x: f32| if x.is_nan() { 3.0 } else { x };
    let targets = columns
        .chunks(WIDTH)
        .map(|row| {
            known(row[0]) * 0.3 + (known(row[4]) * 1.7).sin() * 20.0 + (known(row[5]) % 7.0) * 5.0 + known(row[1]).abs().sqrt()
        })
        .collect();
    (columns, targets)
}

/// Grows a model on random rows and compares both on others, among them what training has never seen.
fn check(seed: u64, objective: &str, parameters: &[(&str, &str)], categories: &[usize]) {
    const ROWS: usize = 3000;
    let (columns, targets) = table(seed, ROWS);
    let weights = vec![1.0; ROWS];
    let rows = Rows { columns: &columns, features: &FEATURES, targets: &targets, weights: &weights, categories };
    let mut all =
        vec![("objective", objective.to_owned()), ("num_leaves", "31".to_owned()), ("min_data_in_leaf", "5".to_owned())];
    all.extend(parameters.iter().map(|&(name, value)| (name, value.to_owned())));
    let text = grow(rows, &all, 40, &|_| ()).unwrap();

    let (mut asked, _) = table(seed + 1, 1001);
    let unseen = [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, -7.5, 4e9, -1.0, 95.0, 1e-35, -1e-35];
    for (row, x) in unseen.into_iter().cycle().take(200).enumerate() {
        asked[row * 5 * WIDTH + row % WIDTH] = x;
    }
    let expected = Booster::read(&text).unwrap().predict(&asked, WIDTH).unwrap();
    let forest = Forest::parse(&text).unwrap();
    assert!(forest.trees() > 1, "there is something to walk");
    let found = forest.predict(&asked);
    for (row, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let values = &asked[row * WIDTH..][..WIDTH];
        assert_eq!(found.to_bits(), expected.to_bits(), "row {row} {values:?}: walked {found}, LightGBM {expected}; seed {seed}");
    }
    let distinct: std::collections::BTreeSet<_> = found.iter().map(|x| x.to_bits()).collect();
    assert!(distinct.len() > 100, "the model tells rows apart");
}

#[test]
fn the_walker_is_bit_equal_with_missing_values() {
    for seed in 0..6 {
        check(seed, "regression_l1", &[], &[]);
        check(seed, "quantile", &[("alpha", "0.1"), ("bagging_fraction", "0.7"), ("bagging_freq", "1")], &[]);
        check(seed, "regression", &[("use_missing", "false")], &[]);
    }
}

#[test]
fn the_walker_is_bit_equal_with_zero_as_missing() {
    for seed in 10..16 {
        check(seed, "regression", &[("zero_as_missing", "true")], &[]);
    }
}

#[test]
fn the_walker_is_bit_equal_with_categories() {
    let small = [("min_data_per_group", "5"), ("cat_smooth", "1"), ("max_cat_to_onehot", "4")];
    for seed in 20..26 {
        check(seed, "regression_l1", &small, &[4, 5]);
        check(seed, "regression", &[small[0], small[1], ("zero_as_missing", "true")], &[4, 5]);
    }
}

#[test]
fn the_walker_is_bit_equal_when_outputs_are_averaged() {
    for seed in 30..33 {
        check(seed, "regression", &[("boosting", "rf"), ("bagging_fraction", "0.6"), ("bagging_freq", "1")], &[4]);
    }
}

#[test]
fn the_walker_is_bit_equal_where_no_tree_splits() {
    let (columns, targets) = table(3, 500);
    let weights = vec![1.0; targets.len()];
    let rows = Rows { columns: &columns, features: &FEATURES, targets: &targets, weights: &weights, categories: &[] };
    let parameters = [("objective", "regression".to_owned()), ("min_data_in_leaf", "5000".to_owned())];
    let text = grow(rows, &parameters, 3, &|_| ()).unwrap();
    let forest = Forest::parse(&text).unwrap();
    assert!(forest.trees() > 0, "a tree that is a leaf is one");
    let found = forest.predict(&columns);
    assert_eq!(found, Booster::read(&text).unwrap().predict(&columns, WIDTH).unwrap());
    assert!(found[0] != 0.0, "{}", found[0]);
}

#[test]
fn equal_tables_grow_equal_trees_byte_for_byte() {
    let (columns, targets) = table(3, 4000);
    let weights = vec![1.0; targets.len()];
    let rows = Rows { columns: &columns, features: &FEATURES, targets: &targets, weights: &weights, categories: &[] };
    let parameters =
        [("objective", "quantile".to_owned()), ("bagging_fraction", "0.5".to_owned()), ("bagging_freq", "1".to_owned())];
    let first = grow(rows, &parameters, 30, &|_| ()).unwrap();
    // On the same rows, beside two others, as training grows them.
    let binned = Binned::new(rows, &[]).unwrap();
    let grow = || binned.grow(&parameters, 30, &|_| ()).unwrap();
    let together: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(grow)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(together.iter().all(|text| *text == first));
}

#[test]
fn a_model_that_cannot_be_walked_exactly_is_refused_with_the_reason() {
    let (columns, targets) = table(3, 500);
    let weights = vec![1.0; targets.len()];
    let rows = Rows { columns: &columns, features: &FEATURES, targets: &targets, weights: &weights, categories: &[] };
    let parameters =
        |objective: &str, more: (&'static str, &str)| vec![("objective", objective.to_owned()), (more.0, more.1.to_owned())];
    let text = |objective: &str, more| grow(rows, &parameters(objective, more), 3, &|_| ()).unwrap();

    let linear = Forest::parse(&text("regression", ("linear_tree", "true"))).unwrap_err();
    assert!(matches!(&linear, ParseError::Unsupported(why) if why.contains("linear")), "{linear}");
    let squared = Forest::parse(&text("regression", ("reg_sqrt", "true"))).unwrap_err();
    assert!(matches!(squared, ParseError::Unsupported(_)), "{squared}");

    let whole = text("regression", ("num_leaves", "7"));
    assert!(Forest::parse(&whole).is_ok());
    assert_eq!(Forest::parse(&whole[..whole.find("end of trees").unwrap()]).unwrap_err(), ParseError::Truncated);
    assert_eq!(Forest::parse("<html>").unwrap_err(), ParseError::NotAModel("<html>".into()));
    let astray = whole.replacen("left_child=", "left_child=9999 ", 1);
    assert!(matches!(Forest::parse(&astray), Err(ParseError::Length { .. })));
    let line = whole.lines().find(|line| line.starts_with("left_child=")).unwrap();
    let cycle = whole.replacen(line, &format!("left_child={}", vec!["0"; line.split(' ').count()].join(" ")), 1);
    assert!(matches!(Forest::parse(&cycle), Err(ParseError::Broken { .. })));
}
