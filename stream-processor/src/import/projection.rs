//! Degrees → metres: WGS84 to EPSG:5181, the Korean grid in which Seoul publishes the places of its spots.
//!
//! Transverse Mercator on GRS80, origin 38° N 127° E, scale 1, false easting 200,000 m, false northing 500,000 m.
//! WGS84 and GRS80 differ by less than a millimetre here. Krüger's series to the fourth order: below a millimetre too.

const SEMI_MAJOR_METRES: f64 = 6_378_137.0;
const FLATTENING: f64 = 1.0 / 298.257_222_101;
const LATITUDE_OF_ORIGIN: f64 = 38.0;
const LONGITUDE_OF_ORIGIN: f64 = 127.0;
const FALSE_EASTING: f64 = 200_000.0;
const FALSE_NORTHING: f64 = 500_000.0;

/// Easting and northing in metres, EPSG:5181, of a place in degrees, WGS84.
///
/// Karney, "Transverse Mercator with an accuracy of a few nanometers" (2011), equations 7 to 12 and 35.
pub(super) fn metres(latitude: f64, longitude: f64) -> (f64, f64) {
    let (easting, northing) = from_equator(latitude, longitude - LONGITUDE_OF_ORIGIN);
    let (_, origin) = from_equator(LATITUDE_OF_ORIGIN, 0.0);
    (FALSE_EASTING + easting, FALSE_NORTHING + northing - origin)
}

fn from_equator(latitude: f64, longitude: f64) -> (f64, f64) {
    let n = FLATTENING / (2.0 - FLATTENING);
    let (n2, n3, n4) = (n.powi(2), n.powi(3), n.powi(4));
    let radius = SEMI_MAJOR_METRES / (1.0 + n) * (1.0 + n2 / 4.0 + n4 / 64.0);
    let series = [
        n / 2.0 - 2.0 * n2 / 3.0 + 5.0 * n3 / 16.0 + 41.0 * n4 / 180.0,
        13.0 * n2 / 48.0 - 3.0 * n3 / 5.0 + 557.0 * n4 / 1440.0,
        61.0 * n3 / 240.0 - 103.0 * n4 / 140.0,
        49_561.0 * n4 / 161_280.0,
    ];
    let eccentricity = 2.0 * n.sqrt() / (1.0 + n);
    let (sine, longitude) = (latitude.to_radians().sin(), longitude.to_radians());
    let conformal = (sine.atanh() - eccentricity * (eccentricity * sine).atanh()).sinh();
    let north = conformal.atan2(longitude.cos());
    let east = (longitude.sin() / conformal.hypot(1.0)).atanh();
    let (mut easting, mut northing) = (east, north);
    for (order, coefficient) in (1..).zip(series) {
        let order = 2.0 * f64::from(order);
        easting += coefficient * (order * north).cos() * (order * east).sinh();
        northing += coefficient * (order * north).sin() * (order * east).cosh();
    }
    (radius * easting, radius * northing)
}

#[cfg(test)]
mod tests {
    use super::metres;

    #[test]
    fn a_spot_lies_where_seoul_says() {
        // Spot A-09, Sindang station, to the five decimals in which its degrees are known: about a metre.
        let (x, y) = metres(37.56546, 127.02094);
        assert!((x - 201_850.055).abs() < 1.0 && (y - 451_769.970).abs() < 1.0, "{x} {y}");
    }

    #[test]
    fn the_origin_is_at_the_false_easting_and_northing() {
        let (x, y) = metres(38.0, 127.0);
        assert!((x - 200_000.0).abs() < 1e-6 && (y - 500_000.0).abs() < 1e-6, "{x} {y}");
    }
}
