//! The invented spots: real ids' pattern, invented roads, places within Seoul by its districts and its river.

use crate::city::Spot;
use crate::random::Random;

/// What kind of road an id's letter stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A: the old centre.
    Centre,
    /// B: where the city ends.
    Border,
    /// C: across the river.
    Bridge,
    /// D: arterial roads, large and small.
    Arterial,
    /// F: urban expressways.
    Expressway,
}

impl Class {
    /// Least and greatest level of a road, vehicles an hour and direction by day.
    pub(super) fn level(self) -> (f64, f64) {
        match self {
            Class::Centre => (600.0, 3000.0),
            Class::Border => (800.0, 4500.0),
            Class::Bridge => (1500.0, 6500.0),
            Class::Arterial => (200.0, 4500.0),
            Class::Expressway => (3500.0, 8000.0),
        }
    }

    /// Least and greatest share of a level that passes at the dead of night.
    pub(super) fn night(self) -> (f64, f64) {
        match self {
            Class::Centre => (0.05, 0.3),
            Class::Border => (0.05, 0.25),
            Class::Bridge => (0.12, 0.3),
            Class::Arterial => (0.003, 0.2),
            Class::Expressway => (0.15, 0.3),
        }
    }

    /// How much of a rush there is, against an ordinary road.
    pub(super) fn rush(self) -> f64 {
        match self {
            Class::Centre | Class::Expressway => 0.6,
            Class::Border | Class::Bridge => 1.2,
            Class::Arterial => 0.9,
        }
    }
}

pub(super) struct Place {
    pub(super) spot: Spot,
    pub(super) class: Class,
}

/// The ids' letters in their order, how many spots each has, and what they are.
const GROUPS: [(char, usize, Class); 5] = [
    ('A', 24, Class::Centre),
    ('B', 38, Class::Border),
    ('C', 21, Class::Bridge),
    ('D', 46, Class::Arterial),
    ('F', 10, Class::Expressway),
];

/// All spots, ascending by id.
pub(super) fn invent(random: Random) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for (letter, count, class) in GROUPS {
        for number in 0..count {
            let spot = invent_one(random.member(places.len()), letter, number, count, class, places.len());
            places.push(Place { spot, class });
        }
    }
    places
}

fn invent_one(random: Random, letter: char, number: usize, count: usize, class: Class, ordinal: usize) -> Spot {
    let (latitude, longitude) = place(random, number, count, class);
    let district = nearest_district(latitude, longitude);
    // 7 shares no divisor with 48: a root comes again only 48 spots later, and then with another landmark.
    let root = ROADS[ordinal * 7 % ROADS.len()];
    let landmark = LANDMARKS[(ordinal * 5 + ordinal / ROADS.len()) % LANDMARKS.len()];
    let (road, name) = match class {
        Class::Bridge => (format!("{root}대교"), format!("{root}대교")),
        Class::Expressway => (format!("{root}고속화도로"), format!("{root}고속화도로")),
        Class::Border => (format!("{root}대로"), format!("{root}대로({landmark})")),
        Class::Centre | Class::Arterial => (format!("{root}로"), format!("{root}로({landmark})")),
    };
    let (here, there) = (random.pick(10, &LANDMARKS), random.pick(11, &LANDMARKS));
    let there = if here == there { "시청" } else { there };
    Spot {
        id: format!("{letter}-{:02}", number + 1),
        name,
        detector: (*random.pick(12, &["지자기", "영상", "루프"])).to_owned(),
        latitude,
        longitude,
        district: district.to_owned(),
        address: format!("서울시 {district} {road} {}", random.whole(13, 1, 480)),
        inflow: format!("[{road}]{here}->{there}"),
        outflow: format!("[{road}]{there}->{here}"),
    }
}

/// Degrees, to the six decimals that the archive's list has.
fn place(random: Random, number: usize, count: usize, class: Class) -> (f64, f64) {
    let along = (number as f64 + 0.5) / count as f64;
    let near = |(latitude, longitude): (f64, f64), spread: f64| {
        (latitude + spread * random.within(1, -1.0, 1.0), longitude + spread * 1.25 * random.within(2, -1.0, 1.0))
    };
    let (latitude, longitude) = match class {
        Class::Centre => near(CITY_HALL, 0.018),
        Class::Bridge => on_line(&HAN, along),
        Class::Border => near(centre(BORDER[number % BORDER.len()]), 0.011),
        Class::Arterial => near(centre(DISTRICTS[number % DISTRICTS.len()].0), 0.011),
        Class::Expressway => near(on_line(&RING, along), 0.003),
    };
    let round = |degrees: f64| (degrees * 1e6).round() / 1e6;
    (round(latitude), round(longitude))
}

fn centre(district: &str) -> (f64, f64) {
    let (_, latitude, longitude) = DISTRICTS.iter().find(|(name, ..)| *name == district).expect("a district of the list");
    (*latitude, *longitude)
}

fn nearest_district(latitude: f64, longitude: f64) -> &'static str {
    // A degree of longitude is four fifths of one of latitude here.
    let distance = |&(_, at, across): &(&str, f64, f64)| (latitude - at).powi(2) + ((longitude - across) * 0.8).powi(2);
    DISTRICTS.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).expect("there are districts").0
}

