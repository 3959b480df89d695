//! Frames: what one long-lived stream between two peers carries.
//!
//! ```text
//! length u32 LE, of what follows | kind u8 | head, by kind | body
//! ```
//!
//! Integers in heads are little endian. The layout is part of the wire version; the bodies are
//! [`crate::codec`]'s.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::api::RequestId;
use crate::codec::MAX_ENCODED_BYTES;
use crate::timing::Spent;

/// The most bytes of a head: kind, id, two integers and a request id of up to 128 characters.
const MAX_HEAD_BYTES: usize = 256;
/// The most bytes that a length prefix may claim.
pub const MAX_FRAME_BYTES: usize = MAX_ENCODED_BYTES + MAX_HEAD_BYTES;
const PREFIX_BYTES: usize = 4;

/// Names a call or stream on its connection; the side that asks counts them.
pub type CallId = u64;

/// One message on a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<B = Bytes> {
    /// The answering side's first frame: how many calls it takes at a time.
    Welcome {
        /// Calls and streams in flight on this lane, at most.
        in_flight: u32,
    },
    /// Asks for one reply.
    Call {
        /// Which call.
        id: CallId,
        /// How long the caller will wait, in milliseconds.
        remaining_ms: u32,
        /// The request it is part of.
        request_id: RequestId,
        /// An encoded [`crate::api::Request`].
        body: B,
    },
    /// Asks for a stream of items.
    Open {
        /// Which stream.
        id: CallId,
        /// Bytes of items that may be sent before more credit comes.
        credit: u32,
        /// The request it is part of.
        request_id: RequestId,
        /// An encoded [`crate::api::StreamRequest`].
        body: B,
    },
    /// The asking side no longer wants the answer.
    Cancel {
        /// Of which call or stream.
        id: CallId,
    },
    /// The reader of a stream has room for more.
    Credit {
        /// Which stream.
        id: CallId,
        /// Bytes of items.
        bytes: u32,
    },
    /// The answer to a call: an encoded `Result<Reply, ApiError>`.
    Reply {
        /// Which call.
        id: CallId,
        /// What it took.
        spent: Spent,
        /// The answer.
        body: B,
    },
    /// A stream was accepted; items follow when there are any.
    Opened {
        /// Which stream.
        id: CallId,
    },
    /// One item of a stream.
    Item {
        /// Which stream.
        id: CallId,
        /// The encoded item.
        body: B,
    },
    /// A stream ended: an encoded `Result<(), ApiError>`.
    End {
        /// Which stream.
        id: CallId,
        /// How.
        body: B,
    },
    /// Are you there?
    Ping,
    /// Yes.
    Pong,
}

/// Why bytes are no frame. The stream that carried them can't go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length prefix claims more than a frame may have, or nothing at all.
    #[error("a length prefix of {0} bytes, frames have 1 to {MAX_FRAME_BYTES}")]
    Length(usize),
    /// The first byte names no kind of frame.
    #[error("there is no frame of kind {0}")]
    Kind(u8),
    /// The head ends early, or the frame goes on after its end.
    #[error("a frame of kind {0} with another length than its head says")]
    Head(u8),
    /// The request id is not visible ASCII.
    #[error("a frame with an unreadable request id")]
    RequestId,
}

const WELCOME: u8 = 1;
const CALL: u8 = 2;
const OPEN: u8 = 3;
const CANCEL: u8 = 4;
const CREDIT: u8 = 5;
const REPLY: u8 = 6;
const OPENED: u8 = 7;
const ITEM: u8 = 8;
const END: u8 = 9;
const PING: u8 = 10;
const PONG: u8 = 11;

impl<B: AsRef<[u8]>> Frame<B> {
    /// Appends the frame to `out`, its length first.
    pub fn put(&self, out: &mut BytesMut) {
        let start = out.len();
        out.reserve(PREFIX_BYTES + MAX_HEAD_BYTES + self.body().len());
        out.put_u32_le(0);
        self.put_head(out);
        out.put_slice(self.body());
        let length = (out.len() - start - PREFIX_BYTES) as u32;
        out[start..start + PREFIX_BYTES].copy_from_slice(&length.to_le_bytes());
    }

    fn body(&self) -> &[u8] {
        match self {
            Self::Call { body, .. }
            | Self::Open { body, .. }
            | Self::Reply { body, .. }
            | Self::Item { body, .. }
            | Self::End { body, .. } => body.as_ref(),
            _ => &[],
        }
    }

