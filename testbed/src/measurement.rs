//! What benchmarks make of what they measured.

/// The middle one of several measurements, or the mean of the middle two: one run that was disturbed changes nothing.
///
/// # Panics
///
/// If there is none, or one is no number.
#[must_use]
pub fn median(measurements: &[f64]) -> f64 {
    let mut sorted = measurements.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).expect("measurements are numbers"));
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// A count as a number to compute with.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "users, calls and bytes of a run are far fewer than 2^52")]
pub fn number(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or(u64::MAX) as f64
}

/// A number to so many decimals.
#[must_use]
pub fn rounded(number: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (number * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!((median(&[9.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 100.0, 1.0, 2.0]) - 3.0).abs() < f64::EPSILON);
    }
}
