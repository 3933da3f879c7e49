//! Records for people: the JSON in exports and in `log show --json`, and the lines of `log show`.

use domain::{AccessRecord, Record, Time, View, codec};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// RFC 3339, UTC, always with milliseconds: texts sort like times.
const MOMENT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// A record of the cluster log as JSON.
pub fn record(bytes: &[u8]) -> Result<Value, String> {
    let record: Record = codec::from_slice(bytes).map_err(|e| e.to_string())?;
    Ok(json!({
        "time": moment(record.time),
        "view": View::of(&record.event).name(),
        "entry": record.entry,
        "actor": plain(&record.actor)?,
        "event": plain(&record.event)?,
        "summary": domain::summary(&record),
    }))
}

/// A record of the access log as JSON.
pub fn access(bytes: &[u8]) -> Result<Value, String> {
    let record: AccessRecord = codec::from_slice(bytes).map_err(|e| e.to_string())?;
    Ok(json!({
        "time": moment(record.time),
        "view": View::of_access(&record.access).name(),
        "seen": record.seen,
        "actor": plain(&record.actor)?,
        "access": plain(&record.access)?,
        "summary": domain::access_summary(&record),
    }))
}

/// RFC 3339, UTC, with milliseconds.
pub fn moment(time: Time) -> String {
    let nanoseconds = i128::from(time.0) * 1_000_000;
    let moment = OffsetDateTime::from_unix_timestamp_nanos(nanoseconds);
    let text = moment.ok().and_then(|moment| moment.format(MOMENT).ok());
    text.unwrap_or_else(|| format!("{} ms", time.0))
}

/// Any value of ours as JSON: byte strings in hexadecimal, identifiers as people write them.
fn plain<T: serde::Serialize>(value: &T) -> Result<Value, String> {
    Ok(tidy(
        serde_json::to_value(value).map_err(|e| e.to_string())?,
    ))
}

/// serde_json writes byte strings as arrays of numbers; hexadecimal is what people compare.
fn tidy(value: Value) -> Value {
    match value {
        Value::Array(items) => match bytes(&items) {
            Some(bytes) if bytes.len() == 16 => json!(uuid(&bytes)),
            Some(bytes) if bytes.len() > 4 => json!(hex(&bytes)),
            _ => items.into_iter().map(tidy).collect(),
        },
        Value::Object(fields) => fields.into_iter().map(|(k, v)| (k, tidy(v))).collect(),
        other => other,
    }
}

fn bytes(items: &[Value]) -> Option<Vec<u8>> {
    items
        .iter()
        .map(|item| item.as_u64().and_then(|n| u8::try_from(n).ok()))
        .collect()
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn uuid(bytes: &[u8]) -> String {
    let array = <[u8; 16]>::try_from(bytes).unwrap_or_default();
    domain::ClusterId::from_bytes(array).to_string()
}

/// An attribute value for people.
pub fn value(value: &domain::Value) -> String {
    use domain::Value as V;
    match value {
        V::Integer(v) => v.to_string(),
        V::LongInteger(v) | V::DateTimeExtended(v) => v.to_string(),
        V::BigInteger(bytes) | V::Bytes(bytes) => hex(bytes),
        V::Enumeration(v) => format!("{v:#x}"),
        V::Boolean(v) => v.to_string(),
        V::Text(text) => text.escape_debug().to_string(),
        V::DateTime(seconds) => moment(Time::from_seconds(*seconds)),
        V::Interval(seconds) => format!("{seconds} s"),
        V::Structure(fields) => {
            let field = |(_, v): &(domain::Tag, V)| self::value(v);
            fields.iter().map(field).collect::<Vec<_>>().join(", ")
        }
    }
}
