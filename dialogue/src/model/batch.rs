//! Histories and replies as padded tensors.

use imbalance_train::transfer::sent_slice;
use tch::{Device, Tensor};

use super::Special;

/// Token ids of a batch, each row padded at its right with [`Special::pad`].
#[derive(Debug)]
pub struct Batch {
    /// i64 `[batch, source]`; a history has at least one token (an empty one is the start token alone).
    pub history: Tensor,
    /// Lengths of the histories without padding.
    pub history_lengths: Vec<i64>,
    /// i64 `[batch, target]`: the tokens of the reply, then the end token.
    pub reply: Tensor,
    /// Lengths of the replies with the end token and without padding.
    pub reply_lengths: Vec<i64>,
}

impl Batch {
    /// Pads histories and replies; the end token is appended to each reply.
    ///
    /// # Panics
    /// If there are not as many replies as histories, or none at all: a defect of the caller.
    pub fn new(histories: &[&[u32]], replies: &[&[u32]], special: Special, device: Device) -> Self {
        assert_eq!(histories.len(), replies.len(), "a batch needs one reply for each history");
        let ended: Vec<Vec<u32>> = replies.iter().map(|reply| [reply, &[special.end][..]].concat()).collect();
        let (reply, reply_lengths) = pad(&ended.iter().map(Vec::as_slice).collect::<Vec<_>>(), special.pad, device);
        Self { reply, reply_lengths, ..Self::histories(histories, special, device) }
    }

    /// Pads histories whose replies are to be decoded; `reply` has no columns.
    ///
    /// # Panics
    /// If there is no history: a defect of the caller.
    pub fn histories(histories: &[&[u32]], special: Special, device: Device) -> Self {
        assert!(!histories.is_empty(), "a batch needs a history");
        let start = [special.start];
        let rows: Vec<&[u32]> = histories.iter().map(|row| if row.is_empty() { &start[..] } else { row }).collect();
        let (history, history_lengths) = pad(&rows, special.pad, device);
        let reply = Tensor::zeros([rows.len() as i64, 0], (tch::Kind::Int64, device));
        Self { history, history_lengths, reply, reply_lengths: vec![0; rows.len()] }
    }

    /// Number of histories.
    pub fn len(&self) -> usize {
        self.history_lengths.len()
    }

    /// Whether there are none; a batch made by [`Batch::new`] has at least one.
    pub fn is_empty(&self) -> bool {
        self.history_lengths.is_empty()
    }

    /// The target tokens, end tokens included and padding left out, row after row.
    ///
    /// # Shapes
    /// - output: i64 `[tokens]`
    pub fn targets(&self) -> Tensor {
        let width = self.reply.size()[1];
        let positions = self.target_positions(|row, column| row * width + column);
        self.reply.flatten(0, 1).index_select(0, &positions)
    }

    /// `index(row, column)` of every target token in the order of [`Batch::targets`], i64 `[tokens]`.
    pub(super) fn target_positions(&self, index: impl Fn(i64, i64) -> i64) -> Tensor {
        let index = &index;
        let rows = self.reply_lengths.iter().zip(0..);
        let positions: Vec<i64> = rows.flat_map(|(&len, row)| (0..len).map(move |column| index(row, column))).collect();
        sent_slice(&positions, self.reply.device())
    }
}

fn pad(rows: &[&[u32]], pad: u32, device: Device) -> (Tensor, Vec<i64>) {
    let width = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let mut ids = vec![i64::from(pad); rows.len() * width];
    for (row, tokens) in rows.iter().enumerate() {
        for (id, &token) in ids[row * width..].iter_mut().zip(*tokens) {
            *id = i64::from(token);
        }
    }
    let ids = sent_slice(&ids, device).view([rows.len() as i64, width as i64]);
    (ids, rows.iter().map(|row| row.len() as i64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECIAL: Special = Special { pad: 0, start: 1, end: 2, unknown: Some(3) };

    #[test]
    fn pads_at_the_right_and_ends_replies() {
        let batch = Batch::new(&[&[7, 8, 9], &[]], &[&[5], &[6, 0, 4]], SPECIAL, Device::Cpu);
        let ids = |tensor: &Tensor| Vec::<Vec<i64>>::try_from(tensor).unwrap();
        assert_eq!(ids(&batch.history), [[7, 8, 9], [1, 0, 0]]);
        assert_eq!(batch.history_lengths, [3, 1]);
        assert_eq!(ids(&batch.reply), [[5, 2, 0, 0], [6, 0, 4, 2]]);
        assert_eq!(batch.reply_lengths, [2, 4]);
        // A reply may hold the pad id (GPT-2 pads with its end token): lengths decide, not ids.
        assert_eq!(Vec::<i64>::try_from(batch.targets()).unwrap(), [5, 2, 6, 0, 4, 2]);
    }
}
