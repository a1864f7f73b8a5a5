//! Against scipy: fixtures/make.py.

use serde::Deserialize;

use super::{Examples, bootstrap, mcnemar, paired_t_test};

#[derive(Deserialize)]
struct Reference {
    t_tests: Vec<TTest>,
    mcnemars: Vec<McNemar>,
    bootstrap: Bootstrap,
}

#[derive(Deserialize)]
struct TTest {
    first: Vec<f64>,
    second: Vec<f64>,
    p: f64,
    lower: f64,
    upper: f64,
}

#[derive(Deserialize)]
struct McNemar {
    b: usize,
    c: usize,
    p: f64,
}

#[derive(Deserialize)]
struct Bootstrap {
    first: Vec<f64>,
    second: Vec<f64>,
    lower: f64,
    upper: f64,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("fixtures/reference.json")).unwrap()
}

fn near(got: f64, want: f64, relative: f64) {
    assert!((got - want).abs() <= relative * want.abs(), "{got} is not {want}");
}

#[test]
fn t_tests_are_scipys() {
    for TTest { first, second, p, lower, upper } in reference().t_tests {
        let found = paired_t_test(&first, &second).unwrap();
        near(found.p, p, 1e-9);
        near(found.lower, lower, 1e-9);
        near(found.upper, upper, 1e-9);
    }
}

#[test]
fn mcnemars_are_scipys() {
    for McNemar { b, c, p } in reference().mcnemars {
        let first: Vec<bool> = [vec![true; b], vec![false; c], vec![true; 7]].concat();
        let second: Vec<bool> = [vec![false; b], vec![true; c], vec![true; 7]].concat();
        near(mcnemar(&first, &second).unwrap().p, p, 1e-8);
    }
}

#[test]
fn the_bootstrap_interval_is_scipys() {
    let Bootstrap { first, second, lower, upper } = reference().bootstrap;
    let strata = vec![0; first.len()];
    let values = [first, second];
    let examples = Examples { values: &values, strata: &strata, weights: &[vec![1.0]] };
    let found = bootstrap(&examples, 20_000, 1).unwrap().difference(0, 1, 0).unwrap();
    // Other draws: about 1 % of the interval's width.
    let width = upper - lower;
    assert!((found.lower - lower).abs() < 0.03 * width && (found.upper - upper).abs() < 0.03 * width, "{found:?}");
}
