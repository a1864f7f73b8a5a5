//! Stacked LSTM layers (Hochreiter and Schmidhuber, 1997) over libtorch's fused kernels.

use imbalance_train::precision::Bfloat16Paused;
use imbalance_train::transfer::sent_slice;
use tch::{Device, Kind, Tensor, nn};

use super::ModelError;
use super::init::Initializer;

/// Hidden and cell state of every layer, each `[layers, batch, hidden]`.
#[derive(Debug)]
pub(super) struct State {
    pub(super) hidden: Tensor,
    pub(super) cell: Tensor,
}

impl State {
    /// Row `i` becomes what row `rows[i]` was.
    pub(super) fn select(&self, rows: &Tensor) -> Self {
        Self { hidden: self.hidden.index_select(1, rows), cell: self.cell.index_select(1, rows) }
    }
}

/// Parameters in PyTorch's names and order: `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`, gates input, forget, cell, output.
#[derive(Debug)]
struct Layer {
    parameters: [Tensor; 4],
}

impl Layer {
    fn new(path: &nn::Path, init: &mut Initializer, index: i64, input: i64, hidden: i64) -> Self {
        let bound = (hidden as f64).sqrt().recip();
        let mut add = |name: &str, shape: &[i64]| init.uniform(path, &format!("{name}_l{index}"), shape, bound);
        let parameters = [
            add("weight_ih", &[4 * hidden, input]),
            add("weight_hh", &[4 * hidden, hidden]),
            add("bias_ih", &[4 * hidden]),
            add("bias_hh", &[4 * hidden]),
        ];
        Self { parameters }
    }

    fn shallow_clone(&self) -> [Tensor; 4] {
        self.parameters.each_ref().map(Tensor::shallow_clone)
    }
}

/// A stack of LSTM layers with dropout between them.
#[derive(Debug)]
pub(super) struct Lstm {
    layers: Vec<Layer>,
    hidden: i64,
    dropout: f64,
    /// How many layers a call of the fused kernel takes at most.
    at_once: usize,
}

impl Lstm {
    /// All values from `U(−1/√hidden, 1/√hidden)`, PyTorch's default.
    pub(super) fn new(
        path: &nn::Path,
        init: &mut Initializer,
        layers: i64,
        input: i64,
        hidden: i64,
        dropout: f64,
    ) -> Self {
        let width = |index| if index == 0 { input } else { hidden };
        let layers: Vec<Layer> = (0..layers).map(|index| Layer::new(path, init, index, width(index), hidden)).collect();
        let on_gpu = path.device().is_cuda();
        // cuDNN's dropout has a random state of its own, which no checkpoint holds, and libtorch waits for the GPU to seed it.
        let at_once = if on_gpu && dropout > 0.0 { 1 } else { layers.len() };
        let made = Self { layers, hidden, dropout, at_once };
        if on_gpu && tch::Cuda::cudnn_is_available() {
            made.compact(input);
        }
        made
    }

    /// Puts the parameters of each call into one piece of memory, as cuDNN wants them. libtorch would do so at every call, and
    /// warn each time.
    fn compact(&self, input: i64) {
        const LSTM: i64 = 2;
        for (at, layers) in self.layers.chunks(self.at_once).enumerate() {
            let width = if at == 0 { input } else { self.hidden };
            let count = layers.len() as i64;
            // Where it fails the weights stay as they were, and libtorch's warnings say so.
            let _ = tch::no_grad(|| {
                Tensor::f_internal_cudnn_rnn_flatten_weight(
                    &parameters(layers),
                    4,
                    width,
                    LSTM,
                    self.hidden,
                    0,
                    count,
                    false,
                    false,
                )
            });
        }
    }

    /// The output of the last layer at every step; steps after the end of a row are fed and count for nothing.
    ///
    /// # Shapes
    /// - `inputs`: `[time, batch, input]`
    /// - output: `[time, batch, hidden]`
    ///
    /// # Errors
    /// [`ModelError::Forward`], where libtorch has no kernel for the inputs.
    pub(super) fn forward(&self, inputs: &Tensor, state: &State, train: bool) -> Result<Tensor, ModelError> {
        let (mut states, mut first) = (inputs.shallow_clone(), 0);
        let _float32 = float32_for_bfloat16(inputs.device());
        for (at, layers) in self.layers.chunks(self.at_once).enumerate() {
            if at > 0 {
                states = states.dropout(self.dropout, train);
            }
            let count = layers.len() as i64;
            let start = [&state.hidden, &state.cell].map(|state| state.narrow(0, first, count).contiguous());
            let between = if count > 1 { self.dropout } else { 0.0 };
            let made = states.f_lstm(&start, &parameters(layers), true, count, between, train, false, false);
            states = made?.0;
            first += count;
        }
        Ok(states)
    }

