//! Bytes to messages and back: the frontend's half of PostgreSQL's protocol 3.0, read with every length checked.
//!
//! Ours because pgwire's own decoders index past the end of a message that lies about its lengths; the backend's
//! messages, which nobody else writes, are pgwire's. Source: <https://www.postgresql.org/docs/17/protocol-message-formats.html>.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use pgwire::messages::PgWireBackendMessage;
use tokio_util::codec::{Decoder, Encoder};

use super::error::SqlError;

/// Bytes of a start-up packet, as in PostgreSQL (MAX_STARTUP_PACKET_LENGTH).
const STARTUP_BYTES_MAX: usize = 10_000;
/// What a message with a statement or its parameters carries besides them: names, counts, type OIDs.
const ENVELOPE_BYTES_MAX: usize = 512 * 1024;

const CODE_TLS: u32 = 80_877_103;
const CODE_GSS: u32 = 80_877_104;
const CODE_CANCEL: u32 = 80_877_102;

/// What a client can say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    // Before the connection is open, without a type byte.
    AskTls,
    AskGss,
    Cancel {
        pid: i32,
        secret: i32,
    },
    Startup {
        major: u16,
        minor: u16,
        parameters: Vec<(String, String)>,
    },
    // Afterwards.
    Query(String),
    Parse {
        name: String,
        sql: String,
        types: Vec<u32>,
    },
    Bind(Bind),
    Describe(Target),
    Execute {
        portal: String,
        rows_max: i32,
    },
    Close(Target),
    Flush,
    Sync,
    Terminate,
    /// A message that is known, but has no business here: a password, COPY's data, a function call.
    Other(u8),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bind {
    pub portal: String,
    pub statement: String,
    pub parameter_formats: Vec<i16>,
    pub parameters: Vec<Option<Bytes>>,
    pub result_formats: Vec<i16>,
}

/// What `Describe` and `Close` speak of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    Statement(String),
    Portal(String),
}

/// Why an answer ends early: the connection is broken, or the client is to be told.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    Sql(SqlError),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Io(error)
    }
}

impl From<SqlError> for Fault {
    fn from(error: SqlError) -> Fault {
        Fault::Sql(error)
    }
}

/// Frames of one connection.
pub(super) struct Codec {
    /// False until the start-up packet was read.
    pub open: bool,
    statement_bytes_max: usize,
}

impl Codec {
    pub fn new(statement_bytes_max: usize) -> Codec {
        Codec { open: false, statement_bytes_max }
    }
}

impl Decoder for Codec {
    type Item = Message;
    type Error = Fault;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<Message>, Fault> {
        let type_bytes = usize::from(self.open);
        if source.len() < type_bytes + 4 {
            return Ok(None);
        }
        let length = u32::from_be_bytes(source[type_bytes..type_bytes + 4].try_into().expect("four bytes")) as usize;
        let (least, most) = if self.open { (4, self.statement_bytes_max + ENVELOPE_BYTES_MAX) } else { (8, STARTUP_BYTES_MAX) };
        if length < least {
            return Err(garbled(format!("message of {length} bytes, at least {least} expected")).into());
        }
        if length > most {
            return Err(SqlError::fatal("54000", format!("message of {length} bytes, at most {most} are read"))
                .hint("send long lists of values in several statements")
                .into());
        }
        if source.len() < type_bytes + length {
            source.reserve(type_bytes + length - source.len());
            return Ok(None);
        }
        let frame = source.split_to(type_bytes + length).freeze();
        let mut body = Fields(frame.slice(type_bytes + 4..));
        let message = if self.open { talk(frame[0], &mut body)? } else { opening(&mut body)? };
        if !matches!(message, Message::Other(_)) && !body.0.is_empty() {
            return Err(garbled(format!("message is {} bytes longer than its fields", body.0.len())).into());
        }
        self.open |= matches!(message, Message::Startup { .. });
        Ok(Some(message))
    }
}

impl Encoder<PgWireBackendMessage> for Codec {
    type Error = io::Error;

    fn encode(&mut self, message: PgWireBackendMessage, target: &mut BytesMut) -> io::Result<()> {
        message.encode(target).map_err(io::Error::other)
    }
}

fn opening(body: &mut Fields) -> Result<Message, SqlError> {
    let code = body.u32()?;
    match code {
        CODE_TLS => return Ok(Message::AskTls),
        CODE_GSS => return Ok(Message::AskGss),
        CODE_CANCEL => {
            let (pid, secret) = (body.u32()? as i32, body.u32()? as i32);
            return Ok(Message::Cancel { pid, secret });
        }
        _ => {}
    }
    let (major, minor) = ((code >> 16) as u16, code as u16);
    if major != 3 {
        return Err(garbled(format!("protocol {major}.{minor} is not spoken here, 3.0 is")));
    }
    let mut parameters = Vec::new();
    loop {
        let name = body.text()?;
        if name.is_empty() {
            break;
        }
        parameters.push((name, body.text()?));
    }
    Ok(Message::Startup { major, minor, parameters })
}

