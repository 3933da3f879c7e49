//! Polynomials over GF(2⁸), the field of AES: bytes, with XOR for addition and multiplication
//! modulo x⁸ + x⁴ + x³ + x + 1 (FIPS 197 §4).
//!
//! Written out rather than looked up: a table that is read at secret places tells a neighbour on
//! the same processor by its cache what the secret was. Nothing here branches on a secret.

use crate::secret::Secret;
use std::hint::black_box;
use zeroize::Zeroize;

/// All ones when the lowest bit is set, or else all zeros; hidden from an optimiser that would
/// make a branch of it.
fn mask(bit: u8) -> u8 {
    black_box(0u8.wrapping_sub(bit & 1))
}

/// The product of two field elements.
pub(super) fn multiply(a: u8, b: u8) -> u8 {
    let (mut a, mut b, mut product) = (a, b, 0);
    for _ in 0..8 {
        product ^= a & mask(b);
        a = (a << 1) ^ (0x1b & mask(a >> 7));
        b >>= 1;
    }
    product
}

/// The inverse, a²⁵⁴; of 0, which has none, 0.
pub(super) fn invert(a: u8) -> u8 {
    // 254 = 2 + 4 + … + 128.
    let (mut power, mut product) = (a, 1);
    for _ in 0..7 {
        power = multiply(power, power);
        product = multiply(product, power);
    }
    product
}

/// The values at `x` of one polynomial for each byte of `secret`, which is its value at 0. The
/// higher coefficients stand one degree after the other, each as long as `secret`.
pub(super) fn evaluate(secret: &Secret, coefficients: &Secret, x: u8) -> Secret {
    Secret::init_with(secret.len(), |values| {
        // Horner's rule, from the highest degree down.
        let degrees = coefficients
            .expose()
            .chunks_exact(secret.len().max(1))
            .rev();
        for row in degrees.chain([secret.expose()]) {
            for (value, coefficient) in values.iter_mut().zip(row) {
                *value = multiply(*value, x) ^ coefficient;
            }
        }
    })
}

/// The values at 0 of the polynomials of least degree through these points (Lagrange). Each x is
/// given once and is not 0.
pub(super) fn at_zero(points: &[(u8, &Secret)], len: usize) -> Secret {
    Secret::init_with(len, |values| {
        for (x, row) in points {
            let others = points.iter().map(|(other, _)| *other).filter(|o| o != x);
            let weight = others.fold(1, |weight, other| {
                multiply(weight, multiply(other, invert(other ^ x)))
            });
            for (value, y) in values.iter_mut().zip(row.expose()) {
                let mut part = multiply(*y, weight);
                *value ^= part;
                part.zeroize();
            }
        }
    })
}
