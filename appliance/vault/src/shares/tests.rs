//! Splitting and joining, in numbers and on paper.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::field::{at_zero, evaluate, invert, multiply};
use super::*;
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

fn secret(text: &str) -> Secret {
    Secret::take(hex(text))
}

/// Shares for tests that only look at the text.
fn made() -> (Secret, Vec<Share>) {
    recovery_shares().unwrap()
}

fn read(text: &str) -> Result<Share, ShareTextFault> {
    text.parse()
}

/// What was said of shares of which nothing may be printed.
fn fault<T, E>(outcome: Result<T, E>) -> E {
    outcome.err().expect("a fault")
}

#[test]
fn the_field_is_that_of_aes() {
    // FIPS 197 §4.2 and §4.2.1.
    assert_eq!(multiply(0x57, 0x83), 0xc1);
    assert_eq!(multiply(0x57, 0x13), 0xfe);
    for a in 0..=255u8 {
        assert_eq!(multiply(a, 1), a);
        assert_eq!(
            multiply(a, 2),
            (a << 1) ^ if a & 0x80 == 0 { 0 } else { 0x1b }
        );
        assert_eq!(multiply(a, invert(a)), u8::from(a != 0));
        for b in 0..=255u8 {
            assert_eq!(multiply(a, b), multiply(b, a));
            assert_eq!(multiply(a, b ^ 3), multiply(a, b) ^ multiply(a, 3));
        }
    }
}

#[test]
fn published_shares_give_their_secret() {
    // draft-mcgrew-tss-03 §9.
    let shares = [(1, secret("b9fa07e185")), (2, secret("f5409b4511"))];
    let points: Vec<(u8, &Secret)> = shares.iter().map(|(x, y)| (*x, y)).collect();
    assert!(at_zero(&points, 5).ct_eq(&secret("7465737400")));
}

/// Values of another program, which multiplies by logarithms.
#[test]
fn three_of_five_are_those_of_another_program() {
    let key = secret("0001020304050607");
    let coefficients = secret("00ff5aa5c3010280a1b2c3d4e5f60718");
    let expected = [
        "a14c9b7222f2039f",
        "b21a972f20f21e7c",
        "13570e5e06051be4",
        "fe05f54ef7f87eaa",
        "5f486c3fd10f7b32",
    ];
    for (x, values) in (1..).zip(expected) {
        assert!(
            evaluate(&key, &coefficients, x).ct_eq(&secret(values)),
            "{x}"
        );
    }
}

/// Any three of five, in any order, and more of them, give the key.
#[test]
fn any_three_of_five_give_the_key() {
    let (key, shares) = made();
    assert_eq!((shares.len(), key.len()), (5, 32));
    let texts: Vec<String> = shares.iter().map(Share::to_string).collect();
    let of = |picked: &[usize]| -> Vec<Share> {
        let back = |at: &usize| texts[*at].parse::<Share>().unwrap();
        picked.iter().map(back).collect()
    };
    let mut combinations = 0;
    for a in 0..5 {
        for b in 0..5 {
            for c in 0..5 {
                if a != b && b != c && a != c {
                    assert!(combine(&of(&[a, b, c])).unwrap().ct_eq(&key));
                    combinations += 1;
                }
            }
        }
    }
    assert_eq!(combinations, 60);
    assert!(combine(&of(&[4, 1, 2, 0])).unwrap().ct_eq(&key));
    assert!(combine(&shares).unwrap().ct_eq(&key));
}

#[test]
fn what_cannot_be_joined_says_why() {
    let (_, mut shares) = made();
    let (_, mut others) = made();
    let mut take = |n: usize| -> Vec<Share> { shares.drain(..n).collect() };
    let two = take(2);
    assert_eq!(
        fault(combine(&[])),
        ShareFault::TooFew {
            given: 0,
            threshold: 3
        }
    );
    assert_eq!(
        fault(combine(&two)),
        ShareFault::TooFew {
            given: 2,
            threshold: 3
        }
    );

    let mut three = two;
    three.push(others.pop().unwrap());
    assert_eq!(fault(combine(&three)), ShareFault::AnotherSet(3));
    three[2] = three[0].to_string().parse().unwrap();
    assert_eq!(fault(combine(&three)), ShareFault::Repeated(3));
    // One bit of one value, with a check that fits: what only a forger would write.
    three[2] = take(1).pop().unwrap();
    assert!(combine(&three).is_ok());
    let good = three[2].to_string();
    for bit in 0..VALUE_BYTES * 8 {
        let share: Share = good.parse().unwrap();
        let mut values = share.values.expose().to_vec();
        values[bit / 8] ^= 1 << (bit % 8);
        three[2] = Share {
            values: Secret::take(values),
            ..share
        };
        assert_eq!(fault(combine(&three)), ShareFault::DoNotFit, "bit {bit}");
    }
    // A share that lies about its number, or about how many are needed.
    let share: Share = good.parse().unwrap();
    three[2] = Share { index: 5, ..share };
    assert_eq!(fault(combine(&three)), ShareFault::DoNotFit);
    let lying = three.into_iter().take(2).map(|share| Share {
        threshold: 2,
        ..share
    });
    assert_eq!(
        fault(combine(&lying.collect::<Vec<_>>())),
        ShareFault::DoNotFit
    );
}