    fn put_head(&self, out: &mut BytesMut) {
        match self {
            Self::Welcome { in_flight } => {
                out.put_u8(WELCOME);
                out.put_u32_le(*in_flight);
            }
            Self::Call { id, remaining_ms, request_id, .. } => {
                put_request(out, CALL, *id, *remaining_ms, request_id);
            }
            Self::Open { id, credit, request_id, .. } => {
                put_request(out, OPEN, *id, *credit, request_id);
            }
            Self::Cancel { id } => put_id(out, CANCEL, *id),
            Self::Credit { id, bytes } => {
                put_id(out, CREDIT, *id);
                out.put_u32_le(*bytes);
            }
            Self::Reply { id, spent, .. } => {
                put_id(out, REPLY, *id);
                let Spent { served_us, network_us, majority_us, apply_us } = *spent;
                for time in [served_us, network_us, majority_us, apply_us] {
                    out.put_u32_le(time);
                }
            }
            Self::Opened { id } => put_id(out, OPENED, *id),
            Self::Item { id, .. } => put_id(out, ITEM, *id),
            Self::End { id, .. } => put_id(out, END, *id),
            Self::Ping => out.put_u8(PING),
            Self::Pong => out.put_u8(PONG),
        }
    }
}

fn put_id(out: &mut BytesMut, kind: u8, id: CallId) {
    out.put_u8(kind);
    out.put_u64_le(id);
}

fn put_request(out: &mut BytesMut, kind: u8, id: CallId, number: u32, request_id: &RequestId) {
    put_id(out, kind, id);
    out.put_u32_le(number);
    let text = request_id.as_str().as_bytes();
    // A request id has at most 128 characters.
    out.put_u8(text.len() as u8);
    out.put_slice(text);
}

impl Frame {
    /// The frame in these bytes, which are all of it but its length prefix.
    ///
    /// # Errors
    /// [`FrameError`] when they are no frame.
    pub fn parse(mut bytes: Bytes) -> Result<Self, FrameError> {
        if bytes.is_empty() {
            return Err(FrameError::Length(0));
        }
        let kind = bytes.get_u8();
        let mut head = Head { kind, bytes };
        let frame = match kind {
            WELCOME => Self::Welcome { in_flight: head.u32()? },
            CALL => Self::Call {
                id: head.u64()?,
                remaining_ms: head.u32()?,
                request_id: head.request_id()?,
                body: head.rest(),
            },
            OPEN => Self::Open {
                id: head.u64()?,
                credit: head.u32()?,
                request_id: head.request_id()?,
                body: head.rest(),
            },
            CANCEL => Self::Cancel { id: head.u64()? },
            CREDIT => Self::Credit { id: head.u64()?, bytes: head.u32()? },
            REPLY => Self::Reply { id: head.u64()?, spent: head.spent()?, body: head.rest() },
            OPENED => Self::Opened { id: head.u64()? },
            ITEM => Self::Item { id: head.u64()?, body: head.rest() },
            END => Self::End { id: head.u64()?, body: head.rest() },
            PING => Self::Ping,
            PONG => Self::Pong,
            other => return Err(FrameError::Kind(other)),
        };
        if head.bytes.is_empty() { Ok(frame) } else { Err(FrameError::Head(kind)) }
    }
}

struct Head {
    kind: u8,
    bytes: Bytes,
}

impl Head {
    fn u32(&mut self) -> Result<u32, FrameError> {
        self.bytes.try_get_u32_le().map_err(|_| FrameError::Head(self.kind))
    }

    fn u64(&mut self) -> Result<u64, FrameError> {
        self.bytes.try_get_u64_le().map_err(|_| FrameError::Head(self.kind))
    }

    fn request_id(&mut self) -> Result<RequestId, FrameError> {
        let short = |_| FrameError::Head(self.kind);
        let length = usize::from(self.bytes.try_get_u8().map_err(short)?);
        if self.bytes.len() < length {
            return Err(FrameError::Head(self.kind));
        }
        let text = self.bytes.split_to(length);
        let text = std::str::from_utf8(&text).map_err(|_| FrameError::RequestId)?;
        text.parse().map_err(|_| FrameError::RequestId)
    }

