//! How Seoul Open Data Plaza says no: with HTTP 200, a code and a message, in one of several envelopes.
//!
//! Codes and messages are the portal's table. Recorded to the byte are INFO-100 and ERROR-301 as a traffic service asked
//! for JSON gives it; all other bodies are ASSUMED to have the form of INFO-100 (ERROR-336 has been seen in that form,
//! its end cut off).

/// Why a request gets no rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The key is unknown.
    Key,
    /// Nothing matches, or nothing is there yet.
    NoRows,
    /// An argument that the service needs is missing.
    Argument,
    /// No such TYPE.
    Type,
    /// A TYPE that there is, but not for this service, which speaks XML only.
    TypeOfService,
    Service,
    Start,
    End,
    NotInteger,
    StartBehindEnd,
    Sample,
    TooMany,
    Server,
    Database,
}

impl Refusal {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Refusal::Key => "INFO-100",
            Refusal::NoRows => "INFO-200",
            Refusal::Argument => "ERROR-300",
            Refusal::Type | Refusal::TypeOfService => "ERROR-301",
            Refusal::Service => "ERROR-310",
            Refusal::Start => "ERROR-331",
            Refusal::End => "ERROR-332",
            Refusal::NotInteger => "ERROR-333",
            Refusal::StartBehindEnd => "ERROR-334",
            Refusal::Sample => "ERROR-335",
            Refusal::TooMany => "ERROR-336",
            Refusal::Server => "ERROR-500",
            Refusal::Database => "ERROR-600",
        }
    }

    /// The portal's words: sentences on lines of their own, as recorded for INFO-100.
    fn message(self) -> &'static str {
        match self {
            Refusal::Key => {
                "인증키가 유효하지 않습니다.\n인증키가 없는 경우, 열린 데이터 광장 홈페이지에서 인증키를 신청하십시오."
            }
            Refusal::NoRows => "해당하는 데이터가 없습니다.",
            Refusal::Argument => "필수 값이 누락되어 있습니다.\n요청인자를 참고 하십시오.",
            Refusal::Type => "파일타입 값이 누락 혹은 유효하지 않습니다.\n요청인자 중 TYPE을 확인하십시오.",
            Refusal::TypeOfService => "파일타입 값이 누락 혹은 유효하지 않습니다.",
            Refusal::Service => "해당하는 서비스를 찾을 수 없습니다.\n요청인자 중 SERVICE를 확인하십시오.",
            Refusal::Start => "요청시작위치 값을 확인하십시오.\n요청인자 중 START_INDEX를 확인하십시오.",
            Refusal::End => "요청종료위치 값을 확인하십시오.\n요청인자 중 END_INDEX를 확인하십시오.",
            Refusal::NotInteger => "요청위치 값의 타입이 유효하지 않습니다.\n요청위치 값은 정수를 입력하세요.",
            Refusal::StartBehindEnd => "요청종료위치 보다 요청시작위치가 더 큽니다.\n요청시작조회건수는 정수를 입력하세요.",
            Refusal::Sample => {
                "샘플데이터(샘플키:sample) 는 한번에 최대 5건을 넘을 수 없습니다.\n요청시작위치와 요청종료위치 값은 1 ~ 5 사이만 가능합니다."
            }
            Refusal::TooMany => {
                "데이터요청은 한번에 최대 1000건을 넘을 수 없습니다.\n요청종료위치에서 요청시작위치를 뺀 값이 1000을 넘지 않도록 수정하세요."
            }
            Refusal::Server => "서버 오류입니다.\n지속적으로 발생시 열린 데이터 광장으로 문의(Q&A) 바랍니다.",
            Refusal::Database => "데이터베이스 연결 오류입니다.\n지속적으로 발생시 열린 데이터 광장으로 문의(Q&A) 바랍니다.",
        }
    }

    /// The whole body.
    pub(crate) fn body(self) -> String {
        let (code, message) = (self.code(), self.message());
        match self {
            Refusal::TypeOfService => {
                format!("{DECLARATION}<response><RESULT><CODE>{code}</CODE><MESSAGE>{message}</MESSAGE></RESULT></response>")
            }
            _ => format!("<RESULT><CODE>{code}</CODE><MESSAGE><![CDATA[{message}]]></MESSAGE></RESULT>"),
        }
    }
}

/// First thing in every body but the bare envelope.
pub(crate) const DECLARATION: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#;

/// A page of success: the full count, INFO-000, and the page's rows, their fields in order.
pub(crate) fn success<'a>(service: &str, total: usize, rows: impl Iterator<Item = &'a Row>) -> String {
    let mut body = format!(
        "{DECLARATION}<{service}><list_total_count>{total}</list_total_count>\
         <RESULT><CODE>INFO-000</CODE><MESSAGE>정상 처리되었습니다</MESSAGE></RESULT>"
    );
    for row in rows {
        body.push_str("<row>");
        for (field, value) in row {
            body.extend(["<", field, ">"]);
            push_escaped(&mut body, value);
            body.extend(["</", field, ">"]);
        }
        body.push_str("</row>");
    }
    body.extend(["</", service, ">"]);
    body
}

/// A row's fields in the upstream's order: name and text.
pub(crate) type Row = Vec<(&'static str, String)>;

fn push_escaped(body: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => body.push_str("&amp;"),
            '<' => body.push_str("&lt;"),
            '>' => body.push_str("&gt;"),
            other => body.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_xml_would_misread_is_escaped() {
        let row = vec![("spot_nm", "A&B <-> C".to_owned())];
        assert!(success("SpotInfo", 1, [row].iter()).contains("<spot_nm>A&amp;B &lt;-&gt; C</spot_nm>"));
    }
}