#[test]
fn senseless_splittings_are_refused() {
    let key = Secret::copy_of(&[7; 32]);
    for (threshold, shares) in [(0, 5), (1, 5), (3, 2), (2, 0)] {
        assert!(matches!(
            fault(split(&key, threshold, shares)),
            SplitFault::Numbers { .. }
        ));
    }
    for len in [0, 16, 31, 33] {
        let key = Secret::init_with(len, |_| {});
        assert!(matches!(fault(split(&key, 2, 3)), SplitFault::Length(n) if n == len));
    }
    // Every share there can be.
    let shares = split(&key, 255, 255).unwrap();
    assert!(combine(&shares).unwrap().ct_eq(&key));
}

/// Two shares of five tell nothing, exactly: whatever the byte that is split, every pair of values
/// comes about by one and only one choice of the coefficients.
#[test]
fn two_of_three_shares_fit_every_secret_equally_well() {
    // The polynomials are linear in the secret, so two secrets and all pairs of numbers suffice.
    for byte in [0x00, 0xa7] {
        let key = Secret::copy_of(&[byte]);
        for (x, other) in [(1, 2), (1, 5), (2, 3), (3, 5), (4, 5)] {
            let mut seen = vec![false; 1 << 16];
            for coefficients in 0..=u16::MAX {
                let coefficients = Secret::copy_of(&coefficients.to_be_bytes());
                let y = evaluate(&key, &coefficients, x).expose()[0];
                let z = evaluate(&key, &coefficients, other).expose()[0];
                let pair = usize::from(y) << 8 | usize::from(z);
                assert!(!std::mem::replace(&mut seen[pair], true), "{x}, {other}");
            }
        }
    }
}

/// The coefficients that are used are uniform, zero included: the values of share 1 of a key of
/// zeros, over many splittings.
#[test]
fn values_of_a_share_are_uniform() {
    let key = Secret::init_with(KEY_BYTES, |_| {});
    let mut counts = [0u32; 256];
    let runs = 2_000;
    for _ in 0..runs {
        let shares = split(&key, 2, 2).unwrap();
        let values = shares[0].values.expose();
        values[..KEY_BYTES]
            .iter()
            .for_each(|y| counts[usize::from(*y)] += 1);
    }
    // χ² with 255 degrees of freedom: above 400 once in 10⁸ runs.
    let expected = f64::from(runs) * 32.0 / 256.0;
    let deviation = |n: &u32| (f64::from(*n) - expected).powi(2) / expected;
    let chi_squared: f64 = counts.iter().map(deviation).sum();
    assert!(chi_squared < 400.0, "{chi_squared}");
}

#[test]
fn a_share_has_its_form_for_ever() {
    let share = Share {
        set: [0xab, 0xcd, 0xef],
        index: 2,
        threshold: 3,
        values: Secret::take((0..36).collect()),
    };
    // Computed by another program.
    let text = "SR1-NF6YY-0G300-0G40R-40M30-E2091-85GR3-8E1W8-124GK-\
                2GAHC-5RR34-D1P70-X3RFJ-08924-E5CDE-C3AW0";
    let shown = share.to_string();
    assert_eq!(shown.len(), 3 + SHARE_GROUPS * 6);
    assert_eq!(shown, text);
    assert_eq!(format!("{share:?}"), "Share(2 of set abcdef, 3 needed)");
    let back = read(&shown).unwrap();
    assert_eq!(
        (back.index(), back.threshold(), back.set),
        (2, 3, share.set)
    );
    assert!(back.values.ct_eq(&share.values));
}

#[test]
fn what_people_do_to_a_share_is_forgiven() {
    let (_, shares) = made();
    for share in &shares {
        let text = share.to_string();
        let (prefix, groups) = text.split_at(3);
        let forms = [
            text.to_lowercase(),
            text.replace('-', ""),
            text.replace('-', " "),
            text.replace('-', "\u{2013}"),
            format!("\t{}\n", text.replace('-', "\r\n")),
            text.replace('0', "o").replace('1', "l"),
            text.replace('0', "O").replace('1', "I"),
            format!("{prefix}{}", groups.replace('-', " - ")),
        ];
        for form in forms {
            let back = read(&form).unwrap();
            assert!(
                back.index == share.index && back.values.ct_eq(&share.values),
                "{form}"
            );
        }
    }
}

