//! Recorded answers, written from the described formats: one a behaviour, each with what a person is shown.

use super::*;
use crate::ask::Ask;
use crate::feeds::{traffic_spot, traffic_volume};
use crate::record::record;
use crate::request::request;

fn received_at() -> DateTime<Utc> {
    "2022-10-01T04:30:02.5Z".parse().unwrap()
}

/// What a person sees of an answer to page 1: its records, or the error and what is done about it.
fn check(source: &'static Source, bytes: impl AsRef<[u8]>) -> String {
    check_page(source, bytes, 1)
}

fn check_page(source: &'static Source, bytes: impl AsRef<[u8]>, page: usize) -> String {
    let ask = Ask::now(source, source.by.map(|_| "B-07"), received_at());
    match parse(source, &request(&ask, page), bytes.as_ref(), received_at()) {
        Err(error) => refusal(&error),
        Ok(answer) => {
            let mut lines = vec![format!("{} of {} rows", answer.observations.len(), answer.total)];
            lines.extend(answer.observations.iter().map(|row| {
                let record = record(row, received_at());
                format!("{} {}", record.key, record.payload)
            }));
            lines.extend(answer.fault.iter().map(refusal));
            lines.join("\n")
        }
    }
}

fn refusal(error: &ParseError) -> String {
    format!("[{}, {:?}] {error}", error.code(), error.remedy())
}

fn volume(bytes: impl AsRef<[u8]>) -> String {
    check(&traffic_volume::SOURCE, bytes)
}

const TWO_LANES: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\
    <VolInfo><list_total_count>2</list_total_count><RESULT><CODE>INFO-000</CODE><MESSAGE>정상 처리되었습니다</MESSAGE></RESULT>\
    <row><spot_num>B-07</spot_num><ymd>20221001</ymd><hh>12</hh><io_type>1</io_type><lane_num>1</lane_num><vol>512</vol></row>\
    <row><spot_num>B-07</spot_num><ymd>20221001</ymd><hh>12</hh><io_type>2</io_type><lane_num>1</lane_num><vol>0</vol></row></VolInfo>";

#[test]
fn an_hour_becomes_a_row_a_lane_in_utc() {
    insta::assert_snapshot!(volume(TWO_LANES), @r#"
    2 of 2 rows
    B-07/1/1 {"spot":"B-07","direction":1,"lane":1,"observed_at":"2022-10-01T03:00:00Z","volume":512,"received_at":"2022-10-01T04:30:02.500Z"}
    B-07/2/1 {"spot":"B-07","direction":2,"lane":1,"observed_at":"2022-10-01T03:00:00Z","volume":0,"received_at":"2022-10-01T04:30:02.500Z"}
    "#);
}

#[test]
fn tag_names_are_read_in_any_case_and_with_space_around() {
    let upper = TWO_LANES.replace("list_total_count", "LIST_TOTAL_COUNT").replace("spot_num", "SPOT_NUM").replace("vol>", "VOL>");
    assert_eq!(volume(upper), volume(TWO_LANES));
    let spaced = TWO_LANES.replace("><", ">\n  <").replace("<vol>512", "<vol> 512\n");
    assert_eq!(volume(format!("\u{feff}\n{spaced}")), volume(TWO_LANES));
}

#[test]
fn the_same_answer_in_json_is_the_same_with_numbers_as_numbers_or_text() {
    let json = r#"{"VolInfo":{"list_total_count":2,"RESULT":{"CODE":"INFO-000","MESSAGE":"정상 처리되었습니다"},"row":[
        {"spot_num":"B-07","ymd":"20221001","hh":"12","io_type":"1","lane_num":1,"vol":5.12e2},
        {"spot_num":"B-07","ymd":20221001,"hh":12,"io_type":2.0,"lane_num":"1","vol":"0"}]}}"#;
    assert_eq!(volume(json), volume(TWO_LANES));
}

