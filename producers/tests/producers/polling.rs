//! Whole polls in stepped city time: what is asked, what is published, and what trouble leaves behind.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use catalog::kst;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use clock::{Clock, Stepper};
use tokio_util::sync::CancellationToken;

use crate::tests::kafka::{Kafka, Stored};
use crate::tests::upstream::{Reply, Upstream, error, spots, volumes};
use crate::{FeedResume, FeedStatus, Observation, Producers, ProducersConfig, Resume, Secret};

const SPOTS: &[&str] = &["A-01", "A-02", "C-01"];
const VOLUME: &str = "traffic_volume";

fn at(kst_time: &str) -> DateTime<Utc> {
    format!("{kst_time}:00+09:00").parse().unwrap()
}

/// The hour that a VolInfo path asks for.
fn hour(segments: &[&str]) -> DateTime<Utc> {
    let text = format!("{}{}0000", segments[6], segments[7]);
    kst::from_kst(NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%S").unwrap())
}

/// What the test's city answers at `now`: two lanes a spot from half an hour after the hour; A-02's second lane comes
/// three hours late, and C-01's first is put right five hours after the hour.
fn city(segments: &[&str], now: DateTime<Utc>) -> Reply {
    if segments[2] == "SpotInfo" {
        return spots(SPOTS);
    }
    let age = now - (hour(segments) + TimeDelta::hours(1));
    if age < TimeDelta::minutes(30) {
        return error("INFO-200");
    }
    let base = i64::from(hour(segments).timestamp() as i32 / 3600 % 100);
    let mut lanes = vec![(1, 1, base), (2, 1, base + 1)];
    match segments[5] {
        "A-02" if age < TimeDelta::hours(3) => {}
        "A-02" => lanes.push((1, 2, base + 2)),
        "C-01" if age >= TimeDelta::hours(5) => lanes[0].2 += 1000,
        _ => {}
    }
    volumes(segments, &lanes)
}

struct City {
    kafka: Kafka,
    upstream: Upstream,
    clock: Clock,
    stepper: Stepper,
    /// Where the producers keep their progress.
    folder: tempfile::TempDir,
}

impl City {
    async fn start(start: DateTime<Utc>, mut answerer: impl FnMut(&[&str], DateTime<Utc>) -> Reply + Send + 'static) -> City {
        let (clock, stepper) = Clock::stepped(None, start).unwrap();
        let city_clock = clock.clone();
        let upstream = Upstream::start(move |segments| answerer(segments, city_clock.now())).await;
        City { kafka: Kafka::start().await, upstream, clock, stepper, folder: tempfile::tempdir().unwrap() }
    }

    fn producers(&self, resume: Resume) -> Producers {
        let config = ProducersConfig {
            base_url: self.upstream.url.clone(),
            key: Secret::new("0123456789abcdef0123456789abcd"),
            bootstrap: self.kafka.bootstrap(),
            feeds: catalog::FEEDS.to_vec(),
            progress: Some(self.folder.path().join("asked")),
        };
        Producers::start(config, self.clock.clone(), resume, CancellationToken::new()).unwrap()
    }

    async fn until(&mut self, time: DateTime<Utc>) {
        while self.stepper.step(time, async || ()).await.unwrap() {}
    }

    async fn topic(&self, name: &str) -> Vec<Stored> {
        self.kafka.read(name).await
    }

    /// Volumes published for each (series, hour), in order, with the time after the hour's end at which each came.
    async fn published(&self) -> BTreeMap<(String, DateTime<Utc>), Vec<(i64, TimeDelta)>> {
        let mut published: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut partitions = HashMap::new();
        for record in self.topic(VOLUME).await {
            let json = record.json();
            assert_eq!(
                *partitions.entry(record.key.clone()).or_insert(record.partition),
                record.partition,
                "a series keeps its partition"
            );
            let time = |name: &str| json[name].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
            let age = time("received_at") - time("observed_at") - TimeDelta::hours(1);
            assert_eq!(record.timestamp_ms, time("observed_at").timestamp_millis());
            published.entry((record.key.clone(), time("observed_at"))).or_default().push((json["volume"].as_i64().unwrap(), age));
        }
        published
    }

    /// What a lake that had landed everything would hand over.
    async fn resume(&self) -> Resume {
        let mut resume = Resume { feeds: HashMap::new(), spots: SPOTS.iter().map(|&spot| spot.to_owned()).collect() };
        for feed in catalog::FEEDS {
            let mut known = FeedResume::default();
            for record in self.topic(feed.name).await {
                let json = record.json();
                let received_at = json["received_at"].as_str().unwrap().parse().ok();
                known.newest_received_at = known.newest_received_at.max(received_at);
                known.newest_polled_at = known.newest_received_at;
                known.learn(&Observation::from_json(feed, &json).unwrap());
            }
            resume.feeds.insert(feed.name.to_owned(), known);
        }
        resume
    }
}

fn status<'a>(statuses: &'a [FeedStatus], feed: &str) -> &'a FeedStatus {
    statuses.iter().find(|status| status.feed == feed).unwrap()
}

