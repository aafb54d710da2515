//! Degrees to the metres in which Seoul's SpotInfo gives places: WGS84 to EPSG:5181.
//!
//! EPSG:5181 is a transverse Mercator on GRS80 (WGS84 is the same to less than a millimetre): latitude of origin 38°,
//! central meridian 127°, scale 1, false easting 200,000 m, false northing 500,000 m. Krüger's series in the third
//! flattening n, to n³: below a millimetre within Korea.

const SEMI_MAJOR_AXIS_METRES: f64 = 6_378_137.0;
const FLATTENING: f64 = 1.0 / 298.257_222_101;
const ORIGIN_LATITUDE_DEGREES: f64 = 38.0;
const CENTRAL_MERIDIAN_DEGREES: f64 = 127.0;
const FALSE_EASTING_METRES: f64 = 200_000.0;
const FALSE_NORTHING_METRES: f64 = 500_000.0;

/// Easting and northing in metres, EPSG:5181, of a place in degrees, WGS84.
pub(crate) fn epsg_5181(latitude: f64, longitude: f64) -> (f64, f64) {
    let (east, north) = krueger(latitude, longitude - CENTRAL_MERIDIAN_DEGREES);
    let (_, origin) = krueger(ORIGIN_LATITUDE_DEGREES, 0.0);
    (FALSE_EASTING_METRES + east, FALSE_NORTHING_METRES + north - origin)
}

/// Metres east of the central meridian and north of the equator.
fn krueger(latitude: f64, longitude_from_meridian: f64) -> (f64, f64) {
    let n = FLATTENING / (2.0 - FLATTENING);
    let radius = SEMI_MAJOR_AXIS_METRES / (1.0 + n) * (1.0 + n.powi(2) / 4.0 + n.powi(4) / 64.0);
    let series = [
        n / 2.0 - 2.0 / 3.0 * n.powi(2) + 5.0 / 16.0 * n.powi(3),
        13.0 / 48.0 * n.powi(2) - 3.0 / 5.0 * n.powi(3),
        61.0 / 240.0 * n.powi(3),
    ];
    let eccentricity = 2.0 * n.sqrt() / (1.0 + n);
    let (sine, longitude) = (latitude.to_radians().sin(), longitude_from_meridian.to_radians());
    let conformal = (sine.atanh() - eccentricity * (eccentricity * sine).atanh()).sinh();
    let xi = conformal.atan2(longitude.cos());
    let eta = (longitude.sin() / conformal.hypot(1.0)).atanh();
    let (mut east, mut north) = (eta, xi);
    for (factor, order) in series.into_iter().zip([2.0, 4.0, 6.0]) {
        east += factor * (order * xi).cos() * (order * eta).sinh();
        north += factor * (order * xi).sin() * (order * eta).cosh();
    }
    (radius * east, radius * north)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sindang_station_lies_where_the_api_says() {
        let (x, y) = epsg_5181(37.565_46, 127.020_94);
        assert!((x - 201_850.055).abs() < 1.0, "easting {x}");
        assert!((y - 451_769.970).abs() < 1.0, "northing {y}");
    }

    #[test]
    fn the_origin_lies_at_its_false_coordinates() {
        let (x, y) = epsg_5181(38.0, 127.0);
        assert!((x - 200_000.0).abs() < 1e-6 && (y - 500_000.0).abs() < 1e-6, "{x} {y}");
    }

    #[test]
    fn a_degree_of_longitude_has_its_length_on_the_ellipsoid() {
        // At 38° N a hundredth of a degree of longitude is 0.01 · π/180 · N · cos φ = 878.0 m.
        let (x, _) = epsg_5181(38.0, 127.01);
        let radius = SEMI_MAJOR_AXIS_METRES / (1.0 - FLATTENING * (2.0 - FLATTENING) * 38f64.to_radians().sin().powi(2)).sqrt();
        let length = 0.01f64.to_radians() * radius * 38f64.to_radians().cos();
        assert!((x - 200_000.0 - length).abs() < 0.001, "{x} {length}");
    }
}