/// Each character replaced by each other one, and each pair of neighbours exchanged.
#[test]
fn every_typo_is_seen_and_its_group_named() {
    let (_, shares) = made();
    let text = shares[3].to_string();
    let letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut tried = 0;
    for (at, c) in text.char_indices().skip(4).filter(|(_, c)| *c != '-') {
        for other in letters.chars().filter(|other| *other != c) {
            let mut typo = text.clone();
            typo.replace_range(at..=at, &other.to_string());
            let group = (at - 4) / 6 + 1;
            assert_eq!(fault(read(&typo)), ShareTextFault::Group(group), "{typo}");
            tried += 1;
        }
        let next = text[at + 1..].chars().next();
        if let Some(next) = next.filter(|next| *next != '-' && *next != c) {
            let mut typo = text.clone();
            typo.replace_range(at..at + 2, &format!("{next}{c}"));
            let group = (at - 4) / 6 + 1;
            assert_eq!(fault(read(&typo)), ShareTextFault::Group(group), "{typo}");
        }
    }
    assert_eq!(tried, 75 * 31);
    // Exchanged groups, where they differ.
    let groups: Vec<&str> = text.split('-').collect();
    for at in 1..SHARE_GROUPS {
        let mut groups = groups.clone();
        groups.swap(at, at + 1);
        let typo = groups.join("-");
        assert!(typo == text || read(&typo).is_err(), "{typo}");
    }
}

#[test]
fn what_is_no_share_says_why() {
    let (_, shares) = made();
    let text = shares[0].to_string();
    let without = |group: usize| {
        let groups = text.split('-').enumerate().filter(|(at, _)| *at != group);
        groups.map(|(_, group)| group).collect::<Vec<_>>().join("-")
    };
    let mut shorter = text.clone();
    shorter.remove(17);
    let mut longer = text.clone();
    longer.insert(17, '7');
    let mut with_u = text.clone();
    with_u.replace_range(11..12, "u");
    let cases = [
        (String::new(), ShareTextFault::Prefix),
        ("SR".to_owned(), ShareTextFault::Prefix),
        (text.replacen("SR1", "SR2", 1), ShareTextFault::Prefix),
        (text[4..].to_owned(), ShareTextFault::Prefix),
        ("SR1".to_owned(), ShareTextFault::Length(0)),
        (without(4), ShareTextFault::Length(70)),
        (format!("{text}-{text}"), ShareTextFault::Length(153)),
        (
            shorter.clone(),
            ShareTextFault::GroupLength {
                group: 3,
                characters: 4,
            },
        ),
        (
            longer,
            ShareTextFault::GroupLength {
                group: 3,
                characters: 6,
            },
        ),
        (shorter.replace('-', ""), ShareTextFault::Length(74)),
        (
            with_u,
            ShareTextFault::Character {
                group: 2,
                character: 'u',
            },
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(fault(read(&text)), expected, "{text}");
    }
    // Whole, but with a number that no share has.
    let zero = Share {
        index: 0,
        ..read(&text).unwrap()
    };
    assert_eq!(fault(read(&zero.to_string())), ShareTextFault::Foreign);
}

proptest! {
    /// What is wrong in one group, however much, is found there: but for one case in 2²² or so.
    #[test]
    fn damage_within_a_group_names_it(group in 0..SHARE_GROUPS, typed in "[0-9A-HJKMNP-TV-Z]{5}") {
        let (_, shares) = made();
        let mut text = shares[1].to_string();
        let place = 4 + group * 6..9 + group * 6;
        prop_assume!(text[place.clone()] != typed);
        text.replace_range(place, &typed);
        prop_assert_eq!(fault(read(&text)), ShareTextFault::Group(group + 1));
    }

    /// Damage anywhere never gives another share.
    #[test]
    fn damage_is_never_taken_for_a_share(
        places in prop::collection::btree_map(0usize..75, 1u8..32, 1..20),
    ) {
        let letters = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let (_, shares) = made();
        let mut text = shares[2].to_string().into_bytes();
        for (place, change) in places {
            let at = 4 + place / 5 * 6 + place % 5;
            let symbol = letters.iter().position(|l| *l == text[at]).unwrap();
            text[at] = letters[symbol ^ usize::from(change)];
        }
        prop_assert!(read(std::str::from_utf8(&text).unwrap()).is_err());
    }

    #[test]
    fn anything_may_be_typed(text in "(SR1)?[ -~\u{e4}\n]{0,120}") {
        let _ = read(&text);
    }

    /// Other thresholds, and shares picked anyhow.
    #[test]
    fn k_of_n_give_the_key(
        key in prop::array::uniform32(any::<u8>()),
        threshold in 2u8..9,
        more in 0u8..6,
        order in any::<prop::sample::Index>(),
    ) {
        let key = Secret::copy_of(&key);
        let mut shares = split(&key, threshold, threshold + more).unwrap();
        let turn = order.index(shares.len());
        shares.rotate_left(turn);
        shares.truncate(usize::from(threshold));
        prop_assert!(combine(&shares).unwrap().ct_eq(&key));
        shares.pop();
        let given = shares.len();
        prop_assert_eq!(fault(combine(&shares)), ShareFault::TooFew { given, threshold });
    }
}
