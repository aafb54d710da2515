//! A total shared by lanes: integers that sum to it exactly.

use super::LaneRow;
use crate::random::Random;

/// Most lanes of one direction: Seoul's widest roads have so many.
const LANES_MAX: usize = 6;
/// Vehicles an hour on average, over day and night, that ask for another lane.
const VEHICLES_A_LANE: f64 = 420.0;

/// The fixed lanes of a series and what share of the vehicles each takes.
#[derive(Clone, Debug)]
pub struct Lanes {
    shares: Vec<u32>,
}

impl Lanes {
    /// As many lanes as a series of this mean volume (vehicles an hour) needs, with uneven shares.
    pub(crate) fn of_level(mean: f64, random: Random) -> Lanes {
        let count = ((mean / VEHICLES_A_LANE).ceil() as usize).clamp(1, LANES_MAX);
        Lanes { shares: (0..count).map(|lane| random.whole(lane as i64, 800, 1200) as u32).collect() }
    }

    pub fn count(&self) -> usize {
        self.shares.len()
    }

    /// One row a lane, from lane 1; the volumes sum to `total`. What whole vehicles leave over goes to the lanes with the
    /// largest remainders, the lower lane first.
    pub fn rows(&self, direction: u8, total: u32) -> impl Iterator<Item = LaneRow> + use<> {
        let all: u64 = self.shares.iter().map(|&share| u64::from(share)).sum();
        let exact = |lane: usize| u64::from(total) * u64::from(self.shares[lane]);
        let mut volumes: Vec<u32> = (0..self.count()).map(|lane| (exact(lane) / all) as u32).collect();
        let mut by_remainder: Vec<usize> = (0..self.count()).collect();
        by_remainder.sort_by_key(|&lane| std::cmp::Reverse(exact(lane) % all));
        let left = total - volumes.iter().sum::<u32>();
        for &lane in by_remainder.iter().take(left as usize) {
            volumes[lane] += 1;
        }
        volumes.into_iter().zip(1u8..).map(move |(volume, lane)| LaneRow { direction, lane, volume })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_sum_to_the_total_whatever_it_is() {
        for level in [0.0, 100.0, 900.0, 1700.0, 9000.0] {
            let lanes = Lanes::of_level(level, Random::new(level as u64));
            for total in (0..50).chain([999, 1_000, 12_345, 30_000]) {
                let rows: Vec<LaneRow> = lanes.rows(2, total).collect();
                assert_eq!(rows.len(), lanes.count());
                assert_eq!(rows.iter().map(|row| row.volume).sum::<u32>(), total);
                assert!(rows.iter().zip(1..).all(|(row, lane)| row.lane == lane && row.direction == 2));
            }
        }
    }

    #[test]
    fn busier_roads_have_more_lanes_within_reason() {
        let count = |level| Lanes::of_level(level, Random::new(1)).count();
        assert_eq!([count(0.0), count(400.0), count(1000.0), count(50_000.0)], [1, 1, 3, LANES_MAX]);
    }
}