#[test]
fn one_row_alone_may_stand_without_a_list() {
    let json = r#"{"VolInfo":{"list_total_count":"1","RESULT":{"RESULT.CODE":"INFO-000"},"row":
        {"spot_num":"B-07","ymd":"20221001","hh":"3","io_type":"1","lane_num":"2","vol":"7"}}}"#;
    insta::assert_snapshot!(volume(json), @r#"
    1 of 1 rows
    B-07/1/2 {"spot":"B-07","direction":1,"lane":2,"observed_at":"2022-09-30T18:00:00Z","volume":7,"received_at":"2022-10-01T04:30:02.500Z"}
    "#);
}

#[test]
fn a_spot_gets_its_place_and_the_day_on_which_it_was_read() {
    let xml = "<SpotInfo><list_total_count>1</list_total_count><RESULT><CODE>INFO-000</CODE><MESSAGE>ok</MESSAGE></RESULT>\
        <row><spot_num>X-01</spot_num><spot_nm>강변로 &lt;A&amp;B&#47;시험&gt;</spot_nm><grs80tm_x>201850.055</grs80tm_x><grs80tm_y>451770</grs80tm_y></row></SpotInfo>";
    insta::assert_snapshot!(check(&traffic_spot::SOURCE, xml), @r#"
    1 of 1 rows
    X-01 {"spot":"X-01","observed_at":"2022-09-30T15:00:00Z","name":"강변로 <A&B/시험>","x":201850.055,"y":451770.0,"latitude":37.5654638,"longitude":127.0209405,"received_at":"2022-10-01T04:30:02.500Z"}
    "#);
}

#[test]
fn no_rows_is_an_empty_answer_in_either_envelope() {
    insta::assert_snapshot!(volume(r#"{"RESULT":{"CODE":"INFO-200","MESSAGE":"해당하는 데이터가 없습니다."}}"#), @"0 of 0 rows");
    insta::assert_snapshot!(volume("<RESULT><CODE>INFO-200</CODE><MESSAGE><![CDATA[해당하는 데이터가 없습니다.]]></MESSAGE></RESULT>"), @"0 of 0 rows");
}

#[test]
fn a_refused_key_is_known_wherever_the_result_stands() {
    let bare =
        "<RESULT><CODE>INFO-100</CODE><MESSAGE><![CDATA[인증키가 유효하지 않습니다.\n다시 신청하십시오.]]></MESSAGE></RESULT>";
    insta::assert_snapshot!(volume(bare), @r#"[refused, Key] the upstream refuses with INFO-100: "인증키가 유효하지 않습니다."; set a valid key and start again"#);
    let json = r#"{"RESULT":{"CODE":"INFO-100","MESSAGE":"인증키가 유효하지 않습니다."}}"#;
    assert_eq!(volume(json), volume(bare));
    let under_response = format!("<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?><response>{bare}</response>");
    assert_eq!(volume(under_response), volume(bare));
    let under_service = format!("<VolInfo>{bare}</VolInfo>");
    assert_eq!(volume(under_service), volume(bare));
}

#[test]
fn each_error_of_the_portal_has_its_remedy() {
    let codes = [
        "ERROR-300",
        "ERROR-301",
        "ERROR-310",
        "ERROR-333",
        "ERROR-335",
        "ERROR-336",
        "ERROR-500",
        "ERROR-600",
        "ERROR-601",
        "ERROR-999",
    ];
    let shown = codes.map(|code| volume(format!("<RESULT><CODE>{code}</CODE><MESSAGE>M</MESSAGE></RESULT>")));
    insta::assert_snapshot!(shown.join("\n"), @r#"
    [refused, Patiently] the upstream refuses with ERROR-300: "M"; the request is wrong: report it as a bug
    [refused, Patiently] the upstream refuses with ERROR-301: "M"; the request is wrong: report it as a bug
    [refused, Patiently] the upstream refuses with ERROR-310: "M"; the service may have been withdrawn or renamed
    [refused, Patiently] the upstream refuses with ERROR-333: "M"; the request is wrong: report it as a bug
    [refused, Patiently] the upstream refuses with ERROR-335: "M"; the key "sample" gives five rows only: set a key of your own
    [refused, Patiently] the upstream refuses with ERROR-336: "M"; the request is wrong: report it as a bug
    [refused, Again] the upstream refuses with ERROR-500: "M"; its server has trouble: asked again by itself
    [refused, Again] the upstream refuses with ERROR-600: "M"; its server has trouble: asked again by itself
    [refused, Later] the upstream refuses with ERROR-601: "M"; its database has trouble: asked again later by itself
    [refused, Patiently] the upstream refuses with ERROR-999: "M"; a code that the portal's table does not have
    "#);
}

#[test]
fn an_empty_answer_is_a_passing_fault() {
    insta::assert_snapshot!(volume(" \n "), @"[empty, Again] the answer is empty; the upstream may be restarting");
}

#[test]
fn a_truncated_answer_says_where_it_ends() {
    let cut = |at: &str| &TWO_LANES.as_bytes()[..TWO_LANES.find(at).unwrap() + 2];
    insta::assert_snapshot!(volume(cut("<lane_num>1")), @"[truncated, Again] the answer ends after 269 bytes inside <row>");
    insta::assert_snapshot!(volume(cut("12</hh>")), @"[truncated, Again] the answer ends after 242 bytes inside <hh>");
    // Inside a character of three bytes.
    insta::assert_snapshot!(volume(cut("정상")), @"[truncated, Again] the answer ends after 142 bytes inside a character");
    insta::assert_snapshot!(volume(r#"{"VolInfo":{"list_total_count":2,"#), @"[truncated, Again] the answer ends after 33 bytes inside a JSON value");
}

#[test]
fn every_cut_of_an_answer_is_refused_and_none_panics() {
    for end in 0..TWO_LANES.len() {
        let ask = Ask::now(&traffic_volume::SOURCE, Some("B-07"), received_at());
        let read = parse(&traffic_volume::SOURCE, &request(&ask, 1), &TWO_LANES.as_bytes()[..end], received_at());
        let error = read.expect_err("a part is no answer");
        assert_eq!(error.remedy(), crate::Remedy::Again, "cut at {end}: {error}");
    }
}

#[test]
fn a_message_stays_short_whatever_the_answer_holds() {
    let long = "9x ".repeat(10_000);
    let answers = [
        TWO_LANES.replace("512", &long),
        TWO_LANES.replace("vol>", &format!("{}>", "v".repeat(10_000))),
        TWO_LANES.replace("count>2<", &format!("count>{long}<")),
        TWO_LANES.replace("RESULT>", &format!("{}>", "R".repeat(10_000))),
        format!("<RESULT><CODE>{long}</CODE><MESSAGE>{long}</MESSAGE></RESULT>"),
    ];
    for answer in answers {
        let error = volume(answer).lines().last().unwrap().to_owned();
        assert!(error.starts_with('[') && error.chars().count() < 400, "{error}");
    }
}

#[test]
fn no_changed_byte_makes_the_reader_panic() {
    let ask = Ask::now(&traffic_volume::SOURCE, Some("B-07"), received_at());
    for at in 0..TWO_LANES.len() {
        for byte in [0, b'<', b'>', b'&', b'"', b'9', b'{', 0xc1, 0xff] {
            let mut bytes = TWO_LANES.as_bytes().to_vec();
            bytes[at] = byte;
            if let Ok(answer) = parse(&traffic_volume::SOURCE, &request(&ask, 1), &bytes, received_at()) {
                assert!(answer.observations.len() <= 2);
            }
        }
    }
}

#[test]
fn a_renamed_field_is_named_with_what_was_found() {
    insta::assert_snapshot!(volume(TWO_LANES.replace("vol>", "trfc_vol>")), @r#"[missing-field, Leave] row 1 has no field "vol"; found "spot_num", "ymd", "hh", "io_type", "lane_num", "trfc_vol"; the upstream may have renamed it"#);
}

#[test]
fn a_row_that_cannot_be_read_is_said_and_the_others_are_kept() {
    insta::assert_snapshot!(volume(TWO_LANES.replace("<vol>512", "<vol>-")), @r#"
    1 of 2 rows
    B-07/2/1 {"spot":"B-07","direction":2,"lane":1,"observed_at":"2022-10-01T03:00:00Z","volume":0,"received_at":"2022-10-01T04:30:02.500Z"}
    [wrong-value, Leave] row 1 has "-" as "vol" where a whole number is expected
    "#);
    insta::assert_snapshot!(volume(TWO_LANES.replacen("<hh>12", "<hh>24", 1)), @r#"
    1 of 2 rows
    B-07/2/1 {"spot":"B-07","direction":2,"lane":1,"observed_at":"2022-10-01T03:00:00Z","volume":0,"received_at":"2022-10-01T04:30:02.500Z"}
    [wrong-value, Leave] row 1 has "24" as "hh" where an hour from 00 to 23 is expected
    "#);
    insta::assert_snapshot!(volume(TWO_LANES.replacen("20221001", "2022-10-01", 1)), @r#"
    1 of 2 rows
    B-07/2/1 {"spot":"B-07","direction":2,"lane":1,"observed_at":"2022-10-01T03:00:00Z","volume":0,"received_at":"2022-10-01T04:30:02.500Z"}
    [wrong-value, Leave] row 1 has "2022-10-01" as "ymd" where a date as 20221001 is expected
    "#);
    insta::assert_snapshot!(volume(TWO_LANES.replace("<vol>512</vol>", "<vol/>")), @r#"
    1 of 2 rows
    B-07/2/1 {"spot":"B-07","direction":2,"lane":1,"observed_at":"2022-10-01T03:00:00Z","volume":0,"received_at":"2022-10-01T04:30:02.500Z"}
    [wrong-value, Leave] row 1 has "" as "vol" where a whole number is expected
    "#);
}

#[test]
fn a_maintenance_page_is_told_by_its_title_in_any_encoding() {
    let page = "<!DOCTYPE html>\n<html><head><title>\n 시스템 점검 안내 </title></head><body><p>잠시 후</body></html>";
    insta::assert_snapshot!(volume(page), @r#"[html, Again] the answer is a web page titled "시스템 점검 안내" and no data; the upstream may be under maintenance"#);
    // The same in EUC-KR, whose title nobody can read here.
    let page = b"<HTML><TITLE>\xbd\xc3\xbd\xba\xc5\xdb</TITLE>";
    insta::assert_snapshot!(volume(page), @r#"[html, Again] the answer is a web page titled "�ý���" and no data; the upstream may be under maintenance"#);
}

#[test]
fn an_answer_in_another_encoding_says_which_byte_is_not_utf8() {
    let mut bytes = TWO_LANES.split("정상 처리되었습니다").map(|part| part.as_bytes().to_vec()).collect::<Vec<_>>();
    let message = b"\xc1\xa4\xbb\xf3 \xc3\xb3\xb8\xae";
    bytes.insert(1, message.to_vec());
    insta::assert_snapshot!(volume(bytes.concat()), @"[encoding, Patiently] the answer is not UTF-8: byte 0xc1 at 140; the upstream may have changed its encoding (EUC-KR?)");
}

#[test]
fn what_is_neither_xml_nor_json_is_shown() {
    insta::assert_snapshot!(volume("Service Unavailable: backend\nhas no capacity for this request at the present moment"), @r#"[unrecognised, Again] the answer begins with "Service Unavailable: backend has no capacity for this reques…" and is neither XML nor JSON"#);
    insta::assert_snapshot!(volume("<VolInfo><a></b></VolInfo>"), @"[malformed, Again] the answer is damaged: ill-formed document: expected `</a>`, but `</b>` was found");
    insta::assert_snapshot!(volume("<VolInfo><row>&nbsp;</row></VolInfo>"), @r#"[malformed, Again] the answer is damaged: "&nbsp;" means nothing"#);
    insta::assert_snapshot!(volume(r#"{"VolInfo":[[1]]}"#), @"[malformed, Again] the answer is damaged: an array stands directly in an array");
    insta::assert_snapshot!(volume("<?xml version=\"1.0\"?><!-- nothing -->"), @"[malformed, Again] the answer is damaged: it holds no element");
}

#[test]
fn an_answer_without_a_result_or_a_count_shows_what_it_has() {
    insta::assert_snapshot!(volume(TWO_LANES.replace("RESULT>", "OUTCOME>")), @r#"[no-result, Patiently] the answer has no RESULT; found "VolInfo/list_total_count", "VolInfo/OUTCOME", "VolInfo/row"; the upstream may have changed its envelope"#);
    insta::assert_snapshot!(volume(TWO_LANES.replace("list_total_count", "count")), @r#"[no-total, Patiently] the answer has no list_total_count that is a number; found "VolInfo/count", "VolInfo/RESULT", "VolInfo/row""#);
    insta::assert_snapshot!(volume(TWO_LANES.replace("count>2<", "count>50001<")), @"[too-many-rows, Patiently] the answer's list_total_count promises 50001 rows, more than any of these services has; it is not believed");
    insta::assert_snapshot!(volume(TWO_LANES.replace("count>2<", "count>many<")), @r#"[no-total, Patiently] the answer has no list_total_count that is a number; found "many""#);
}

#[test]
fn a_page_with_fewer_rows_than_promised_gives_them_and_says_so() {
    insta::assert_snapshot!(volume(TWO_LANES.replace("count>2<", "count>3<")), @r#"
    2 of 3 rows
    B-07/1/1 {"spot":"B-07","direction":1,"lane":1,"observed_at":"2022-10-01T03:00:00Z","volume":512,"received_at":"2022-10-01T04:30:02.500Z"}
    B-07/2/1 {"spot":"B-07","direction":2,"lane":1,"observed_at":"2022-10-01T03:00:00Z","volume":0,"received_at":"2022-10-01T04:30:02.500Z"}
    [row-count, Again] the answer has 2 rows where its list_total_count promises 3 on this page
    "#);
}

/// A list of spots, rows `from` to `to` of `total`.
fn spots(from: usize, to: usize, total: usize) -> String {
    let row = |n| {
        format!(
            "<row><spot_num>S-{n}</spot_num><spot_nm>길</spot_nm><grs80tm_x>200000</grs80tm_x><grs80tm_y>450000</grs80tm_y></row>"
        )
    };
    let rows: String = (from..=to).map(row).collect();
    format!("<SpotInfo><list_total_count>{total}</list_total_count><RESULT><CODE>INFO-000</CODE></RESULT>{rows}</SpotInfo>")
}

#[test]
fn over_1000_rows_each_page_has_its_share() {
    let first_line =
        |shown: String| shown.lines().filter(|line| !line.starts_with("S-")).map(str::to_owned).collect::<Vec<_>>().join("; ");
    let page = |page, from, to| first_line(check_page(&traffic_spot::SOURCE, spots(from, to, 1003), page));
    assert_eq!(page(1, 1, 1000), "1000 of 1003 rows");
    assert_eq!(page(2, 1001, 1003), "3 of 1003 rows");
    insta::assert_snapshot!(page(2, 1001, 1002), @"2 of 1003 rows; [row-count, Again] the answer has 2 rows where its list_total_count promises 3 on this page");
}

#[test]
fn nesting_without_end_costs_no_stack() {
    assert!(volume("<a>".repeat(100_000)).contains("deeper than"));
    assert!(volume("{\"a\":".repeat(100_000)).contains("recursion limit"));
}

/// The recorded bodies of the real host, where they are at hand.
#[test]
fn recorded_bodies_of_the_real_host_are_read() {
    let Some(payloads) = crate::shared::folder("payloads") else { return };
    let body = |name: &str| std::fs::read(payloads.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let first_line = |shown: String| shown.lines().next().unwrap_or_default().to_owned();
    assert_eq!(first_line(volume(body("seoul_volinfo.xml"))), "4 of 4 rows");
    assert_eq!(first_line(check(&traffic_spot::SOURCE, body("seoul_spotinfo.xml.reconstructed"))), "30 of 30 rows");
    assert_eq!(volume(body("seoul_error_info200.json")), "0 of 0 rows");
    assert!(volume(body("seoul_error_info100_asked_json.xml")).starts_with("[refused, Key]"));
    assert!(volume(body("seoul_error301_trafficinfo_asked_json.xml")).starts_with("[refused, Patiently]"));
    assert!(volume(body("seoul_error336.xml.reconstructed")).starts_with("[refused, Patiently]"));
}
