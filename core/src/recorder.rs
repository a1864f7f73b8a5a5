//! A number that remembers how it was computed: one run of a formula over it is the formula, as data.

use std::cell::RefCell;
use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::abi::{self, RawNode};
use crate::real::PerClassTable;
use crate::{LogOdds, Real};

thread_local! {
    /// The formula being recorded on this thread. `Real` is `Copy` and has no room for a reference to it.
    static TAPE: RefCell<Tape> = const { RefCell::new(Tape { nodes: Vec::new(), tables: Vec::new() }) };
}

/// What was recorded so far.
#[derive(Default)]
pub struct Tape {
    /// Operations; each refers to earlier ones.
    pub nodes: Vec<RawNode>,
    /// Per-class tables, each once.
    pub tables: Vec<Vec<f64>>,
}

/// The number of a node on this thread's tape.
#[derive(Clone, Copy, Debug)]
pub struct Recorder(u32);

/// Runs `formula` over the log-odds and gives back what it did; its result is the last node.
pub fn record(formula: impl FnOnce(LogOdds<Recorder>) -> Recorder) -> Tape {
    TAPE.take();
    let m = push(abi::NODE_LOG_ODDS, [0; 4], 0.0);
    let result = formula(m.log_odds());
    // The last node must be the loss, also where the formula's last operation was another.
    push(abi::NODE_ADD, [result.0, Recorder::constant(0.0).0, 0, 0], 0.0);
    TAPE.take()
}

/// The node of an operation: the earlier one where the same was recorded already.
fn push(op: u32, args: [u32; 4], value: f64) -> Recorder {
    TAPE.with_borrow_mut(|tape| {
        let node = RawNode { op, args, value };
        let same = |other: &RawNode| other.op == op && other.args == args && other.value.to_bits() == value.to_bits();
        let at = tape.nodes.iter().position(same).unwrap_or_else(|| {
            tape.nodes.push(node);
            tape.nodes.len() - 1
        });
        Recorder(at as u32)
    })
}

macro_rules! operator {
    ($trait:ident, $method:ident, $op:ident) => {
        impl $trait for Recorder {
            type Output = Self;
            fn $method(self, rhs: Self) -> Self {
                push(abi::$op, [self.0, rhs.0, 0, 0], 0.0)
            }
        }
        impl $trait<f64> for Recorder {
            type Output = Self;
            fn $method(self, rhs: f64) -> Self {
                self.$method(Self::constant(rhs))
            }
        }
    };
}
operator!(Add, add, NODE_ADD);
operator!(Sub, sub, NODE_SUB);
operator!(Mul, mul, NODE_MUL);
operator!(Div, div, NODE_DIV);

impl Neg for Recorder {
    type Output = Self;
    fn neg(self) -> Self {
        push(abi::NODE_NEG, [self.0, 0, 0, 0], 0.0)
    }
}

impl Real for Recorder {
    /// There is one class: the example's.
    type Index = ();

    fn constant(value: f64) -> Self {
        push(abi::NODE_CONSTANT, [0; 4], value)
    }

    fn lookup(table: &PerClassTable, (): ()) -> Self {
        let at = TAPE.with_borrow_mut(|tape| {
            tape.tables.iter().position(|known| *known == table.f64).unwrap_or_else(|| {
                tape.tables.push(table.f64.clone());
                tape.tables.len() - 1
            })
        });
        push(abi::NODE_TABLE, [at as u32, 0, 0, 0], 0.0)
    }

    fn exp(self) -> Self {
        push(abi::NODE_EXP, [self.0, 0, 0, 0], 0.0)
    }

    fn ln(self) -> Self {
        push(abi::NODE_LN, [self.0, 0, 0, 0], 0.0)
    }

    fn select_greater(self, threshold: Self, then: Self, otherwise: Self) -> Self {
        push(abi::NODE_SELECT_GREATER, [self.0, threshold.0, then.0, otherwise.0], 0.0)
    }

    fn log_odds(self) -> LogOdds<Self> {
        let of = |op| push(op, [self.0, 0, 0, 0], 0.0);
        LogOdds {
            m: self,
            p: of(abi::NODE_P),
            not_p: of(abi::NODE_NOT_P),
            log_p: of(abi::NODE_LOG_P),
            log_not_p: of(abi::NODE_LOG_NOT_P),
        }
    }
}