fn talk(kind: u8, body: &mut Fields) -> Result<Message, SqlError> {
    Ok(match kind {
        b'Q' => Message::Query(body.text()?),
        b'P' => Message::Parse { name: body.text()?, sql: body.text()?, types: body.list(4, Fields::u32)? },
        b'B' => Message::Bind(Bind {
            portal: body.text()?,
            statement: body.text()?,
            parameter_formats: body.list(2, Fields::i16)?,
            parameters: body.list(4, Fields::value)?,
            result_formats: body.list(2, Fields::i16)?,
        }),
        b'D' => Message::Describe(body.target()?),
        b'E' => Message::Execute { portal: body.text()?, rows_max: body.u32()? as i32 },
        b'C' => Message::Close(body.target()?),
        b'H' => Message::Flush,
        b'S' => Message::Sync,
        b'X' => Message::Terminate,
        b'p' | b'd' | b'c' | b'f' | b'F' => Message::Other(kind),
        unknown => return Err(garbled(format!("unknown message type {:?}", char::from(unknown)))),
    })
}

fn garbled(message: String) -> SqlError {
    SqlError::fatal("08P01", message)
}

/// The rest of a message, read field by field.
struct Fields(Bytes);

impl Fields {
    fn take(&mut self, count: usize) -> Result<Bytes, SqlError> {
        if self.0.len() < count {
            return Err(garbled(format!("message ends {} bytes early", count - self.0.len())));
        }
        Ok(self.0.split_to(count))
    }

    fn i16(&mut self) -> Result<i16, SqlError> {
        Ok(self.take(2)?.get_i16())
    }

    fn u32(&mut self) -> Result<u32, SqlError> {
        Ok(self.take(4)?.get_u32())
    }

    fn text(&mut self) -> Result<String, SqlError> {
        let end = self.0.iter().position(|&byte| byte == 0).ok_or_else(|| garbled("text without an end".to_owned()))?;
        let text = self.0.split_to(end);
        self.0.advance(1);
        String::from_utf8(text.into())
            .map_err(|error| SqlError::fatal("22021", format!("text is not UTF-8: {}", error.utf8_error())))
    }

    /// A count of 16 bits, then as many items of at least `bytes_least` each.
    fn list<T>(&mut self, bytes_least: usize, item: impl Fn(&mut Fields) -> Result<T, SqlError>) -> Result<Vec<T>, SqlError> {
        let count = self.i16()? as u16 as usize;
        if count * bytes_least > self.0.len() {
            return Err(garbled(format!("list of {count} in {} bytes", self.0.len())));
        }
        (0..count).map(|_| item(self)).collect()
    }

    /// A parameter's value; a negative length means null.
    fn value(&mut self) -> Result<Option<Bytes>, SqlError> {
        let length = self.u32()? as i32;
        usize::try_from(length).ok().map(|length| self.take(length)).transpose()
    }

    fn target(&mut self) -> Result<Target, SqlError> {
        let kind = self.take(1)?[0];
        let name = self.text()?;
        match kind {
            b'S' => Ok(Target::Statement(name)),
            b'P' => Ok(Target::Portal(name)),
            other => Err(garbled(format!("neither statement nor portal: {:?}", char::from(other)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, body: &[u8]) -> BytesMut {
        let mut bytes = BytesMut::from(&[kind][..]);
        bytes.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    fn decode(open: bool, mut bytes: BytesMut) -> Result<Option<Message>, Fault> {
        let mut codec = Codec::new(1_000);
        codec.open = open;
        codec.decode(&mut bytes)
    }

    #[test]
    fn a_message_in_pieces_is_read_once_it_is_whole() {
        let whole = frame(b'Q', b"SELECT 1\0");
        for cut in 0..whole.len() {
            assert!(decode(true, BytesMut::from(&whole[..cut])).unwrap().is_none(), "{cut} bytes are no message");
        }
        assert_eq!(decode(true, whole).unwrap(), Some(Message::Query("SELECT 1".to_owned())));
    }

    #[test]
    fn a_length_that_lies_is_an_error() {
        let lies: [(&[u8], &str); 4] = [
            (b"\0\0\0\x05\0\0", "more formats than bytes"),
            (b"\0\0\0\0\0\x01\0\0\0\x09abc\0\0", "a value longer than the message"),
            (b"\0\0\0\0\0\0\0\0trailing", "bytes behind the last field"),
            (b"no end", "text without an end"),
        ];
        for (body, lie) in lies {
            match decode(true, frame(b'B', body)) {
                Err(Fault::Sql(error)) => assert_eq!((error.code, error.fatal), ("08P01", true), "{lie}"),
                other => panic!("{lie}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_message_too_long_is_refused_by_its_header_alone() {
        let header = BytesMut::from(&b"Q\x7f\xff\xff\xff"[..]);
        assert!(matches!(decode(true, header), Err(Fault::Sql(SqlError { code: "54000", fatal: true, .. }))));
    }

    proptest! {
        #[test]
        fn nonsense_is_an_error_or_a_message_and_never_a_panic(open in any::<bool>(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(open, BytesMut::from(&bytes[..]));
        }

        #[test]
        fn nonsense_in_an_honest_frame_never_panics(kind in prop::sample::select(&b"QPBDECHSXpdcfF?"[..]), body in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(true, frame(kind, &body));
        }
    }
}
