//! Whatever arrives on a stream: no panic, nothing kept but what arrived, and a frame that was
//! read is written as the same bytes.

#![no_main]

use bookmesh_rpc::frame::Decoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|parts: Vec<&[u8]>| {
    let mut decoder = Decoder::default();
    let mut fed = 0;
    for part in parts {
        decoder.feed(part);
        fed += part.len();
        loop {
            match decoder.frame() {
                Ok(Some(frame)) => {
                    let mut written = Default::default();
                    frame.put(&mut written);
                    let mut again = Decoder::default();
                    again.feed(&written);
                    assert_eq!(again.frame(), Ok(Some(frame)));
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(decoder.waiting() <= fed);
    }
});
