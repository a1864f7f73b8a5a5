//! A loss's formula as data, for operations of another kind: tensors on any device.

use std::ffi::c_void;
use std::slice;

use super::Plugin;
use super::message::Message;
use crate::abi::{self, RawExpressionExtension, RawNode, RawRecorder};
use crate::dual::Dual;
use crate::real::PerClassTable;
use crate::{LossError, Real};

/// One operation; numbers name earlier operations of the same expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Node {
    /// The log-odds m.
    LogOdds,
    /// A number.
    Constant(f64),
    /// The true class's entry of this table.
    Table(usize),
    /// `−a`
    Neg(usize),
    /// `a + b`
    Add(usize, usize),
    /// `a − b`
    Sub(usize, usize),
    /// `a · b`
    Mul(usize, usize),
    /// `a / b`
    Div(usize, usize),
    /// `e^a`
    Exp(usize),
    /// `then` where `a > b`, else `otherwise`
    SelectGreater {
        /// Compared.
        a: usize,
        /// With this.
        b: usize,
        /// The value where a is greater.
        then: usize,
        /// The value elsewhere.
        otherwise: usize,
    },
    /// `σ(a)`
    P(usize),
    /// `1 − σ(a)`
    NotP(usize),
    /// `log σ(a)`
    LogP(usize),
    /// `log(1 − σ(a))`
    LogNotP(usize),
    /// `log a`
    Ln(usize),
}

impl Node {
    /// The operations that this one needs.
    fn arguments(self) -> impl Iterator<Item = usize> {
        let (args, count) = match self {
            Self::LogOdds | Self::Constant(_) | Self::Table(_) => ([0; 4], 0),
            Self::Neg(a)
            | Self::Exp(a)
            | Self::P(a)
            | Self::NotP(a)
            | Self::LogP(a)
            | Self::LogNotP(a)
            | Self::Ln(a) => ([a, 0, 0, 0], 1),
            Self::Add(a, b) | Self::Sub(a, b) | Self::Mul(a, b) | Self::Div(a, b) => ([a, b, 0, 0], 2),
            Self::SelectGreater { a, b, then, otherwise } => ([a, b, then, otherwise], 4),
        };
        args.into_iter().take(count)
    }
}

/// The formula ℓ(m, class) of a loss with its parameters and class counts: the last node is the loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    nodes: Vec<Node>,
    needed: Vec<bool>,
    tables: Vec<Vec<f64>>,
}

/// What a plugin says, as it says it.
struct Heard {
    classes: usize,
    nodes: Vec<RawNode>,
    tables: Vec<Vec<f64>>,
}

unsafe extern "C" fn hear_table(context: *mut c_void, values: *const f64) {
    // SAFETY: the context that `Expression::of` gave, and a table of as many numbers as there are classes.
    unsafe {
        let heard = &mut *context.cast::<Heard>();
        heard.tables.push(slice::from_raw_parts(values, heard.classes).to_vec());
    }
}

unsafe extern "C" fn hear_node(context: *mut c_void, node: *const RawNode) {
    // SAFETY: the context that `Expression::of` gave, and a node.
    unsafe { (*context.cast::<Heard>()).nodes.push(*node) };
}

impl Expression {
    /// Asks the plugin for the formula of a prepared instance; none where it offers none.
    ///
    /// # Errors
    /// What the plugin says, or a formula that makes no sense.
    pub(super) fn of(plugin: &Plugin, instance: *const c_void, classes: usize) -> Result<Option<Self>, LossError> {
        let Some(extension) = plugin.extension::<RawExpressionExtension>(abi::EXPRESSION_EXTENSION)? else {
            return Ok(None);
        };
        let fail = |reason: String| LossError::new(format!("loss `{}`, recorded expression: {reason}", plugin.id()));
        let mut heard = Heard { classes, nodes: Vec::new(), tables: Vec::new() };
        let recorder = RawRecorder { context: (&raw mut heard).cast(), table: hear_table, node: hear_node };
        let mut message = Message::new();
        // SAFETY: a prepared instance of this plugin; the recorder lives through the call.
        let code = unsafe { (extension.record)(instance, &recorder, message.raw()) };
        if code != abi::OK {
            return Err(fail(message.text(code)));
        }
        let mut nodes = Vec::with_capacity(heard.nodes.len());
        for (at, raw) in heard.nodes.iter().enumerate() {
            nodes.push(checked(raw, at, heard.tables.len()).map_err(fail)?);
        }
        if nodes.is_empty() {
            return Err(fail("it has no operation".into()));
        }
        let mut needed = vec![false; nodes.len()];
        if let Some(last) = needed.last_mut() {
            *last = true;
        }
        for at in (0..nodes.len()).rev() {
            if needed[at] {
                nodes[at].arguments().for_each(|argument| needed[argument] = true);
            }
        }
        Ok(Some(Self { nodes, needed, tables: heard.tables }))
    }