    fn spent(&mut self) -> Result<Spent, FrameError> {
        Ok(Spent {
            served_us: self.u32()?,
            network_us: self.u32()?,
            majority_us: self.u32()?,
            apply_us: self.u32()?,
        })
    }

    fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.bytes)
    }
}

/// Cuts the bytes of a stream into frames.
///
/// It keeps only bytes that really arrived: a length prefix allocates nothing.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// Takes in what was read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, when it is there.
    ///
    /// # Errors
    /// [`FrameError`]; what follows on the stream has no meaning then.
    pub fn frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        if !(1..=MAX_FRAME_BYTES).contains(&length) {
            return Err(FrameError::Length(length));
        }
        if self.buffer.len() < PREFIX_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX_BYTES);
        Frame::parse(self.buffer.split_to(length).freeze()).map(Some)
    }

    /// Bytes that are kept because their frame is not whole yet.
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of_each() -> Vec<Frame> {
        let request_id: RequestId = "r-1".parse().unwrap();
        let body = Bytes::from_static(b"body");
        let spent = Spent { served_us: 1, network_us: 2, majority_us: 3, apply_us: u32::MAX };
        vec![
            Frame::Welcome { in_flight: 7 },
            Frame::Call {
                id: 1,
                remaining_ms: 2,
                request_id: request_id.clone(),
                body: body.clone(),
            },
            Frame::Open { id: 3, credit: 4, request_id, body: body.clone() },
            Frame::Cancel { id: 5 },
            Frame::Credit { id: 6, bytes: 7 },
            Frame::Reply { id: 8, spent, body: body.clone() },
            Frame::Opened { id: 9 },
            Frame::Item { id: u64::MAX, body: Bytes::new() },
            Frame::End { id: 11, body },
            Frame::Ping,
            Frame::Pong,
        ]
    }

    #[test]
    fn frames_survive_being_cut_anywhere() {
        let frames = one_of_each();
        let mut bytes = BytesMut::new();
        frames.iter().for_each(|frame| frame.put(&mut bytes));
        for step in [1, 2, 3, 7, 64, bytes.len()] {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for part in bytes.chunks(step) {
                decoder.feed(part);
                while let Some(frame) = decoder.frame().unwrap() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, frames, "in parts of {step} bytes");
            assert_eq!(decoder.waiting(), 0);
        }
    }

    #[test]
    fn a_length_prefix_above_the_limit_is_refused_before_anything_is_allocated() {
        for length in [0, MAX_FRAME_BYTES as u32 + 1, 1 << 30, u32::MAX] {
            let mut decoder = Decoder::default();
            decoder.feed(&length.to_le_bytes());
            assert_eq!(decoder.frame(), Err(FrameError::Length(length as usize)));
            assert!(decoder.buffer.capacity() < 1024);
        }
    }

    #[test]
    fn a_length_within_the_limit_allocates_nothing_either() {
        let mut decoder = Decoder::default();
        decoder.feed(&(MAX_FRAME_BYTES as u32).to_le_bytes());
        assert_eq!(decoder.frame(), Ok(None));
        assert!(decoder.buffer.capacity() < 1024);
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let parse = |bytes: &[u8]| Frame::parse(Bytes::copy_from_slice(bytes));
        assert_eq!(parse(&[]), Err(FrameError::Length(0)));
        assert_eq!(parse(&[99]), Err(FrameError::Kind(99)));
        assert_eq!(parse(&[PING, 0]), Err(FrameError::Head(PING)));
        assert_eq!(parse(&[CANCEL, 0]), Err(FrameError::Head(CANCEL)));
        let mut call = vec![CALL];
        call.extend_from_slice(&[0; 12]);
        assert_eq!(parse(&call), Err(FrameError::Head(CALL)));
        call.push(3);
        assert_eq!(parse(&call), Err(FrameError::Head(CALL)));
        call.extend_from_slice(b"a b");
        assert_eq!(parse(&call), Err(FrameError::RequestId));
    }

    #[test]
    fn a_body_of_the_largest_size_fits() {
        let body = Bytes::from(vec![0; MAX_ENCODED_BYTES]);
        let frame = Frame::Reply { id: 1, spent: Spent::default(), body };
        let mut bytes = BytesMut::new();
        frame.put(&mut bytes);
        let mut decoder = Decoder::default();
        decoder.feed(&bytes);
        assert_eq!(decoder.frame(), Ok(Some(frame)));
    }
}
