//! Rain and snow over the whole city, as far as traffic feels them.

use crate::random::Random;

/// How much of the time it is wet, as the normal deviate above which it is: about 9 % of hours, 16 % in summer.
const WET_ABOVE: f64 = 1.35;
const WET_ABOVE_SUMMER: f64 = 1.0;
/// Snow slows a city several times more than rain.
const SNOW_FACTOR: f64 = 2.5;

pub(super) struct Weather {
    fronts: Random,
    showers: Random,
}

impl Weather {
    pub(super) fn new(random: Random) -> Weather {
        Weather { fronts: random.branch("fronts"), showers: random.branch("showers") }
    }

    /// How strongly wet roads are felt in an hour: 0 dry, 1 a good rain, above that downpours and snow.
    pub(super) fn wetness(&self, hour: i64, month: u32) -> f64 {
        // Fronts pass in about a day, showers within hours; 0.8² + 0.6² = 1 keeps the sum a standard normal.
        let sky = 0.8 * self.fronts.smooth(hour as f64 / 15.0) + 0.6 * self.showers.smooth(hour as f64 / 5.0);
        let above = if (6..=8).contains(&month) { WET_ABOVE_SUMMER } else { WET_ABOVE };
        let rain = ((sky - above) * 1.5).clamp(0.0, 2.0);
        let snow = month == 12 || month <= 2;
        if snow { rain * SNOW_FACTOR } else { rain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_wet_now_and_then_and_for_hours_at_a_stretch() {
        let weather = Weather::new(Random::new(3));
        let wet: Vec<bool> = (0..20_000).map(|hour| weather.wetness(hour, 10) > 0.0).collect();
        let hours = wet.iter().filter(|&&wet| wet).count() as f64;
        let spells = wet.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
        assert!((0.04..0.15).contains(&(hours / 20_000.0)), "{hours} wet hours");
        assert!(hours / spells > 2.0, "{hours} hours in {spells} spells");
    }
}
