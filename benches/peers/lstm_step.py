"""A training step of the paper's dialogue model in PyTorch: milliseconds and peak memory.

    python benches/peers/lstm_step.py [--threads 2] [--steps 5] [--hidden 1024] [--source 100] [--target 12] ... [--device cuda] [--tf32]

Encoder-decoder of 2-layer LSTMs with general attention, as `imbalance_dialogue::model::LstmModel`, the Eureka loss,
gradient clipping and SGD with momentum, float32. The other side: `cargo run --release -p imbalance-dialogue --example
lstm_step -- ARGS` with the same arguments. Needs torch.
"""

import argparse
import resource
import time

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Model(nn.Module):
    def __init__(self, vocabulary, embedding, hidden, layers, dropout):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding, padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        self.encoder = nn.LSTM(embedding, hidden, layers, batch_first=True, dropout=dropout)
        self.decoder = nn.LSTM(embedding, hidden, layers, batch_first=True, dropout=dropout)
        self.query = nn.Linear(hidden, hidden, bias=False)
        self.combine = nn.Linear(2 * hidden, hidden, bias=False)
        self.output = nn.Linear(hidden, vocabulary)

    def forward(self, source, lengths, target, real):
        packed = pack_padded_sequence(self.dropout(self.embedding(source)), lengths, batch_first=True, enforce_sorted=False)
        packed, state = self.encoder(packed)
        memory, _ = pad_packed_sequence(packed, batch_first=True)
        states, _ = self.decoder(self.dropout(self.embedding(target)), state)
        scores = self.query(states) @ memory.transpose(1, 2)
        positions = torch.arange(memory.shape[1], device=memory.device)
        mask = positions[None, :] >= lengths.to(memory.device)[:, None]
        scores = scores.masked_fill(mask[:, None, :], float("-inf"))
        context = scores.softmax(-1) @ memory
        # By number: a mask would make a GPU's host wait to learn how many there are.
        states, context = states.flatten(0, 1)[real], context.flatten(0, 1)[real]
        combined = torch.tanh(self.combine(torch.cat([context, states], -1)))
        return self.output(self.dropout(combined))


def main():
    parser = argparse.ArgumentParser()
    for name, default in [
        ("threads", 2), ("steps", 5), ("batch", 64), ("vocabulary", 18848), ("embedding", 256), ("hidden", 1024),
        ("layers", 2), ("source", 100), ("target", 12),
    ]:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tf32", action="store_true", help="as PyTorch comes: convolutions and LSTMs in float32 may round to TF32")
    args = parser.parse_args()
    torch.backends.cudnn.allow_tf32 = args.tf32
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    model = Model(args.vocabulary, args.embedding, args.hidden, args.layers, 0.1).to(args.device)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True)
    weight = torch.rand(args.vocabulary, device=args.device)

    # Histories from half the source length to all of it, replies likewise: the same on the other side.
    lengths = torch.tensor([args.source - row * (args.source // 2) // args.batch for row in range(args.batch)])
    replies = torch.tensor([args.target - row * (args.target // 2) // args.batch for row in range(args.batch)])
    source = torch.randint(4, args.vocabulary, (args.batch, args.source))
    source[torch.arange(args.source)[None, :] >= lengths[:, None]] = 0
    target = torch.randint(4, args.vocabulary, (args.batch, args.target))
    real = torch.arange(args.target)[None, :] < replies[:, None]
    previous = torch.cat([torch.ones(args.batch, 1, dtype=torch.long), target[:, :-1]], 1)
    classes = target[real]
    real = real.flatten().nonzero()[:, 0]
    # Lengths stay with the host, where packing wants them.
    source, previous, real, classes = (each.to(args.device) for each in (source, previous, real, classes))

    times = []
    for _ in range(args.steps + 1):
        start = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        logits = model(source, lengths, previous, real)
        log_p = torch.log_softmax(logits, 1).gather(1, classes[:, None])[:, 0]
        bonus = torch.log((1 - log_p.exp()).clamp(min=1e-5))
        loss = (-log_p + weight[classes] * bonus).sum() / len(classes)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimiser.step()
        loss.item()
        times.append(time.perf_counter() - start)
    times = sorted(times[1:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"step {times[len(times) // 2] * 1e3:.1f} ms on {args.device} (least {times[0] * 1e3:.1f}), {len(classes)} target tokens, peak {peak:.0f} MiB")


if __name__ == "__main__":
    main()