    /// The output of the last layer at every step, from a zero state, and the state of each row after its own last step.
    ///
    /// # Shapes
    /// - `inputs`: `[time, batch, input]`; `lengths`: at least 1 each
    /// - output: `[time, batch, hidden]`, meaningless after the end of a row
    ///
    /// # Errors
    /// As [`Lstm::forward`].
    pub(super) fn forward_to_lengths(
        &self,
        inputs: &Tensor,
        lengths: &[i64],
        train: bool,
    ) -> Result<(Tensor, State), ModelError> {
        let device = inputs.device();
        if device.is_cuda() {
            return self.forward_packed(inputs, lengths, train);
        }
        let (time, batch) = (inputs.size()[0], inputs.size()[1]);
        let padded = lengths.iter().any(|&length| length < time);
        let lengths = Tensor::from_slice(lengths);
        let ended = Tensor::arange(time, (Kind::Int64, device))
            .unsqueeze(1)
            .ge_tensor(&lengths)
            .unsqueeze(2)
            .to_kind(inputs.kind());
        let last = (lengths - 1).view([1, batch, 1]).expand([1, batch, self.hidden], false);
        let zeros = Tensor::zeros([1, batch, self.hidden], (inputs.kind(), device));

        let (mut states, mut hidden, mut cell) = (inputs.shallow_clone(), Vec::new(), Vec::new());
        for (index, layer) in self.layers.iter().enumerate() {
            if index > 0 {
                states = states.dropout(self.dropout, train);
            }
            let mut parameters = layer.shallow_clone();
            // The fused kernel knows no lengths, and packed sequences run unfused, several times slower on a CPU. So the
            // padded batch runs, and one more input column, 1 after a row's end, shuts its input gate and opens its forget
            // gate: both sigmoids saturate to exactly 0 and 1, the cell keeps its value, and no gradient comes from padding.
            if padded {
                parameters[0] = Tensor::cat(&[&parameters[0], &self.hold(&parameters[0])], 1);
                states = Tensor::cat(&[&states, &ended], 2);
            }
            let start = [zeros.shallow_clone(), zeros.shallow_clone()];
            let made = states.f_lstm(&start, &parameters, true, 1, 0.0, train, false, false);
            let (outputs, _, last_cell) = made?;
            hidden.push(outputs.gather(0, &last, false));
            cell.push(last_cell);
            states = outputs;
        }
        Ok((states, State { hidden: Tensor::cat(&hidden, 0), cell: Tensor::cat(&cell, 0) }))
    }

    /// [`Lstm::forward_to_lengths`] as cuDNN does it best: over the steps of all rows without their padding. After the end of a
    /// row the output is 0.
    pub(super) fn forward_packed(
        &self,
        inputs: &Tensor,
        lengths: &[i64],
        train: bool,
    ) -> Result<(Tensor, State), ModelError> {
        let (time, batch) = (inputs.size()[0], inputs.size()[1]);
        let device = inputs.device();
        let packing = Packing::of(lengths, time);
        let rows = sent_slice(&packing.rows, device);
        let mut states = inputs.flatten(0, 1).index_select(0, &sent_slice(&packing.steps, device));
        let (mut hidden, mut cell) = (Vec::new(), Vec::new());
        let _float32 = float32_for_bfloat16(device);
        for (at, layers) in self.layers.chunks(self.at_once).enumerate() {
            if at > 0 {
                states = states.dropout(self.dropout, train);
            }
            let count = layers.len() as i64;
            let start = [(); 2].map(|()| Tensor::zeros([count, batch, self.hidden], (inputs.kind(), device)));
            let between = if count > 1 { self.dropout } else { 0.0 };
            let weights = parameters(layers);
            let made =
                Tensor::f_lstm_data(&states, &packing.sizes, &start, &weights, true, count, between, train, false);
            let (outputs, last_hidden, last_cell) = made?;
            hidden.push(last_hidden);
            cell.push(last_cell);
            states = outputs;
        }
        let nothing = Tensor::zeros([1, self.hidden], (states.kind(), device));
        let places = sent_slice(&packing.places, device);
        let outputs = Tensor::cat(&[&states, &nothing], 0).index_select(0, &places).view([time, batch, self.hidden]);
        let state = State { hidden: Tensor::cat(&hidden, 0), cell: Tensor::cat(&cell, 0) };
        Ok((outputs, state.select(&rows)))
    }

