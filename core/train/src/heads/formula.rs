//! A loss's formula by tensor operations, with its derivative by the log-odds.

use imbalance_core::host::{Expression, Loss, Node};
use tch::{Device, Kind, Tensor};

use super::LossHeadError;
use crate::transfer::sent;

/// The formula of a loss on one device.
pub(super) struct Formula<'a> {
    loss: &'a Loss,
    /// None where the plugin records none; then the host evaluates.
    expression: Option<(Expression, Vec<Tensor>)>,
}

/// The true class of the examples.
pub(super) enum Classes<'a> {
    /// One each, int64 `[n]`.
    Each(&'a Tensor),
    /// The same for all.
    All(i64),
}

/// A tensor with its derivative by the log-odds; none where that is 0.
struct Dual {
    value: Tensor,
    slope: Option<Tensor>,
}

impl<'a> Formula<'a> {
    /// The formula of `loss` for log-odds of `kind` on `device`.
    pub fn new(loss: &'a Loss, kind: Kind, device: Device) -> Result<Self, LossHeadError> {
        let expression = match loss.expression()? {
            Some(expression) => {
                let table = |table: &Vec<f64>| Ok(sent(&Tensor::f_from_slice(table)?.f_to_kind(kind)?, device)?);
                let tables = expression.tables().iter().map(table).collect::<Result<_, LossHeadError>>()?;
                Some((expression, tables))
            }
            None => None,
        };
        Ok(Self { loss, expression })
    }

    /// Loss and derivative at log-odds `m`, of its shape.
    pub fn eval(&self, m: &Tensor, classes: &Classes<'_>) -> Result<(Tensor, Tensor), LossHeadError> {
        match &self.expression {
            Some((expression, tables)) => replay(expression, tables, m, classes),
            None => self.on_host(m, classes),
        }
    }

    /// For a plugin without a recorded formula: there and back.
    fn on_host(&self, m: &Tensor, classes: &Classes<'_>) -> Result<(Tensor, Tensor), LossHeadError> {
        let n = m.numel();
        let log_odds = Vec::<f64>::try_from(m.f_flatten(0, -1)?.f_to_kind(Kind::Double)?.f_to_device(Device::Cpu)?)?;
        let ids: Vec<u32> = match classes {
            Classes::Each(classes) => {
                Vec::<i64>::try_from(classes.f_to_device(Device::Cpu)?)?.into_iter().map(|class| class as u32).collect()
            }
            Classes::All(class) => vec![*class as u32; n],
        };
        let (mut loss, mut slope) = (vec![0.0; n], vec![0.0; n]);
        self.loss.eval(&log_odds, &ids, &mut loss, &mut slope).map_err(imbalance_core::host::HeadError::from)?;
        let back = |values: Vec<f64>| -> Result<Tensor, LossHeadError> {
            Ok(Tensor::f_from_slice(&values)?.f_reshape(m.size())?.f_to_kind(m.kind())?.f_to_device(m.device())?)
        };
        Ok((back(loss)?, back(slope)?))
    }
}

