//! Chance without state: every draw is a hash of the seed, of what it is for and of where it stands.
//!
//! So a value never depends on which others were asked for before, or in which order.

/// A stream of draws. Streams with different names are independent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(mix(seed.wrapping_add(STEP)))
    }

    /// The stream of one purpose.
    pub(crate) fn branch(self, name: &str) -> Random {
        Random(name.bytes().fold(self.0, |key, byte| mix(key ^ u64::from(byte).wrapping_add(STEP))))
    }

    /// The stream of one member of a purpose, as a series.
    pub(crate) fn member(self, number: usize) -> Random {
        Random(self.bits(number as i64))
    }

    pub(crate) fn bits(self, at: i64) -> u64 {
        mix(self.0 ^ mix((at as u64).wrapping_add(STEP)))
    }

    /// Even over [0, 1).
    pub(crate) fn unit(self, at: i64) -> f64 {
        (self.bits(at) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Even over [low, high).
    pub(crate) fn within(self, at: i64, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit(at)
    }

    /// A whole number from `low` to `high`, both included.
    pub(crate) fn whole(self, at: i64, low: i64, high: i64) -> i64 {
        low + (self.unit(at) * (high - low + 1) as f64) as i64
    }

    pub(crate) fn chance(self, at: i64, probability: f64) -> bool {
        self.unit(at) < probability
    }

    pub(crate) fn pick<T>(self, at: i64, from: &[T]) -> &T {
        &from[(self.unit(at) * from.len() as f64) as usize]
    }

    /// Standard normal, by Box and Muller from the two halves of one draw.
    pub(crate) fn normal(self, at: i64) -> f64 {
        let bits = self.bits(at);
        let radius = ((bits >> 32) + 1) as f64 / (1u64 << 32) as f64;
        let angle = (bits & 0xffff_ffff) as f64 / (1u64 << 32) as f64;
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    /// Standard normal that changes smoothly with `t`: knots at the whole numbers, between them a blend of both
    /// neighbours that keeps the variance.
    pub(crate) fn smooth(self, t: f64) -> f64 {
        let knot = t.floor();
        let x = t - knot;
        let weight = x * x * (3.0 - 2.0 * x);
        let (before, after) = (self.normal(knot as i64), self.normal(knot as i64 + 1));
        let (left, right) = (1.0 - weight, weight);
        (before * left + after * right) / (left * left + right * right).sqrt()
    }

    /// A count of independent events of which `mean` are expected.
    pub(crate) fn poisson(self, at: i64, mean: f64) -> u32 {
        if mean > POISSON_NORMAL_FROM {
            return (mean + mean.sqrt() * self.normal(at)).round().max(0.0) as u32;
        }
        let draw = self.unit(at);
        let mut term = (-mean).exp();
        let mut sum = term;
        let mut count = 0;
        while draw > sum && count < POISSON_MAX {
            count += 1;
            term *= mean / f64::from(count);
            sum += term;
        }
        count
    }
}

/// Expected events from which a rounded normal stands for a Poisson count: its skew is below 0.2 there.
const POISSON_NORMAL_FROM: f64 = 30.0;
/// Ends the summing where rounding keeps it from reaching 1: far beyond any count of a mean below 30.
const POISSON_MAX: u32 = 200;
/// The odd step of splitmix64, 2⁶⁴ divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_and_deviation(draws: impl Iterator<Item = f64>) -> (f64, f64) {
        let draws: Vec<f64> = draws.collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        (mean, variance.sqrt())
    }

    #[test]
    fn draws_have_the_distribution_that_they_name() {
        let random = Random::new(1).branch("test");
        for (what, draws, mean, deviation) in [
            ("unit", (0..20_000).map(|at| random.unit(at)).collect::<Vec<_>>(), 0.5, 0.2887),
            ("normal", (0..20_000).map(|at| random.normal(at)).collect(), 0.0, 1.0),
            ("smooth", (0..20_000).map(|at| random.smooth(at as f64 * 0.37)).collect(), 0.0, 1.0),
            ("few", (0..20_000).map(|at| f64::from(random.poisson(at, 2.5))).collect(), 2.5, 2.5f64.sqrt()),
            ("many", (0..20_000).map(|at| f64::from(random.poisson(at, 400.0))).collect(), 400.0, 20.0),
        ] {
            let found = mean_and_deviation(draws.into_iter());
            assert!((found.0 - mean).abs() < 0.03 * deviation, "{what}: mean {}", found.0);
            assert!((found.1 / deviation - 1.0).abs() < 0.03, "{what}: deviation {}", found.1);
        }
    }

    #[test]
    fn streams_of_different_names_and_members_differ() {
        let random = Random::new(1);
        let draws = [
            random.branch("late").bits(0),
            random.branch("dead").bits(0),
            random.branch("late").member(1).bits(0),
            random.branch("late").member(2).bits(0),
            Random::new(2).branch("late").bits(0),
        ];
        assert_eq!(draws.iter().collect::<std::collections::HashSet<_>>().len(), draws.len());
    }
}
