//! Ends of axes.

/// Ends of a linear axis that holds the values, at round numbers; from 0 when the values are not far from it.
pub(crate) fn round_range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|value| value.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return (0.0, 1.0);
    }
    let low = if low > 0.0 && low < 0.4 * high { 0.0 } else { low };
    let width = if high > low { high - low } else { high.abs().max(1.0) };
    let step = round_step(width / 5.0);
    let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
    if low < high { (low, high) } else { (low, low + step) }
}

/// The largest of 1, 2 and 5 times a power of ten that is at most `rough`, which is above 0.
fn round_step(rough: f64) -> f64 {
    let decade = 10.0_f64.powf(rough.log10().floor());
    [5.0, 2.0].map(|digit| digit * decade).into_iter().find(|step| *step <= rough).unwrap_or(decade)
}

/// What stands at a logarithmic axis from `low` to `high`: powers of ten, and their multiples by 2 and 5 when the axis has
/// room for them.
pub(crate) fn log_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let digits: &[u32] = if high / low < 2000.0 { &[1, 2, 5] } else { &[1] };
    let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let values = decades.flat_map(|decade| digits.iter().map(move |&digit| f64::from(digit) * 10.0_f64.powi(decade)));
    values.filter(|value| (low..=high).contains(value)).map(|value| (value, value.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: (f64, f64), want: (f64, f64)) {
        assert!((got.0 - want.0).abs() < 1e-9 && (got.1 - want.1).abs() < 1e-9, "{got:?} is not {want:?}");
    }

    #[test]
    fn ranges_are_round_and_hold_the_values() {
        close(round_range([3.0, 71.3].into_iter()), (0.0, 80.0));
        close(round_range([60.2, 71.3].into_iter()), (60.0, 72.0));
        close(round_range([-0.3, 0.2, f64::NAN].into_iter()), (-0.3, 0.2));
        close(round_range([0.037].into_iter()), (0.0, 0.2));
        close(round_range([0.0].into_iter()), (0.0, 0.2));
        close(round_range(std::iter::empty()), (0.0, 1.0));
    }

    #[test]
    fn logarithmic_axes_have_few_round_ticks() {
        let at = |low, high| log_ticks(low, high).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert_eq!(at(40.0, 2100.0), ["50", "100", "200", "500", "1000", "2000"]);
        assert_eq!(at(0.8, 12_000.0), ["1", "10", "100", "1000", "10000"]);
    }
}
