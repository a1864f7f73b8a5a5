//! From hidden states to logits.

use tch::{Kind, Tensor, nn};

use super::embedding::Embedding;
use super::init::Initializer;

/// Added to squared lengths before vectors are divided by them, so that a vector of zeros stays one and its gradient is finite.
const SMALLEST_SQUARED_LENGTH: f64 = 1e-12;

/// The output layer `hidden → vocabulary`, or `hidden → embedding → vocabulary` through the embedding table.
#[derive(Debug)]
pub(super) struct OutputLayer {
    weight: Weight,
    classifier: Classifier,
}

#[derive(Debug)]
enum Weight {
    Own(Tensor),
    Embedding { projection: Tensor, projection_bias: Tensor, table: Embedding },
}

#[derive(Debug)]
enum Classifier {
    /// `w_c · h + b_c`.
    Linear { bias: Tensor },
    /// `scale · cos(w_c, h)`.
    Normalised { scale: f64 },
}

/// The shape of an [`OutputLayer`].
pub(super) struct OutputShape {
    pub(super) vocabulary: i64,
    pub(super) hidden: i64,
    /// Width of the embedding table that is shared, if any.
    pub(super) embedding: i64,
    /// Scale of the cosines of a normalised classifier; none for a linear one.
    pub(super) cosine_scale: Option<f64>,
}

impl OutputLayer {
    /// `table` is the embedding to share, if any.
    pub(super) fn new(path: &nn::Path, init: &mut Initializer, shape: &OutputShape, table: Option<Embedding>) -> Self {
        let &OutputShape { vocabulary, hidden, embedding, cosine_scale } = shape;
        let bound = |inputs: i64| (inputs as f64).sqrt().recip();
        let (weight, inputs) = match table {
            None => (Weight::Own(init.linear(path, "weight", vocabulary, hidden)), hidden),
            Some(table) => {
                let path = path / "projection";
                let projection = init.linear(&path, "weight", embedding, hidden);
                let projection_bias = init.uniform(&path, "bias", &[embedding], bound(hidden));
                (Weight::Embedding { projection, projection_bias, table }, embedding)
            }
        };
        let classifier = match cosine_scale {
            Some(scale) => Classifier::Normalised { scale },
            None => Classifier::Linear { bias: init.uniform(path, "bias", &[vocabulary], bound(inputs)) },
        };
        Self { weight, classifier }
    }

    /// # Shapes
    /// - `states`: `[tokens, hidden]`
    /// - output: `[tokens, vocabulary]`
    pub(super) fn forward(&self, states: &Tensor) -> Tensor {
        let (features, weight) = self.factors(states);
        match &self.classifier {
            Classifier::Linear { bias } => features.linear(&weight, Some(bias)),
            // The features are scaled, which are far fewer numbers than the logits.
            Classifier::Normalised { scale } => (unit(&features) * *scale).linear(&unit(&weight), None::<&Tensor>),
        }
    }

    /// The cosines of features and class vectors, for a loss that scales them itself; `None` for a linear classifier.
    ///
    /// # Shapes
    /// As [`OutputLayer::forward`].
    pub(super) fn cosines(&self, states: &Tensor) -> Option<Tensor> {
        matches!(self.classifier, Classifier::Normalised { .. }).then(|| {
            let (features, weight) = self.factors(states);
            unit(&features).linear(&unit(&weight), None::<&Tensor>)
        })
    }

    /// Features `[tokens, inputs]` and class vectors `[vocabulary, inputs]`.
    fn factors(&self, states: &Tensor) -> (Tensor, Tensor) {
        match &self.weight {
            Weight::Own(weight) => (states.shallow_clone(), weight.shallow_clone()),
            Weight::Embedding { projection, projection_bias, table } => {
                (states.linear(projection, Some(projection_bias)), table.as_output())
            }
        }
    }
}

