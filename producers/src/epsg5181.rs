//! Korea 2000 / Central Belt (EPSG:5181) → WGS84: the inverse transverse Mercator projection on GRS80.
//!
//! Krüger's series to the third order in the third flattening (L. Krüger 1912; C. F. F. Karney, "Transverse Mercator
//! with an accuracy of a few nanometers", 2011, equations 7 to 37), good to well under a millimetre in Korea. GRS80
//! and WGS84 differ by 0.1 mm in the polar radius and are taken as one.

/// GRS80: equatorial radius in metres, and flattening.
const A: f64 = 6_378_137.0;
const F: f64 = 1.0 / 298.257_222_101;
/// Third flattening.
const N: f64 = F / (2.0 - F);

/// EPSG:5181: origin in degrees, scale 1, and the coordinates of the origin in metres.
const LATITUDE_0: f64 = 38.0;
const LONGITUDE_0: f64 = 127.0;
const FALSE_EASTING: f64 = 200_000.0;
const FALSE_NORTHING: f64 = 500_000.0;

/// Radius of the rectifying sphere: a quarter meridian is π/2 of it.
const RECTIFYING: f64 = A / (1.0 + N) * (1.0 + N * N / 4.0 + N * N * N * N / 64.0);

const ALPHA: [f64; 3] =
    [N / 2.0 - 2.0 / 3.0 * N * N + 5.0 / 16.0 * N * N * N, 13.0 / 48.0 * N * N - 3.0 / 5.0 * N * N * N, 61.0 / 240.0 * N * N * N];
const BETA: [f64; 3] = [
    N / 2.0 - 2.0 / 3.0 * N * N + 37.0 / 96.0 * N * N * N,
    1.0 / 48.0 * N * N + 1.0 / 15.0 * N * N * N,
    17.0 / 480.0 * N * N * N,
];
const DELTA: [f64; 3] =
    [2.0 * N - 2.0 / 3.0 * N * N - 2.0 * N * N * N, 7.0 / 3.0 * N * N - 8.0 / 5.0 * N * N * N, 56.0 / 15.0 * N * N * N];

/// 1e-7 degrees is a centimetre: finer than the source, coarse enough that every machine prints the same digits.
const DIGITS: f64 = 1e7;

/// Latitude and longitude in degrees of an easting `x` and northing `y` in metres.
pub(crate) fn to_wgs84(x: f64, y: f64) -> (f64, f64) {
    let xi = (y - FALSE_NORTHING) / RECTIFYING + origin();
    let eta = (x - FALSE_EASTING) / RECTIFYING;
    let (mut xi_sphere, mut eta_sphere) = (xi, eta);
    for (order, beta) in (1..).zip(BETA) {
        let k = 2.0 * f64::from(order);
        xi_sphere -= beta * (k * xi).sin() * (k * eta).cosh();
        eta_sphere -= beta * (k * xi).cos() * (k * eta).sinh();
    }
    let conformal = (xi_sphere.sin() / eta_sphere.cosh()).asin();
    let latitude =
        conformal + (1..).zip(DELTA).map(|(order, delta)| delta * (2.0 * f64::from(order) * conformal).sin()).sum::<f64>();
    let longitude = eta_sphere.sinh().atan2(xi_sphere.cos());
    let rounded = |degrees: f64| (degrees * DIGITS).round() / DIGITS;
    (rounded(latitude.to_degrees()), rounded(LONGITUDE_0 + longitude.to_degrees()))
}

/// The meridian's length from the equator to the origin, in rectifying radii.
fn origin() -> f64 {
    let sin = LATITUDE_0.to_radians().sin();
    let e = 2.0 * N.sqrt() / (1.0 + N);
    let conformal = (sin.atanh() - e * (e * sin).atanh()).sinh().atan();
    conformal + (1..).zip(ALPHA).map(|(order, alpha)| alpha * (2.0 * f64::from(order) * conformal).sin()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sindang_station_lies_where_it_does() {
        let (latitude, longitude) = to_wgs84(201_850.055, 451_769.970);
        assert_eq!((format!("{latitude:.5}"), format!("{longitude:.5}")), ("37.56546".into(), "127.02094".into()));
    }

    #[test]
    fn the_origin_is_the_origin() {
        assert_eq!(to_wgs84(200_000.0, 500_000.0), (38.0, 127.0));
    }

    #[test]
    fn east_and_west_of_the_meridian_are_mirror_images() {
        let (east, west) = (to_wgs84(230_000.0, 450_000.0), to_wgs84(170_000.0, 450_000.0));
        assert_eq!(east.0, west.0);
        assert!((east.1 + west.1 - 254.0).abs() < 1e-9);
    }

    #[test]
    fn a_kilometre_on_the_meridian_is_a_kilometre_of_the_ellipsoid() {
        // Meridian radius of curvature of GRS80 at 37.5° N: a(1−e²)/(1−e²sin²φ)^1.5 = 6 359 100 m or so.
        let (south, north) = (to_wgs84(200_000.0, 444_000.0).0, to_wgs84(200_000.0, 445_000.0).0);
        let e2 = F * (2.0 - F);
        let radius = A * (1.0 - e2) / (1.0 - e2 * 37.5_f64.to_radians().sin().powi(2)).powf(1.5);
        assert!(((north - south).to_radians() * radius - 1000.0).abs() < 0.05);
    }
}
