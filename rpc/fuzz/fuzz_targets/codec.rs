//! Whatever a peer sends as a body: no panic, no allocation out of proportion (run it with
//! `-malloc_limit_mb`), and a value that was read is read again from what it is written as.

#![no_main]

use bookmesh_rpc::api::{ApiError, Batch, LogRecord, Reply, Request, RouteTable, StreamRequest};
use bookmesh_rpc::codec::{decode, encode};
use libfuzzer_sys::fuzz_target;

fn check<T>(bytes: &[u8])
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    if let Ok(value) = decode::<T>(bytes) {
        if let Ok(written) = encode(&value) {
            assert_eq!(decode::<T>(&written), Ok(value));
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    check::<Request>(bytes);
    check::<StreamRequest>(bytes);
    check::<Result<Reply, ApiError>>(bytes);
    check::<Batch>(bytes);
    check::<LogRecord>(bytes);
    check::<RouteTable>(bytes);
});