fn replay(
    expression: &Expression,
    tables: &[Tensor],
    m: &Tensor,
    classes: &Classes<'_>,
) -> Result<(Tensor, Tensor), LossHeadError> {
    let constant = |value: Tensor| Dual { value, slope: None };
    let mut done: Vec<Option<Dual>> = Vec::with_capacity(expression.nodes().len());
    for (node, needed) in expression.nodes() {
        if !needed {
            done.push(None);
            continue;
        }
        // Arguments are earlier nodes, and needed since this one is.
        let of = |at: usize| {
            done[at].as_ref().ok_or_else(|| LossHeadError::Tensor(format!("operation {at} of the formula is missing")))
        };
        let sigmoid = |a: &Dual, value: Tensor, factor: Tensor| -> Result<Dual, LossHeadError> {
            Ok(Dual { value, slope: a.slope.as_ref().map(|slope| slope.f_mul(&factor)).transpose()? })
        };
        let dual = match node {
            Node::LogOdds => Dual { value: m.shallow_clone(), slope: Some(m.f_ones_like()?) },
            Node::Constant(value) => constant(Tensor::f_full([], value, (m.kind(), m.device()))?),
            Node::Table(table) => constant(match classes {
                Classes::Each(classes) => tables[table].f_index_select(0, classes)?,
                Classes::All(class) => tables[table].f_select(0, *class)?,
            }),
            Node::Neg(a) => {
                let a = of(a)?;
                Dual { value: a.value.f_neg()?, slope: a.slope.as_ref().map(Tensor::f_neg).transpose()? }
            }
            Node::Add(a, b) => {
                let (a, b) = (of(a)?, of(b)?);
                Dual { value: a.value.f_add(&b.value)?, slope: plus(shared(&a.slope), shared(&b.slope))? }
            }
            Node::Sub(a, b) => {
                let (a, b) = (of(a)?, of(b)?);
                let minus = b.slope.as_ref().map(Tensor::f_neg).transpose()?;
                Dual { value: a.value.f_sub(&b.value)?, slope: plus(shared(&a.slope), minus)? }
            }
            Node::Mul(a, b) => {
                let (a, b) = (of(a)?, of(b)?);
                Dual { value: a.value.f_mul(&b.value)?, slope: plus(times(a, &b.value)?, times(b, &a.value)?)? }
            }
            Node::Div(a, b) => {
                let (a, b) = (of(a)?, of(b)?);
                let value = a.value.f_div(&b.value)?;
                let minus = times(b, &value)?.map(|slope| slope.f_neg()).transpose()?;
                let slope = plus(shared(&a.slope), minus)?.map(|slope| slope.f_div(&b.value)).transpose()?;
                Dual { value, slope }
            }
            Node::Exp(a) => {
                let a = of(a)?;
                let value = a.value.f_exp()?;
                Dual { slope: times(a, &value)?, value }
            }
            Node::Ln(a) => {
                let a = of(a)?;
                Dual {
                    value: a.value.f_log()?,
                    slope: a.slope.as_ref().map(|slope| slope.f_div(&a.value)).transpose()?,
                }
            }
            Node::SelectGreater { a, b, then, otherwise } => {
                let greater = of(a)?.value.f_gt_tensor(&of(b)?.value)?;
                let (then, otherwise) = (of(then)?, of(otherwise)?);
                let slope = match (&then.slope, &otherwise.slope) {
                    (None, None) => None,
                    (then, otherwise) => {
                        let or_zero = |slope: &Option<Tensor>| match slope {
                            Some(slope) => Ok(slope.shallow_clone()),
                            None => Tensor::f_zeros([], (m.kind(), m.device())),
                        };
                        Some(or_zero(then)?.f_where_self(&greater, &or_zero(otherwise)?)?)
                    }
                };
                Dual { value: then.value.f_where_self(&greater, &otherwise.value)?, slope }
            }
            Node::P(a) => {
                let a = of(a)?;
                let (p, not_p) = (a.value.f_sigmoid()?, a.value.f_neg()?.f_sigmoid()?);
                let factor = p.f_mul(&not_p)?;
                sigmoid(a, p, factor)?
            }
            Node::NotP(a) => {
                let a = of(a)?;
                let (p, not_p) = (a.value.f_sigmoid()?, a.value.f_neg()?.f_sigmoid()?);
                let factor = p.f_mul(&not_p)?.f_neg()?;
                sigmoid(a, not_p, factor)?
            }
            Node::LogP(a) => {
                let a = of(a)?;
                sigmoid(a, a.value.f_log_sigmoid()?, a.value.f_neg()?.f_sigmoid()?)?
            }
            Node::LogNotP(a) => {
                let a = of(a)?;
                sigmoid(a, a.value.f_neg()?.f_log_sigmoid()?, a.value.f_sigmoid()?.f_neg()?)?
            }
        };
        done.push(Some(dual));
    }
    let Some(Some(loss)) = done.pop() else {
        return Err(LossHeadError::Tensor("the formula is empty".into()));
    };
    // A formula of constants has their shape.
    let slope = match loss.slope {
        Some(slope) => slope.f_expand_as(m)?,
        None => m.f_zeros_like()?,
    };
    Ok((loss.value.f_expand_as(m)?, slope))
}

fn shared(slope: &Option<Tensor>) -> Option<Tensor> {
    slope.as_ref().map(Tensor::shallow_clone)
}

fn plus(a: Option<Tensor>, b: Option<Tensor>) -> Result<Option<Tensor>, LossHeadError> {
    Ok(match (a, b) {
        (Some(a), Some(b)) => Some(a.f_add(&b)?),
        (a, b) => a.or(b),
    })
}

fn times(a: &Dual, factor: &Tensor) -> Result<Option<Tensor>, LossHeadError> {
    Ok(a.slope.as_ref().map(|slope| slope.f_mul(factor)).transpose()?)
}