/// Rows of length 1; a row of zeros stays one.
fn unit(rows: &Tensor) -> Tensor {
    let squared_length = rows.square().sum_dim_intlist([-1i64].as_slice(), true, None::<Kind>);
    rows * (squared_length + SMALLEST_SQUARED_LENGTH).rsqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn layer(store: &nn::VarStore, cosine_scale: Option<f64>, shared: bool) -> OutputLayer {
        let init = &mut Initializer::new(1);
        let table = shared.then(|| Embedding::new(&(store.root() / "table"), init, 3, 2, 0));
        let shape = OutputShape { vocabulary: 3, hidden: 2, embedding: 2, cosine_scale };
        OutputLayer::new(&store.root(), init, &shape, table)
    }

    fn set(store: &nn::VarStore, name: &str, values: &[f32]) {
        let variable = store.variables()[name].shallow_clone();
        tch::no_grad(|| variable.shallow_clone().copy_(&Tensor::from_slice(values).view(variable.size().as_slice())));
    }

    #[track_caller]
    fn close(found: &Tensor, expected: &[f64]) {
        let found: Vec<f64> = Vec::try_from(found.to_kind(Kind::Double).flatten(0, -1)).unwrap();
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} is not {expected:?}");
    }

    #[test]
    fn logits_of_a_normalised_classifier_are_scaled_cosines() {
        let store = nn::VarStore::new(Device::Cpu);
        let layer = layer(&store, Some(10.0), false);
        assert_eq!(store.variables().into_keys().collect::<Vec<_>>(), ["weight"]);
        set(&store, "weight", &[2.0, 0.0, 0.0, -0.5, 3.0, 4.0]);
        let states = Tensor::from_slice(&[0.6f32, 0.8, 0.0, 0.0, -300.0, 0.0]).view([3, 2]);
        let cosines = [0.6, -0.8, 0.36 + 0.64, 0.0, 0.0, 0.0, -1.0, 0.0, -0.6];
        close(&layer.cosines(&states).unwrap(), &cosines);
        close(&layer.forward(&states), &cosines.map(|cosine| 10.0 * cosine));
    }

    #[test]
    fn a_linear_classifier_has_a_bias_and_no_cosines() {
        let store = nn::VarStore::new(Device::Cpu);
        let layer = layer(&store, None, false);
        set(&store, "weight", &[2.0, 0.0, 0.0, -0.5, 3.0, 4.0]);
        set(&store, "bias", &[1.0, 2.0, 3.0]);
        let states = Tensor::from_slice(&[0.6f32, 0.8]).view([1, 2]);
        close(&layer.forward(&states), &[2.2, 1.6, 8.0]);
        assert!(layer.cosines(&states).is_none());
    }

    #[test]
    fn the_gradient_is_at_right_angles_to_the_vector() {
        let store = nn::VarStore::new(Device::Cpu);
        let layer = layer(&store, Some(2.0), false);
        set(&store, "weight", &[0.0, 2.0, 1.0, 0.0, 0.0, 1.0]);
        let states = Tensor::from_slice(&[3.0f32, 4.0]).view([1, 2]).set_requires_grad(true);
        layer.forward(&states).select(1, 0).sum(Kind::Float).backward();
        // cos = .8. ∂cos/∂h = (ŵ − cos·ĥ)/‖h‖ = ((0, 1) − .8·(.6, .8))/5, ∂cos/∂w = (ĥ − cos·ŵ)/‖w‖ = (.6, 0)/2.
        close(&states.grad(), &[2.0 * -0.096, 2.0 * 0.072]);
        close(&store.variables()["weight"].grad(), &[2.0 * 0.3, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn through_the_embedding_table_zeros_stay_zeros_with_finite_gradients() {
        let store = nn::VarStore::new(Device::Cpu);
        let layer = layer(&store, Some(1.0), true);
        set(&store, "table.weight", &[0.0, 0.0, 5.0, 0.0, 0.0, -2.0]);
        set(&store, "projection.weight", &[1.0, 0.0, 0.0, 2.0]);
        set(&store, "projection.bias", &[0.0, -8.0]);
        let states = Tensor::from_slice(&[3.0f32, 2.0, 0.0, 4.0]).view([2, 2]).set_requires_grad(true);
        let logits = layer.forward(&states);
        // Projected: (3, −4), and (0, 0), whose cosines are 0 as those of the pad row are.
        close(&logits, &[0.0, 0.6, 0.8, 0.0, 0.0, 0.0]);
        logits.sum(Kind::Float).backward();
        for (name, variable) in store.variables() {
            assert!(bool::try_from(variable.grad().isfinite().all()).unwrap(), "{name}");
        }
        close(&store.variables()["table.weight"].grad().get(0), &[0.0, 0.0]);
        assert!(states.grad().get(0).abs().sum(Kind::Float).double_value(&[]) > 0.01);
    }
}
