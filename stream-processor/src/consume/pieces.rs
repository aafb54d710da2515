//! Records by the two ways in which librdkafka hands them over, told of in one way.

use rdkafka::message::{BorrowedMessage, Headers, Message};

use super::positions::Consumed;
use super::queue::Raw;

/// A record, or the end of a partition, of a topic by its name and something quicker to compare.
pub(super) enum Piece<'a, C> {
    Record(&'a str, usize, i32, C),
    End(&'a str, usize, i32, i64),
}

impl<'a, C> Piece<'a, C> {
    pub(super) fn topic(&self) -> (&'a str, usize) {
        match self {
            Piece::Record(name, id, ..) | Piece::End(name, id, ..) => (name, *id),
        }
    }
}

impl<'a> Consumed<'a> for Raw<'a> {
    fn offset(self) -> i64 {
        Raw::offset(self)
    }
    fn key(self) -> Option<&'a [u8]> {
        Raw::key(self)
    }
    fn payload(self) -> Option<&'a [u8]> {
        Raw::payload(self)
    }
    fn headers(self) -> Vec<(&'a str, &'a [u8])> {
        Raw::headers(self)
    }
}

/// A record that came by the consumer's own queue.
#[derive(Clone, Copy)]
pub(super) struct Stray<'a>(pub(super) &'a BorrowedMessage<'a>);

impl<'a> Consumed<'a> for Stray<'a> {
    fn offset(self) -> i64 {
        self.0.offset()
    }
    fn key(self) -> Option<&'a [u8]> {
        self.0.key()
    }
    fn payload(self) -> Option<&'a [u8]> {
        self.0.payload()
    }
    fn headers(self) -> Vec<(&'a str, &'a [u8])> {
        match self.0.headers() {
            Some(headers) => {
                (0..headers.count()).map(|place| headers.get(place)).map(|h| (h.key, h.value.unwrap_or_default())).collect()
            }
            None => Vec::new(),
        }
    }
}