    /// The operations in order, with whether the last one needs them.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (Node, bool)> {
        self.nodes.iter().copied().zip(self.needed.iter().copied())
    }

    /// The per-class tables, each `[classes]`.
    pub fn tables(&self) -> &[Vec<f64>] {
        &self.tables
    }

    /// ℓ and ℓ' at one log-odds and class, in float64.
    ///
    /// # Panics
    /// The class is out of range.
    pub fn eval(&self, m: f64, class: u32) -> (f64, f64) {
        let mut values: Vec<Dual<f64>> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let of = |at: usize| values[at];
            let value = match *node {
                Node::LogOdds => Dual::variable(m),
                Node::Constant(value) => Dual::constant(value),
                Node::Table(table) => Dual::lookup(&PerClassTable::new(self.tables[table].clone()), class),
                Node::Neg(a) => -of(a),
                Node::Add(a, b) => of(a) + of(b),
                Node::Sub(a, b) => of(a) - of(b),
                Node::Mul(a, b) => of(a) * of(b),
                Node::Div(a, b) => of(a) / of(b),
                Node::Exp(a) => of(a).exp(),
                Node::SelectGreater { a, b, then, otherwise } => of(a).select_greater(of(b), of(then), of(otherwise)),
                Node::P(a) => of(a).log_odds().p,
                Node::NotP(a) => of(a).log_odds().not_p,
                Node::LogP(a) => of(a).log_odds().log_p,
                Node::LogNotP(a) => of(a).log_odds().log_not_p,
                Node::Ln(a) => of(a).ln(),
            };
            values.push(value);
        }
        values.last().map_or((f64::NAN, f64::NAN), |loss| (loss.value, loss.slope))
    }
}

/// Node number `at` of a formula with `tables` tables.
fn checked(raw: &RawNode, at: usize, tables: usize) -> Result<Node, String> {
    let arguments = raw.args.map(|argument| argument as usize);
    let [a, b, c, d] = arguments;
    let node = match raw.op {
        abi::NODE_LOG_ODDS => Node::LogOdds,
        abi::NODE_CONSTANT => Node::Constant(raw.value),
        abi::NODE_TABLE => Node::Table(a),
        abi::NODE_NEG => Node::Neg(a),
        abi::NODE_ADD => Node::Add(a, b),
        abi::NODE_SUB => Node::Sub(a, b),
        abi::NODE_MUL => Node::Mul(a, b),
        abi::NODE_DIV => Node::Div(a, b),
        abi::NODE_EXP => Node::Exp(a),
        abi::NODE_SELECT_GREATER => Node::SelectGreater { a, b, then: c, otherwise: d },
        abi::NODE_P => Node::P(a),
        abi::NODE_NOT_P => Node::NotP(a),
        abi::NODE_LOG_P => Node::LogP(a),
        abi::NODE_LOG_NOT_P => Node::LogNotP(a),
        abi::NODE_LN => Node::Ln(a),
        op => return Err(format!("operation {at} is of unknown kind {op}")),
    };
    if let Some(later) = node.arguments().find(|&argument| argument >= at) {
        return Err(format!("operation {at} refers to operation {later}, which is no earlier one"));
    }
    match node {
        Node::Table(table) if table >= tables => {
            Err(format!("operation {at} refers to table {table}, but only {tables} came before"))
        }
        Node::Constant(value) if !value.is_finite() => Err(format!("operation {at} is the number {value}")),
        node => Ok(node),
    }
}