/// The place a share of the way along a line of places.
fn on_line(line: &[(f64, f64)], along: f64) -> (f64, f64) {
    let at = along * (line.len() - 1) as f64;
    let from = (at as usize).min(line.len() - 2);
    let part = at - from as f64;
    let between = |a: f64, b: f64| a + (b - a) * part;
    (between(line[from].0, line[from + 1].0), between(line[from].1, line[from + 1].1))
}

/// Latitude and longitude, WGS84, to about a hundred metres; so are the lists below.
const CITY_HALL: (f64, f64) = (37.5665, 126.978);

/// The Han's middle, from where it leaves the city to where it enters it.
const HAN: [(f64, f64); 12] = [
    (37.582, 126.828),
    (37.566, 126.862),
    (37.549, 126.893),
    (37.537, 126.917),
    (37.523, 126.950),
    (37.514, 126.975),
    (37.516, 126.998),
    (37.532, 127.019),
    (37.535, 127.045),
    (37.523, 127.070),
    (37.532, 127.100),
    (37.560, 127.135),
];

/// A ring of expressways about the inner city.
const RING: [(f64, f64); 9] = [
    (37.560, 126.880),
    (37.585, 126.930),
    (37.603, 126.990),
    (37.605, 127.045),
    (37.572, 127.080),
    (37.512, 127.080),
    (37.478, 127.030),
    (37.476, 126.960),
    (37.500, 126.885),
];

/// Seoul's districts and where they have their offices.
const DISTRICTS: [(&str, f64, f64); 25] = [
    ("종로구", 37.573, 126.979),
    ("중구", 37.564, 126.998),
    ("용산구", 37.532, 126.990),
    ("성동구", 37.563, 127.037),
    ("광진구", 37.545, 127.085),
    ("동대문구", 37.574, 127.040),
    ("중랑구", 37.606, 127.093),
    ("성북구", 37.589, 127.017),
    ("강북구", 37.640, 127.025),
    ("도봉구", 37.668, 127.047),
    ("노원구", 37.654, 127.056),
    ("은평구", 37.603, 126.929),
    ("서대문구", 37.579, 126.937),
    ("마포구", 37.563, 126.908),
    ("양천구", 37.517, 126.866),
    ("강서구", 37.551, 126.850),
    ("구로구", 37.495, 126.888),
    ("금천구", 37.457, 126.895),
    ("영등포구", 37.526, 126.896),
    ("동작구", 37.512, 126.940),
    ("관악구", 37.478, 126.951),
    ("서초구", 37.484, 127.033),
    ("강남구", 37.517, 127.047),
    ("송파구", 37.514, 127.106),
    ("강동구", 37.530, 127.124),
];

/// Districts at the city's edge.
const BORDER: [&str; 13] = [
    "도봉구",
    "노원구",
    "중랑구",
    "광진구",
    "강동구",
    "송파구",
    "서초구",
    "관악구",
    "금천구",
    "구로구",
    "양천구",
    "강서구",
    "은평구",
];

const ROADS: [&str; 48] = [
    "가온", "누리", "다솜", "라온", "마루", "바름", "새봄", "아라", "이든", "하늘", "한결", "해솔", "초롱", "은솔", "단비",
    "도담", "미르", "벼리", "슬기", "여울", "온새", "푸른", "한울", "별빛", "달빛", "솔빛", "나래", "동녘", "윤슬", "가람",
    "소담", "다온", "예솔", "늘봄", "참샘", "버들", "느티", "은행", "큰솔", "새벽", "노을", "바람", "구름", "햇살", "무지",
    "보람", "아침", "들꽃",
];

const LANDMARKS: [&str; 13] =
    ["사거리", "시장", "공원", "초등학교", "고개", "우체국", "도서관", "체육관", "삼거리", "병원", "박물관", "주민센터", "터널"];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::projection::epsg_5181;

    #[test]
    fn the_spots_have_the_real_ids_pattern_and_names_of_their_own() {
        for seed in 0..20 {
            let places = invent(Random::new(seed));
            assert_eq!(places.len(), 139);
            let ids: Vec<&str> = places.iter().map(|place| place.spot.id.as_str()).collect();
            assert!(ids.is_sorted() && ids[0] == "A-01" && ids[23] == "A-24" && ids[24] == "B-01" && ids[138] == "F-10");
            let names: HashSet<&str> = places.iter().map(|place| place.spot.name.as_str()).collect();
            assert_eq!(names.len(), 139, "a name comes twice");
        }
    }

    #[test]
    fn the_spots_lie_in_seoul() {
        for seed in 0..20 {
            for place in invent(Random::new(seed)) {
                let Spot { latitude, longitude, id, .. } = place.spot;
                assert!(
                    (37.43..37.70).contains(&latitude) && (126.77..127.18).contains(&longitude),
                    "{id} {latitude} {longitude}"
                );
                let (x, y) = epsg_5181(latitude, longitude);
                assert!((179_000.0..217_000.0).contains(&x) && (436_000.0..467_000.0).contains(&y), "{id} {x} {y}");
            }
        }
    }
}
