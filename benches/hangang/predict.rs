//! A prediction of one series' next day: 24 rows through 500 trees of 63 leaves, our walker beside LightGBM's C API.

use std::hint::black_box;
use std::time::Instant;

use anyhow::ensure;
use forecaster::Forest;
use trainer::{Booster, Rows, grow};

use crate::machine::{Since, cpu_seconds};
use crate::table::{Goal, Table, median};

const TREES: usize = 500;
const LEAVES: usize = 63;
/// As many features as the traffic model has.
const FEATURES: usize = 38;
const ROWS_ASKED: usize = 24;
/// Rows that the model is grown on: enough that every tree has all its leaves.
const ROWS_GROWN_ON: usize = 60_000;
const ROUNDS: usize = 15;
const PREDICTIONS_A_ROUND: usize = 20;
const MICROS_MAX: f64 = 100.0;

pub fn run(table: &mut Table) -> anyhow::Result<()> {
    let (columns, text) = grown()?;
    let (forest, booster) = (Forest::parse(&text)?, Booster::read(&text)?);
    ensure!(forest.trees() == TREES, "the model has {} trees", forest.trees());
    let asked = &columns[..ROWS_ASKED * FEATURES];
    ensure!(forest.predict(asked) == booster.predict(asked, FEATURES)?, "walker and C API differ");

    let (since, cpu) = (Since::now()?, cpu_seconds("self")?);
    let (mut walker, mut c_api) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // Several of one kind in a row, as series follow each other: the other's memory is out of the caches by then.
        walker.extend(micros(|| forest.predict(black_box(asked))));
        c_api.extend(micros(|| booster.predict(black_box(asked), FEATURES).expect("it has answered before")));
    }
    let others = since.others(cpu_seconds("self")? - cpu)?;
    let (walker, c_api) = (median(walker), median(c_api));
    table.add(
        format!("{ROWS_ASKED} rows through {TREES} trees of {LEAVES} leaves: our walker"),
        format!("{walker:.0} µs"),
        Some(Goal {
            text: format!("≤ {MICROS_MAX:.0} µs"),
            met: walker <= MICROS_MAX,
            reason: format!(
                "{:.1} ns a row and tree, where the C API takes {:.1}; others took {:.0} % of the machine meanwhile",
                walker * 1e3 / (ROWS_ASKED * TREES) as f64,
                c_api * 1e3 / (ROWS_ASKED * TREES) as f64,
                others * 100.0
            ),
        }),
    );
    table.add("  by LightGBM's C API, the same numbers to the bit", format!("{c_api:.0} µs"), None);
    table.add("  walker beside C API", format!("{:.1} × as fast", c_api / walker), None);
    Ok(())
}

/// What each of some predictions took, in microseconds.
fn micros(predict: impl Fn() -> Vec<f64>) -> impl Iterator<Item = f64> {
    (0..PREDICTIONS_A_ROUND).map(move |_| {
        let started = Instant::now();
        black_box(predict());
        started.elapsed().as_secs_f64() * 1e6
    })
}

/// Rows, and a model grown on them: LightGBM's text.
fn grown() -> anyhow::Result<(Vec<f32>, String)> {
    let names: Vec<String> = (0..FEATURES).map(|column| format!("f{column}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut random = Random(1);
    let columns: Vec<f32> = (0..ROWS_GROWN_ON * FEATURES).map(|_| random.below(10_000) as f32 / 100.0).collect();
    let targets: Vec<f32> =
        columns.chunks(FEATURES).map(|row| row[0] + (row[1] / 9.0).sin() * row[2] + row[3] * row[4] / 50.0).collect();
    let weights = vec![1.0; targets.len()];
    let rows = Rows { columns: &columns, features: &names, targets: &targets, weights: &weights, categories: &[] };
    let parameters = [("objective", "regression".to_owned()), ("num_leaves", LEAVES.to_string())];
    let text = grow(rows, &parameters, TREES, &|_| ())?;
    Ok((columns, text))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