    /// The weights `[4·hidden, 1]` of the column that makes a cell keep its value.
    fn hold(&self, like: &Tensor) -> Tensor {
        const SATURATED: f64 = 1e4;
        let column = Tensor::zeros([4 * self.hidden, 1], (like.kind(), like.device()));
        let _ = column.narrow(0, 0, self.hidden).fill_(-SATURATED);
        let _ = column.narrow(0, self.hidden, self.hidden).fill_(SATURATED);
        column
    }

    /// One step without dropout; gives the last layer's output and moves `state` on.
    ///
    /// # Shapes
    /// - `input`: `[batch, input]`
    /// - output: `[batch, hidden]`
    ///
    /// # Errors
    /// As [`Lstm::forward`]; `state` is then as it was.
    pub(super) fn step(&self, input: &Tensor, state: &mut State) -> Result<Tensor, ModelError> {
        let (mut output, mut hidden, mut cell) = (input.shallow_clone(), Vec::new(), Vec::new());
        for (layer, index) in self.layers.iter().zip(0..) {
            let [weight_ih, weight_hh, bias_ih, bias_hh] = &layer.parameters;
            // The fused kernel would rearrange its weights at every call, which costs more than a step.
            let previous = [state.hidden.get(index), state.cell.get(index)];
            let made = output.f_lstm_cell(&previous.each_ref(), weight_ih, weight_hh, Some(bias_ih), Some(bias_hh));
            let (new_hidden, new_cell) = made?;
            output = new_hidden.shallow_clone();
            hidden.push(new_hidden);
            cell.push(new_cell);
        }
        *state = State { hidden: Tensor::stack(&hidden, 0), cell: Tensor::stack(&cell, 0) };
        Ok(output)
    }
}

/// libtorch's autocast gives cuDNN's LSTM float16 whatever it is set to, in which small gradients vanish unless the loss is scaled
/// for it. Where bfloat16 was asked for, it computes in float32.
fn float32_for_bfloat16(device: Device) -> Option<Bfloat16Paused> {
    device.is_cuda().then(|| Bfloat16Paused::begin(device))
}

fn parameters(layers: &[Layer]) -> Vec<Tensor> {
    layers.iter().flat_map(Layer::shallow_clone).collect()
}

/// Where each step of a padded batch `[time, batch]` is among those that count: step by step, the longest rows first.
struct Packing {
    /// How many rows have a first step, a second and so on; in the host's memory.
    sizes: Tensor,
    /// The steps that count, as numbers in the flattened batch.
    steps: Vec<i64>,
    /// For each step of the flattened batch its place among those that count; after the end of a row, their number.
    places: Vec<i64>,
    /// For each row its place among the rows, the longest first.
    rows: Vec<i64>,
}

impl Packing {
    /// `lengths`: at least 1 and at most `time` each.
    fn of(lengths: &[i64], time: i64) -> Self {
        let batch = lengths.len();
        let mut order: Vec<usize> = (0..batch).collect();
        order.sort_by_key(|&row| std::cmp::Reverse(lengths[row]));
        let mut rows = vec![0; batch];
        for (place, &row) in (0..).zip(&order) {
            rows[row] = place;
        }
        let (mut sizes, mut steps) = (Vec::new(), Vec::new());
        let mut places = vec![lengths.iter().sum(); time as usize * batch];
        for step in 0..time {
            let there = order.iter().take_while(|&&row| lengths[row] > step);
            let before = steps.len();
            for &row in there {
                let at = step as usize * batch + row;
                places[at] = steps.len() as i64;
                steps.push(at as i64);
            }
            if steps.len() > before {
                sizes.push((steps.len() - before) as i64);
            }
        }
        Self { sizes: Tensor::from_slice(&sizes), steps, places, rows }
    }
}