#[tokio::test]
async fn two_days_are_asked_by_their_schedule_and_only_news_is_published() {
    let mut city = City::start(at("2022-10-01T00:00"), city).await;
    let producers = city.producers(Resume::default());
    city.until(at("2022-10-03T01:00")).await;
    let statuses = producers.status();
    producers.stop().await;

    let day = |hour: &DateTime<Utc>| (at("2022-10-01T00:00")..at("2022-10-02T00:00")).contains(hour);
    let mut histories: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for ((series, _), came) in city.published().await.iter().filter(|((_, hour), _)| day(hour)) {
        let minutes = came
            .iter()
            .map(|(volume, age)| format!("{}{}", age.num_minutes(), if *volume >= 1000 { " (put right)" } else { "" }));
        *histories.entry(series.clone()).or_default().entry(minutes.collect::<Vec<_>>().join(", ")).or_default() += 1;
    }
    // Minutes after the hour's end at which a value came, and of how many hours of the day.
    insta::assert_debug_snapshot!(histories, @r#"
    {
        "A-01/1/1": {
            "30": 24,
        },
        "A-01/2/1": {
            "30": 24,
        },
        "A-02/1/1": {
            "30": 24,
        },
        "A-02/1/2": {
            "210": 24,
        },
        "A-02/2/1": {
            "30": 24,
        },
        "C-01/1/1": {
            "30, 390 (put right)": 24,
        },
        "C-01/2/1": {
            "30": 24,
        },
    }
    "#);

    // Each hour of each spot was asked for at its five times and no more.
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    city.upstream
        .asked()
        .into_iter()
        .filter(|path| path.contains("/20221001/"))
        .for_each(|path| *times.entry(path).or_default() += 1);
    assert_eq!(times.len(), 24 * SPOTS.len());
    assert!(times.values().all(|&count| count == 5), "{times:?}");

    let spots = city.topic("traffic_spot").await;
    assert_eq!(spots.len(), 3 * SPOTS.len(), "each day's list once");
    let volume = status(&statuses, VOLUME);
    assert_eq!((volume.failed, volume.waiting, volume.alert.as_deref()), (0, 0, None));
    assert_eq!(volume.last_poll_at, Some(at("2022-10-03T00:30")));
    assert_eq!(volume.next_ask_at, Some(at("2022-10-03T01:30")));
    assert_eq!(volume.published as usize, city.topic(VOLUME).await.len());
}

#[tokio::test]
async fn stopped_anywhere_and_resumed_is_as_never_stopped() {
    let end = at("2022-10-03T02:00");
    let mut whole = City::start(at("2022-10-01T00:00"), city).await;
    let producers = whole.producers(Resume::default());
    whole.until(end).await;
    producers.stop().await;

    let mut cut = City::start(at("2022-10-01T00:00"), city).await;
    for (stop, start) in [
        ("2022-10-01T00:05", "2022-10-01T00:20"),
        ("2022-10-01T03:30", "2022-10-01T03:31"),
        ("2022-10-01T11:45", "2022-10-01T19:10"),
        ("2022-10-02T04:00", "2022-10-02T04:00"),
    ] {
        let producers = cut.producers(cut.resume().await);
        cut.until(at(stop)).await;
        producers.stop().await;
        cut.until(at(start)).await;
    }
    let producers = cut.producers(cut.resume().await);
    cut.until(end).await;
    producers.stop().await;

    // Before the start both ask for some hours only, and not for the same ones.
    let since_start = |((_, hour), _): &((String, DateTime<Utc>), _)| *hour >= at("2022-10-01T00:00");
    let last = async |city: &City| {
        city.published()
            .await
            .into_iter()
            .filter(since_start)
            .map(|(identity, came)| (identity, came.last().unwrap().0))
            .collect::<BTreeMap<_, _>>()
    };
    assert_eq!(last(&cut).await, last(&whole).await);
    let repeats = cut.published().await.into_values().filter(|came| came.windows(2).any(|two| two[0].0 == two[1].0)).count();
    assert_eq!(repeats, 0, "what the lake had handed over is not published again");
}

#[tokio::test]
async fn a_kill_amid_missed_asks_leaves_no_hole() {
    let mut city = City::start(at("2022-10-01T00:00"), city).await;
    let producers = city.producers(Resume::default());
    city.until(at("2022-10-01T06:45")).await;
    producers.stop().await;
    city.until(at("2022-10-02T20:10")).await;
    // Of the missed asks, made newest first, only the newest two hours were published before the kill.
    let mut resume = city.resume().await;
    let volume = resume.feeds.get_mut(VOLUME).unwrap();
    volume.newest_received_at = Some(at("2022-10-02T20:10"));
    volume.newest_polled_at = volume.newest_received_at;
    for hour in ["2022-10-02T18:00", "2022-10-02T19:00"] {
        let row = serde_json::json!({ "spot": "A-01", "direction": 1, "lane": 9, "observed_at": at(hour), "volume": 1 });
        volume.learn(&Observation::from_json(catalog::Feed::by_name(VOLUME).unwrap(), &row).unwrap());
    }
    let producers = city.producers(resume);
    city.until(at("2022-10-02T20:20")).await;
    producers.stop().await;
    let hours: Vec<_> =
        city.published().await.into_keys().filter(|(series, _)| series == "A-01/1/1").map(|(_, hour)| hour).collect();
    let holes: Vec<_> = hours.windows(2).filter(|two| two[1] - two[0] > TimeDelta::hours(1)).collect();
    assert!(holes.is_empty(), "{holes:?}");
    assert_eq!(hours.last(), Some(&at("2022-10-02T18:00")), "19:00 cannot be had yet");
}

#[tokio::test]
async fn asks_that_an_upstream_in_trouble_did_not_answer_are_made_late_and_none_is_skipped() {
    let trouble = at("2022-10-01T03:00")..at("2022-10-02T13:10");
    let mut city = City::start(at("2022-10-01T00:00"), move |segments, now| match trouble.contains(&now) {
        true => error("ERROR-601"),
        false => city(segments, now),
    })
    .await;
    let producers = city.producers(Resume::default());
    city.until(at("2022-10-01T12:00")).await;
    let within = producers.status();
    city.until(at("2022-10-02T13:40")).await;
    let after = producers.status();
    producers.stop().await;

    insta::assert_snapshot!(status(&within, VOLUME).alert.as_deref().unwrap_or("none"), @r#"3 of 72 asks got no good answer (they are made again; 69 more wait until the upstream answers): the upstream refuses with ERROR-601: "말"; its database has trouble: asked again later by itself"#);
    assert!(status(&within, VOLUME).waiting >= 9 * SPOTS.len());
    assert_eq!((status(&after, VOLUME).waiting, status(&after, VOLUME).alert.as_deref()), (0, None));
    let published = city.published().await;
    for spot in SPOTS {
        for hour in 0..36 {
            let hour = at("2022-10-01T00:00") + TimeDelta::hours(hour);
            assert!(published.contains_key(&(format!("{spot}/1/1"), hour)), "{spot} at {hour} was skipped");
        }
    }
}

#[tokio::test]
async fn what_stays_unanswered_over_many_starts_is_asked_for_until_it_is_answered() {
    // One spot has no answer for longer than twice a schedule of re-reads, while the others go on.
    let trouble = at("2022-10-01T03:00")..at("2022-10-03T12:00");
    let mut city = City::start(at("2022-10-01T00:00"), move |segments, now| {
        match segments[2] == "VolInfo" && segments[5] == "A-02" && trouble.contains(&now) {
            true => error("ERROR-601"),
            false => city(segments, now),
        }
    })
    .await;
    for stop in (0..11).map(|start| at("2022-10-01T05:00") + TimeDelta::hours(5 * start)) {
        let producers = city.producers(city.resume().await);
        city.until(stop).await;
        producers.stop().await;
    }
    let producers = city.producers(city.resume().await);
    city.until(at("2022-10-03T14:00")).await;
    producers.stop().await;
    let published = city.published().await;
    for hour in (0..48).map(|hour| at("2022-10-01T00:00") + TimeDelta::hours(hour)) {
        for lane in ["A-02/1/1", "A-02/1/2"] {
            assert!(published.contains_key(&(lane.to_owned(), hour)), "{lane} at {hour} is lost");
        }
    }
}

/// That every hour of a day has come for every spot.
async fn a_whole_day_came(city: &City, spots: &[&str]) {
    let published = city.published().await;
    for spot in spots {
        for hour in (0..24).map(|hour| at("2022-10-01T00:00") + TimeDelta::hours(hour)) {
            assert!(published.contains_key(&(format!("{spot}/1/1"), hour)), "{spot} at {hour} is lost");
        }
    }
}

#[tokio::test]
async fn a_refused_key_is_looked_at_hourly_and_says_so() {
    let trouble = at("2022-10-01T02:00")..at("2022-10-02T05:00");
    let mut city = City::start(at("2022-10-01T00:00"), move |segments, now| match trouble.contains(&now) {
        true => error("INFO-100"),
        false => city(segments, now),
    })
    .await;
    let producers = city.producers(Resume::default());
    city.until(at("2022-10-02T00:00")).await;
    let within = producers.status();
    city.until(at("2022-10-02T07:00")).await;
    let after = producers.status();
    producers.stop().await;
    insta::assert_snapshot!(status(&within, VOLUME).alert.as_deref().unwrap_or("none"), @r#"3 of 138 asks got no good answer (they are made again hourly; 135 more wait until the upstream answers): the upstream refuses with INFO-100: "말"; set a valid key and start again"#);
    let refused = status(&within, VOLUME).failed;
    assert!((22..=22 * 4).contains(&refused), "{refused} asks were refused in 22 hours of three spots");
    assert_eq!((status(&after, VOLUME).waiting, status(&after, VOLUME).alert.as_deref()), (0, None));
    a_whole_day_came(&city, SPOTS).await;
}

#[tokio::test]
async fn no_status_of_http_loses_an_hour() {
    for code in [302, 403, 404, 503] {
        let trouble = at("2022-10-01T02:00")..at("2022-10-02T05:00");
        let mut city = City::start(at("2022-10-01T00:00"), move |segments, now| match trouble.contains(&now) {
            true => (code, Vec::new()),
            false => city(segments, now),
        })
        .await;
        let producers = city.producers(Resume::default());
        city.until(at("2022-10-02T08:00")).await;
        let after = producers.status();
        producers.stop().await;
        assert_eq!((status(&after, VOLUME).waiting, status(&after, VOLUME).alert.as_deref()), (0, None), "after {code}");
        a_whole_day_came(&city, SPOTS).await;
    }
}

#[tokio::test]
async fn spots_that_fail_keep_no_other_from_being_asked() {
    // As many as would count as an upstream that is down, and the first by name; one is refused the key, once.
    let failing: Vec<String> = (0..20).map(|number| format!("A-{number:02}")).collect();
    let healthy = ["C-01", "D-01", "D-02"];
    let names: Vec<String> = failing.iter().cloned().chain(healthy.map(str::to_owned)).collect();
    let mut refused = false;
    let mut city = City::start(at("2022-10-01T00:00"), move |segments, now| {
        if segments[2] == "SpotInfo" {
            return spots(&names.iter().map(String::as_str).collect::<Vec<_>>());
        }
        if segments[5] == "D-02" && now >= at("2022-10-01T03:00") && !std::mem::replace(&mut refused, true) {
            return error("INFO-100");
        }
        match failing.contains(&segments[5].to_owned()) && now < at("2022-10-01T20:00") {
            true => (500, Vec::new()),
            false => city(segments, now),
        }
    })
    .await;
    let producers = city.producers(Resume::default());
    city.until(at("2022-10-01T12:10")).await;
    let within = producers.status();
    let published = city.published().await;
    for spot in healthy {
        let series = (format!("{spot}/1/1"), at("2022-10-01T10:00"));
        let (_, age) = published.get(&series).unwrap_or_else(|| panic!("{spot} is kept from being asked"))[0];
        assert!(age <= TimeDelta::minutes(31), "{spot} came {age} after its hour");
    }
    assert!(status(&within, VOLUME).alert.is_some() && status(&within, VOLUME).waiting > 0);
    city.until(at("2022-10-02T03:00")).await;
    producers.stop().await;
    a_whole_day_came(&city, &["A-00", "A-19", "C-01", "D-01", "D-02"]).await;
}

#[tokio::test]
async fn a_passing_fault_is_tried_again_at_once_and_costs_nothing() {
    let mut tried = HashMap::new();
    let mut city = City::start(at("2022-10-01T00:00"), move |segments, now| {
        let (count, tries) = (tried.len(), tried.entry(segments.join("/")).or_insert(0));
        *tries += 1;
        match (*tries, count % 2) {
            (1, 0) => (503, Vec::new()),
            (1, _) => (200, b"<!doctype html><title>Down</title>".to_vec()),
            _ => city(segments, now),
        }
    })
    .await;
    let producers = city.producers(Resume::default());
    city.until(at("2022-10-01T01:00")).await;
    let statuses = producers.status();
    producers.stop().await;
    assert_eq!(statuses.iter().map(|status| (status.failed, status.dead_letters)).collect::<Vec<_>>(), [(0, 0), (0, 0)]);
    assert_eq!(city.topic("traffic_spot").await.len(), SPOTS.len());
    assert!(city.topic("traffic_volume.dlq").await.is_empty());
}

#[tokio::test]
async fn an_unreadable_answer_is_kept_whole_with_its_reason() {
    let body = "<VolInfo><list_total_count>1</list_total_count><RESULT><CODE>INFO-000</CODE></RESULT>\
        <row><spot_num>A-01</spot_num><ymd>20221001</ymd><hh>00</hh><io_type>1</io_type><lane_num>1</lane_num><cnt>5</cnt></row></VolInfo>";
    let mut city = City::start(at("2022-10-01T01:00"), move |segments, now| match segments[2] {
        "VolInfo" if segments[5] == "A-01" && segments[6..] == ["20221001", "00"] => (200, body.into()),
        _ => city(segments, now),
    })
    .await;
    let producers = city.producers(Resume::default());
    city.until(at("2022-10-01T02:00")).await;
    let statuses = producers.status();
    producers.stop().await;
    let letters = city.topic("traffic_volume.dlq").await;
    assert_eq!(letters.len(), 1);
    assert_eq!(String::from_utf8_lossy(&letters[0].payload), body);
    insta::assert_debug_snapshot!(letters[0].headers, @r#"
    [
        (
            "reason",
            "missing-field",
        ),
        (
            "detail",
            "row 1 has no field \"vol\"; found \"spot_num\", \"ymd\", \"hh\", \"io_type\", \"lane_num\", \"cnt\"; the upstream may have renamed it; asked for /{key}/xml/VolInfo/1/1000/A-01/20221001/00/",
        ),
        (
            "refused_at",
            "2022-09-30T16:30:00Z",
        ),
        (
            "received_at",
            "2022-09-30T16:30:00Z",
        ),
    ]
    "#);
    insta::assert_snapshot!(status(&statuses, VOLUME).alert.as_deref().unwrap_or("none"), @r#"1 of 15 asks got no good answer (what could not be read is kept in the dead letters): row 1 has no field "vol"; found "spot_num", "ymd", "hh", "io_type", "lane_num", "cnt"; the upstream may have renamed it"#);
    assert!(city.published().await.keys().any(|(series, _)| series == "A-02/1/1"), "the others go on");
}

#[tokio::test]
async fn even_the_largest_unreadable_answer_is_kept_whole() {
    let body = [b"<".to_vec(), vec![0xc1; 999_999]].concat();
    let answer = body.clone();
    let mut city = City::start(at("2022-10-01T01:00"), move |segments, now| match segments[2] {
        "VolInfo" if segments[5..] == ["A-01", "20221001", "00"] => (200, answer.clone()),
        _ => city(segments, now),
    })
    .await;
    let producers = city.producers(Resume::default());
    city.until(at("2022-10-01T02:00")).await;
    producers.stop().await;
    let letters = city.topic("traffic_volume.dlq").await;
    assert_eq!(letters.iter().map(|letter| letter.header("reason")).collect::<Vec<_>>(), ["encoding"]);
    assert!(letters[0].payload == body);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_keeps_its_answer_and_publishes_the_others() {
    let spoil = |(status, body): Reply| (status, String::from_utf8(body).unwrap().replacen("<vol>", "<vol>?", 1).into_bytes());
    let spoiled_once = Mutex::new(false);
    let mut city = City::start(at("2022-10-01T01:00"), move |segments, now| match segments[2] {
        "VolInfo"
            if segments[5..] == ["A-01", "20221001", "00"] && !std::mem::replace(&mut *spoiled_once.lock().unwrap(), true) =>
        {
            spoil(city(segments, now))
        }
        _ => city(segments, now),
    })
    .await;
    let producers = city.producers(Resume::default());
    city.until(at("2022-10-01T04:00")).await;
    producers.stop().await;
    let letters = city.topic("traffic_volume.dlq").await;
    assert_eq!(letters.iter().map(|letter| letter.header("reason")).collect::<Vec<_>>(), ["wrong-value"]);
    let published = city.published().await;
    let came = |series: &str| {
        published[&(series.to_owned(), at("2022-10-01T00:00"))].iter().map(|(_, age)| age.num_minutes()).collect::<Vec<_>>()
    };
    assert_eq!((came("A-01/1/1"), came("A-01/2/1")), (vec![150], vec![30]), "the spoiled row came with the re-read");
}

#[tokio::test]
async fn a_list_over_1000_rows_is_asked_page_by_page() {
    let names: Vec<String> = (0..1203).map(|n| format!("S-{n:04}")).collect();
    let mut city = City::start(at("2022-10-01T00:00"), move |segments, now| {
        if segments[2] != "SpotInfo" {
            return city(segments, now);
        }
        let (start, end): (usize, usize) = (segments[3].parse().unwrap(), segments[4].parse().unwrap());
        let page: Vec<&str> = names[start - 1..end.min(names.len())].iter().map(String::as_str).collect();
        let (status, body) = spots(&page);
        let count = format!("count>{}<", page.len());
        (status, String::from_utf8(body).unwrap().replacen(&count, "count>1203<", 1).into_bytes())
    })
    .await;
    let producers = city.producers(Resume::default());
    city.until(at("2022-10-01T00:05")).await;
    producers.stop().await;
    assert_eq!(city.topic("traffic_spot").await.len(), 1203);
    let asked: Vec<_> = city.upstream.asked().into_iter().filter(|path| path.contains("SpotInfo")).collect();
    assert_eq!(asked, ["xml/SpotInfo/1/1000", "xml/SpotInfo/1001/2000"]);
}

#[tokio::test]
async fn without_any_list_of_spots_asking_waits_and_says_why() {
    let known = Arc::new(AtomicBool::new(false));
    let answers = known.clone();
    let mut city = City::start(at("2022-10-01T00:00"), move |segments, now| match segments[2] {
        "SpotInfo" if !answers.load(Ordering::Relaxed) => error("ERROR-601"),
        _ => city(segments, now),
    })
    .await;
    let producers = city.producers(Resume::default());
    city.until(at("2022-10-01T03:00")).await;
    insta::assert_snapshot!(status(&producers.status(), VOLUME).alert.as_deref().unwrap_or("none"), @"no spots are known to ask by; the feed traffic_spot has to be polled first");
    assert!(city.upstream.asked().iter().all(|path| path.contains("SpotInfo")));
    known.store(true, Ordering::Relaxed);
    city.until(at("2022-10-01T04:00")).await;
    assert_eq!(status(&producers.status(), VOLUME).alert, None);
    producers.stop().await;
    let hours: Vec<_> =
        city.published().await.into_keys().filter(|(series, _)| series == "A-01/1/1").map(|(_, hour)| hour).collect();
    assert!((0..3).all(|hour| hours.contains(&(at("2022-10-01T00:00") + TimeDelta::hours(hour)))), "{hours:?}");
}

/// At speed 600 an hour lasts six seconds, in which 139 spots are due five times: 116 asks a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_of_139_spots_is_caught_up_faster_than_speed_600_needs() {
    let names: Vec<String> = (0..139).map(|n| format!("S-{n:03}")).collect();
    let listed = names.clone();
    let mut city = City::start(at("2022-10-02T00:00"), move |segments, now| match segments[2] {
        "SpotInfo" => spots(&listed.iter().map(String::as_str).collect::<Vec<_>>()),
        _ => city(segments, now),
    })
    .await;
    let volume = FeedResume::new(Some(at("2022-10-01T00:00")), None);
    let producers = city.producers(Resume { feeds: HashMap::from([(VOLUME.to_owned(), volume)]), spots: names });
    let started_at = Instant::now();
    city.until(at("2022-10-02T00:01")).await;
    let seconds = started_at.elapsed().as_secs_f64();
    let statuses = producers.status();
    producers.stop().await;
    let volume = status(&statuses, VOLUME);
    eprintln!(
        "{} asks and {} records in {seconds:.1} s: {:.0} asks/s",
        volume.asked,
        volume.published,
        volume.asked as f64 / seconds
    );
    assert_eq!((volume.asked, volume.failed, volume.waiting), (48 * 139, 0, 0));
    assert!(volume.asked as f64 / seconds > 116.0);
}
