//! An exponential moving average of the weights, which is often better than any of them (Polyak & Juditsky 1992; Tarvainen &
//! Valpola 2017).
//!
//! ```text
//! a ← d·a + (1 − d)·w,   d = min(decay, (1 + t)/(10 + t)) after update t, from 0
//! ```
//!
//! The bound lets the first values be forgotten, as in TensorFlow's `ExponentialMovingAverage` with `num_updates`. Running
//! statistics of normalisations are averaged too, so that they belong to the averaged weights.

use tch::nn::VarStore;
use tch::{Kind, TchError, Tensor};

use crate::multi_tensor::{is_accelerator, lerp_all};

/// Averages of all variables of a store.
#[derive(Debug)]
pub struct Average {
    decay: f64,
    /// Variables with their averages, in the order of their names.
    pairs: Vec<(String, Tensor, Tensor)>,
}

impl Average {
    /// Starts at the variables as they are; `decay` in (0, 1).
    ///
    /// # Errors
    /// libtorch's.
    pub fn new(variables: &VarStore, decay: f64) -> Result<Self, TchError> {
        let _no_grad = tch::no_grad_guard();
        let mut pairs = Vec::new();
        for (name, variable) in variables.variables() {
            let copy = copied(&variable)?;
            pairs.push((name, variable, copy));
        }
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Self { decay, pairs })
    }

    /// Starts again at the variables as they are now.
    ///
    /// # Errors
    /// libtorch's.
    pub fn start(&mut self) -> Result<(), TchError> {
        let _no_grad = tch::no_grad_guard();
        self.pairs.iter_mut().try_for_each(|(_, variable, average)| average.f_copy_(variable))
    }

    /// Takes in the weights after `updates` earlier ones.
    ///
    /// # Errors
    /// libtorch's.
    pub fn update(&mut self, updates: u64) -> Result<(), TchError> {
        let _no_grad = tch::no_grad_guard();
        let decay = self.decay.min((1.0 + updates as f64) / (10.0 + updates as f64));
        let mut floats = Vec::new();
        for (_, variable, average) in &mut self.pairs {
            if is_accelerator(average.device()) && average.kind() == Kind::Float {
                floats.push((&*average, &*variable));
            } else if average.is_floating_point() {
                let _ = average.f_lerp_(variable, 1.0 - decay)?;
            } else {
                average.f_copy_(variable)?;
            }
        }
        if floats.is_empty() { Ok(()) } else { lerp_all(&floats, 1.0 - decay) }
    }

    /// Exchanges the variables' values with their averages; a second call puts them back.
    ///
    /// # Errors
    /// libtorch's.
    pub fn swap(&mut self) -> Result<(), TchError> {
        let _no_grad = tch::no_grad_guard();
        for (_, variable, average) in &mut self.pairs {
            let values = copied(variable)?;
            variable.f_copy_(average)?;
            average.f_copy_(&values)?;
        }
        Ok(())
    }

    /// The averages, by the names of their variables.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.pairs.iter().map(|(name, _, average)| (name.as_str(), average))
    }

    /// Puts back what [`Average::values`] gave, in the same order.
    pub(crate) fn restore(&mut self, saved: &[Tensor]) -> Result<(), TchError> {
        let _no_grad = tch::no_grad_guard();
        self.pairs.iter_mut().zip(saved).try_for_each(|((_, _, average), saved)| average.f_copy_(saved))
    }
}

fn copied(tensor: &Tensor) -> Result<Tensor, TchError> {
    let mut copy = tensor.f_zeros_like()?;
    copy.f_copy_(tensor)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn averages_by_hand() {
        let store = VarStore::new(Device::Cpu);
        let mut w = store.root().zeros("w", &[1]);
        let mut set = |value: f64| tch::no_grad(|| w.fill_(value)).double_value(&[0]);
        let mut average = Average::new(&store, 0.2).unwrap();
        let now = |average: &Average| average.values().next().unwrap().1.double_value(&[0]);
        set(1.0);
        average.update(0).unwrap(); // d = 1/10: .9
        assert!((now(&average) - 0.9).abs() < 1e-7);
        set(3.0);
        average.update(1).unwrap(); // d = 2/11: .9·2/11 + 3·9/11
        assert!((now(&average) - (0.9 * 2.0 + 27.0) / 11.0).abs() < 1e-6);
        let before = now(&average);
        average.update(1000).unwrap(); // d = .2
        assert!((now(&average) - (0.2 * before + 0.8 * 3.0)).abs() < 1e-6);
        average.swap().unwrap();
        assert_eq!(now(&average), 3.0);
        average.swap().unwrap();
        assert_eq!(store.variables()["w"].double_value(&[0]), 3.0);
    }
}
