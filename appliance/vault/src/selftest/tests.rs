//! Every test passes, and every test notices one bit.
#![allow(clippy::unwrap_used)]

use super::health::{adaptive_proportion, repetition_count};
use super::*;
use crate::provider::{self, AgreementKey};
use crate::secret::Secret;
use std::collections::BTreeSet;

#[test]
fn every_test_passes_and_names_its_source() {
    let mut names = BTreeSet::new();
    for test in all() {
        assert_eq!(test.run(), Ok(()), "{}", test.name);
        assert!(test.source.len() > 5, "{}", test.name);
        assert!(names.insert(test.name), "{} stands twice", test.name);
    }
    assert!(names.len() > 20, "{names:?}");
}

#[test]
fn every_test_notices_a_turned_bit() {
    for test in all() {
        let passed = test.run_control();
        assert!(passed.is_err(), "{} sees nothing", test.name);
    }
}

#[test]
fn every_part_of_the_provider_is_tested() {
    for part in provider::parts() {
        let begins = |test: &SelfTest| test.name.starts_with(part.name);
        // The generator behind an interface has no known answer; its health is looked at.
        let name = part.name.split(", nonce").next().unwrap();
        let tested = all().any(|test| begins(test) || test.name == name);
        assert!(tested, "{} has no self-test", part.name);
    }
}

#[test]
fn a_stuck_or_partial_source_is_seen() {
    let good: Vec<u8> = (0..=255u8).cycle().take(4_096).collect();
    assert_eq!(repetition_count(&good), Ok(()));
    assert_eq!(adaptive_proportion(&good), Ok(()));
    let mut stuck = good.clone();
    stuck.get_mut(100..106).unwrap().fill(7);
    assert!(repetition_count(&stuck).is_err());
    assert_eq!(adaptive_proportion(&stuck), Ok(()));
    // One value every 20 samples is far too often among 256.
    let favoured = good.iter().enumerate();
    let favoured: Vec<u8> = favoured
        .map(|(i, byte)| if i % 20 == 0 { 1 } else { *byte })
        .collect();
    assert!(adaptive_proportion(&favoured).is_err());
    assert_eq!(repetition_count(&favoured), Ok(()));
}

#[test]
fn a_pair_whose_halves_differ_is_refused() {
    let seed = provider::random_secret(32).unwrap();
    assert!(check_ed25519(&seed).is_ok());
    assert!(check_ed25519(&Secret::init_with(31, |_| ())).is_err());
    assert!(check_p256(&Secret::copy_of(b"no key")).is_err());
    assert!(check_p384(&AgreementKey::generate().unwrap()).is_ok());
}
