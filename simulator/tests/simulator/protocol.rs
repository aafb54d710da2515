//! Answers, refusals, paging, keys and time.

use crate::{Simulator, SimulatorConfig, Source};
use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use crate::tests::{KEY, Running, config, numbers, refused, shared, texts};

/// An hour after the delay of 08 h in Seoul on the first day.
const MORNING: &str = "2022-10-01T00:30:00Z";

#[tokio::test(flavor = "multi_thread")]
async fn volumes_are_answered_in_the_recorded_form() {
    let city = Running::synthetic("2022-10-03T00:00:00Z").await;
    let body = city.ask("xml/VolInfo/1/1000/A-02/20221001/08/").await;
    insta::assert_snapshot!(body.replace("<row>", "\n<row>"), @r#"
    <?xml version="1.0" encoding="UTF-8" standalone="yes"?><VolInfo><list_total_count>6</list_total_count><RESULT><CODE>INFO-000</CODE><MESSAGE>정상 처리되었습니다</MESSAGE></RESULT>
    <row><spot_num>A-02</spot_num><ymd>20221001</ymd><hh>08</hh><io_type>1</io_type><lane_num>1</lane_num><vol>367</vol></row>
    <row><spot_num>A-02</spot_num><ymd>20221001</ymd><hh>08</hh><io_type>1</io_type><lane_num>2</lane_num><vol>454</vol></row>
    <row><spot_num>A-02</spot_num><ymd>20221001</ymd><hh>08</hh><io_type>1</io_type><lane_num>3</lane_num><vol>371</vol></row>
    <row><spot_num>A-02</spot_num><ymd>20221001</ymd><hh>08</hh><io_type>2</io_type><lane_num>1</lane_num><vol>370</vol></row>
    <row><spot_num>A-02</spot_num><ymd>20221001</ymd><hh>08</hh><io_type>2</io_type><lane_num>2</lane_num><vol>409</vol></row>
    <row><spot_num>A-02</spot_num><ymd>20221001</ymd><hh>08</hh><io_type>2</io_type><lane_num>3</lane_num><vol>389</vol></row></VolInfo>
    "#);
    assert_eq!(city.ask("xml/VolInfo/1/1000/A-02/20221001/08").await, body, "without the last slash");
    assert_eq!(city.ask("xml/VolInfo/1/1000/A-02/20221001/8/").await, body, "with an unpadded hour");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fields_are_those_of_the_recorded_answers() {
    let Some(folder) = shared("payloads") else { return };
    let city = Running::synthetic("2022-10-03T00:00:00Z").await;
    for (recording, path) in [
        ("seoul_volinfo.xml", "xml/VolInfo/1/1000/A-02/20221001/08/"),
        ("seoul_spotinfo.xml.reconstructed", "xml/SpotInfo/1/1000/"),
    ] {
        let recorded = std::fs::read_to_string(folder.join(recording)).unwrap();
        let body = city.ask(path).await;
        // Tags up to the end of the first row, with their order, without what they hold.
        let tags = |xml: &str| -> Vec<String> {
            let xml = xml.split("</row>").next().unwrap().split_once("?>").map_or(xml, |(_, rest)| rest).to_owned();
            xml.split('<').skip(1).map(|tag| tag.split('>').next().unwrap().to_owned()).collect()
        };
        let first_row = |xml: &str| tags(&xml[..xml.find("</row>").unwrap()]);
        assert_eq!(first_row(&body), first_row(&recorded), "{recording}");
        assert_eq!(texts(&body, "MESSAGE"), texts(&recorded, "MESSAGE"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_refusals_are_the_same_to_the_byte() {
    let city = Running::synthetic(MORNING).await;
    let unknown_key = city.get("/0123456789abcdef/json/VolInfo/1/5/").await;
    let json = city.get("/sample/json/VolInfo/1/5/A-01/20221001/08/").await;
    let empty = city.ask("xml/VolInfo/1/1000/A-01/20231001/08/").await;
    let too_many = city.ask("xml/SpotInfo/1/1001/").await;
    insta::assert_snapshot!([&unknown_key, &json, &empty, &too_many].map(String::as_str).join("\n\n"), @r#"
    <RESULT><CODE>INFO-100</CODE><MESSAGE><![CDATA[인증키가 유효하지 않습니다.
    인증키가 없는 경우, 열린 데이터 광장 홈페이지에서 인증키를 신청하십시오.]]></MESSAGE></RESULT>

    <?xml version="1.0" encoding="UTF-8" standalone="yes"?><response><RESULT><CODE>ERROR-301</CODE><MESSAGE>파일타입 값이 누락 혹은 유효하지 않습니다.</MESSAGE></RESULT></response>

    <RESULT><CODE>INFO-200</CODE><MESSAGE><![CDATA[해당하는 데이터가 없습니다.]]></MESSAGE></RESULT>

    <RESULT><CODE>ERROR-336</CODE><MESSAGE><![CDATA[데이터요청은 한번에 최대 1000건을 넘을 수 없습니다.
    요청종료위치에서 요청시작위치를 뺀 값이 1000을 넘지 않도록 수정하세요.]]></MESSAGE></RESULT>
    "#);
    let Some(folder) = shared("payloads") else { return };
    for (recording, body) in
        [("seoul_error_info100_asked_json.xml", &unknown_key), ("seoul_error301_trafficinfo_asked_json.xml", &json)]
    {
        assert_eq!(std::fs::read_to_string(folder.join(recording)).unwrap().trim_end(), body, "{recording}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spots_come_in_pages_and_the_sample_key_sees_five() {
    let city = Running::synthetic(MORNING).await;
    let all = city.ask("xml/SpotInfo/1/1000/").await;
    assert_eq!(texts(&all, "list_total_count"), ["139"]);
    let ids = texts(&all, "spot_num");
    assert_eq!((ids.len(), ids[0], ids[138]), (139, "A-01", "F-10"));
    let page = city.ask("xml/SpotInfo/101/200/").await;
    assert_eq!(texts(&page, "list_total_count"), ["139"]);
    assert_eq!(texts(&page, "spot_num"), ids[100..]);
    assert!(city.ask("xml/SpotInfo/201/300/").await.contains("INFO-200"));
    assert_eq!(texts(&city.get("/sample/xml/SpotInfo/1/5/").await, "spot_num"), ids[..5]);
    assert!(city.get("/sample/xml/SpotInfo/1/6/").await.contains("ERROR-335"));
}

#[tokio::test(flavor = "multi_thread")]
async fn places_come_back_in_metres_near_their_district() {
    let city = Running::synthetic(MORNING).await;
    let body = city.ask("xml/SpotInfo/1/1000/").await;
    for (x, y) in texts(&body, "grs80tm_x").into_iter().zip(texts(&body, "grs80tm_y")) {
        let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
        assert!((179_000.0..217_000.0).contains(&x) && (436_000.0..467_000.0).contains(&y), "{x} {y}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_appears_when_its_delay_has_passed_and_settles_within_the_schedule() {
    let mut city = Running::synthetic("2022-10-01T00:29:59Z").await;
    let mut counts = Vec::new();
    let path = |spot: &str| format!("xml/VolInfo/1/1000/{spot}/20221001/08/");
    let spots: Vec<String> = texts(&city.ask("xml/SpotInfo/1/1000/").await, "spot_num").into_iter().map(str::to_owned).collect();
    for passed in [TimeDelta::zero(), TimeDelta::seconds(1), TimeDelta::hours(24), TimeDelta::days(30)] {
        city.pass(passed).await;
        let mut bodies = Vec::new();
        for spot in &spots {
            bodies.push(city.ask(&path(spot)).await);
        }
        let again = city.ask(&path(&spots[0])).await;
        assert_eq!(again, bodies[0], "asked twice at one moment");
        counts.push(bodies);
    }
    let filled = |bodies: &[String]| bodies.iter().filter(|body| body.contains("INFO-000")).count();
    assert_eq!(filled(&counts[0]), 0);
    assert!(filled(&counts[1]) > 100);
    assert_ne!(counts[1], counts[2], "nothing was late, partial or revised");
    assert_eq!(counts[2], counts[3], "something changed after the schedule");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_truth_is_what_the_last_ask_brings() {
    let city = Running::synthetic("2022-10-03T00:00:00Z").await;
    let truth = city.get("/truth/volume?from=2022-09-30T23:00:00Z&to=2022-10-01T00:00:00Z").await;
    let mut asked = vec!["observed_at,spot,direction,lane,volume".to_owned()];
    for spot in texts(&city.ask("xml/SpotInfo/1/1000/").await, "spot_num") {
        let body = city.ask(&format!("xml/VolInfo/1/1000/{spot}/20221001/08/")).await;
        let rows = texts(&body, "io_type").into_iter().zip(texts(&body, "lane_num")).zip(numbers(&body, "vol"));
        asked.extend(rows.map(|((direction, lane), volume)| format!("2022-09-30T23:00:00Z,{spot},{direction},{lane},{volume}")));
    }
    assert!(asked.len() > 400, "{} rows", asked.len());
    assert_eq!(truth.lines().collect::<Vec<_>>(), asked);
    let nonsense =
        reqwest::get(format!("{}/truth/volume?from=2022-01-01T00:00:00Z&to=2024-01-01T00:00:00Z", city.simulator.url())).await;
    assert_eq!(nonsense.unwrap().status(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_is_shown_and_can_be_followed() {
    let mut city = Running::synthetic(MORNING).await;
    city.pass(TimeDelta::minutes(90)).await;
    let answer: clock::ClockAnswer = serde_json::from_str(&city.get("/clock").await).unwrap();
    assert_eq!(answer, clock::ClockAnswer { now: "2022-10-01T02:00:00Z".parse().unwrap(), speed: None });
    let followed = clock::Clock::follow(&city.simulator.url()).await.unwrap();
    assert_eq!(followed.now(), answer.now);
    assert!(city.get("/").await.contains("City time 2022-10-01T11:00:00+09:00"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_said_and_freed_by_a_stop() {
    let city = Running::synthetic(MORNING).await;
    let addr = city.simulator.addr();
    let second = || SimulatorConfig { listen: addr, ..config(Source::Synthetic { seed: 1 }) };
    let message = refused(second(), MORNING).await.to_string();
    insta::assert_snapshot!(message.replace(&addr.to_string(), "127.0.0.1:8088"), @r#"port in use: another program listens on "127.0.0.1:8088"; stop it, or choose another port with --set simulator.listen=HOST:PORT (0 takes a free one)"#);
    city.simulator.stop().await;
    let (clock, _stepper) = clock::Clock::stepped(None, MORNING.parse().unwrap()).unwrap();
    Simulator::start(second(), clock, CancellationToken::new()).await.unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_before_the_known_years_is_refused() {
    let error = refused(config(Source::Synthetic { seed: 1 }), "2019-01-01T00:00:00Z").await;
    insta::assert_snapshot!(error, @"city time 2019-01-01 00:00:00 UTC is before what synthetic city of seed 1, edition 1 knows, which begins at 2020-12-31 15:00:00 UTC; choose a later --start");
}

#[test]
fn a_key_is_not_in_the_debug_form() {
    assert!(!format!("{:?}", config(Source::Synthetic { seed: 1 })).contains(KEY));
}
