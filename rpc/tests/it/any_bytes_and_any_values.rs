//! Whatever bytes arrive, decoding neither panics nor keeps more than arrived; whatever value is
//! sent arrives as it was. 120,000 cases together. The fuzz targets in `rpc/fuzz` go deeper.

use bookmesh_rpc::api::{ApiError, Batch, Reply, Request, StreamRequest};
use bookmesh_rpc::codec;
use bookmesh_rpc::frame::{Decoder, Frame, MAX_FRAME_BYTES};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use crate::values::{REPLIES, REQUESTS, Source};

/// Any bytes, up to a length. Drawn as a whole from a seed: a strategy for each single byte would
/// take most of the time.
fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    (any::<u64>(), 0..most).prop_map(|(seed, length)| {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    })
}

/// Mostly small numbers and the marks of long ones, as encoded values have them.
fn value_like(most: usize) -> impl Strategy<Value = Vec<u8>> {
    bytes(most).prop_map(|mut bytes| {
        for byte in &mut bytes {
            *byte = match *byte {
                0..64 => *byte % 4,
                64..96 => 250 + *byte % 6,
                _ => *byte,
            };
        }
        bytes
    })
}

/// Bytes that begin like a frame: a plausible length and kind.
fn frame_like() -> impl Strategy<Value = Vec<u8>> {
    (0..64_u32, 0..13_u8, bytes(64)).prop_map(|(length, kind, rest)| {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.push(kind);
        bytes.extend(rest);
        bytes
    })
}

fn decodes_without_panic(bytes: &[u8]) {
    let _ = codec::decode::<Request>(bytes);
    let _ = codec::decode::<StreamRequest>(bytes);
    let _ = codec::decode::<Result<Reply, ApiError>>(bytes);
    let _ = codec::decode::<Batch>(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30_000, ..ProptestConfig::default() })]

    #[test]
    fn a_decoder_takes_any_bytes_and_keeps_no_more_than_arrived(
        bytes in prop_oneof![bytes(128), frame_like()],
        cut in 1..16_usize,
    ) {
        let mut decoder = Decoder::default();
        let mut fed = 0;
        'stream: for part in bytes.chunks(cut) {
            decoder.feed(part);
            fed += part.len();
            loop {
                match decoder.frame() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => break 'stream,
                }
            }
            prop_assert!(decoder.waiting() <= fed && decoder.waiting() <= MAX_FRAME_BYTES + cut);
        }
    }

    #[test]
    fn what_parses_as_a_frame_is_written_as_the_same_bytes(
        kind in 1..12_u8,
        rest in bytes(64),
    ) {
        let mut bytes = vec![kind];
        bytes.extend(rest);
        if let Ok(frame) = Frame::parse(Bytes::copy_from_slice(&bytes)) {
            let mut written = BytesMut::new();
            frame.put(&mut written);
            prop_assert_eq!(&written[4..], &bytes[..]);
        }
    }

    #[test]
    fn any_bytes_decode_to_a_value_or_an_error(
        variant in 0..24_u8,
        rest in value_like(96),
    ) {
        decodes_without_panic(&rest);
        let mut bytes = vec![variant];
        bytes.extend(rest);
        decodes_without_panic(&bytes);
    }

    #[test]
    fn every_request_and_reply_arrives_as_it_was_sent(
        variant in 0..REQUESTS.max(REPLIES),
        entropy in bytes(160),
    ) {
        let mut source = Source::new(&entropy);
        let request = source.request(variant % REQUESTS);
        let bytes = codec::encode(&request).unwrap();
        prop_assert_eq!(codec::decode::<Request>(&bytes).unwrap(), request);
        let reply = source.reply(variant % REPLIES);
        let bytes = codec::encode(&reply).unwrap();
        prop_assert_eq!(codec::decode::<Result<Reply, ApiError>>(&bytes).unwrap(), reply);
        let stream = source.stream_request();
        let bytes = codec::encode(&stream).unwrap();
        prop_assert_eq!(codec::decode::<StreamRequest>(&bytes).unwrap(), stream);
    }
}
