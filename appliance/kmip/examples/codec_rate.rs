//! How long the codec takes for the messages that matter most: nanoseconds per call, the best of
//! several rounds. Run it with `cargo run --release -p kmip --example codec_rate`.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use kmip::operations::{GetRequest, GetResponse, LocateRequest};
use kmip::{
    Attribute, CryptographicAlgorithm, KeyBlock, Limits, Object, ProtocolVersion, Request,
    RequestPayload, Response, ResponseItem, ResponsePayload,
};

const IDENTIFIER: &str = "9f4c2a51-6f0e-4a9e-8a4f-2d7f1f6a4c11";
const ROUNDS: u32 = 9;
const CALLS: u32 = 50_000;

fn rate(what: &str, mut call: impl FnMut()) {
    let round = |call: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..CALLS).for_each(|_| call());
        start.elapsed() / CALLS
    };
    let best = (0..ROUNDS)
        .map(|_| round(&mut call))
        .min()
        .unwrap_or_default();
    println!("{:>7} ns  {what}", best.as_nanos());
}

fn get_response() -> Response {
    let key = KeyBlock::raw(
        vec![7; 32].into(),
        Some(CryptographicAlgorithm::AES),
        Some(256),
    );
    let payload = ResponsePayload::Get(GetResponse {
        unique_identifier: IDENTIFIER.to_owned(),
        object: Object::SymmetricKey(key),
    });
    Response {
        version: ProtocolVersion::V1_4,
        time_stamp: 1_700_000_000,
        client_correlation_value: None,
        server_correlation_value: None,
        items: vec![ResponseItem {
            operation: Some(payload.operation()),
            id: None,
            result: Ok(payload),
        }],
    }
}

fn main() {
    let limits = Limits::default();
    let unique_identifier = Some(IDENTIFIER.to_owned());
    let get = GetRequest {
        unique_identifier,
        ..GetRequest::default()
    };
    let get = Request::of(ProtocolVersion::V1_4, RequestPayload::Get(get));
    let locate = LocateRequest {
        attributes: vec![
            Attribute::name("volume-7"),
            Attribute::custom("Array", "8f0c"),
        ],
        ..LocateRequest::default()
    };
    let locate = Request::of(ProtocolVersion::V1_4, RequestPayload::Locate(locate));
    let (mut get_bytes, mut locate_bytes) = (Vec::new(), Vec::new());
    get.encode(&mut get_bytes);
    locate.encode(&mut locate_bytes);
    let response = get_response();
    let mut response_bytes = Vec::new();
    response.encode(&mut response_bytes);

    println!(
        "Get request {} bytes, response {} bytes",
        get_bytes.len(),
        response_bytes.len()
    );
    rate("decode a Get request", || {
        drop(black_box(Request::decode(black_box(&get_bytes), &limits)));
    });
    let mut out = Vec::with_capacity(1_024);
    rate("encode a Get response", || {
        out.clear();
        black_box(&response).encode(&mut out);
    });
    rate("encode a Get request", || {
        out.clear();
        black_box(&get).encode(&mut out);
    });
    rate("decode a Get response", || {
        drop(black_box(Response::decode(
            black_box(&response_bytes),
            &limits,
        )));
    });
    rate("decode a Locate by two attributes", || {
        drop(black_box(Request::decode(
            black_box(&locate_bytes),
            &limits,
        )));
    });
}
