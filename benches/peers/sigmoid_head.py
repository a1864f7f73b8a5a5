"""A loss on a sigmoid head in PyTorch, eager and compiled, beside one copy of the logits.

    python benches/peers/sigmoid_head.py [--threads 2] [--rows 100000] [--columns 80] [--compile]

The focal loss as torchvision's `sigmoid_focal_loss` writes it (alpha .25, gamma 2), one anchor in a hundred of a class.
The other side: `toolkit bench losses --head sigmoid --loss focal`. Needs torch; --compile needs a C++ compiler.
"""

import argparse
import time

import torch
import torch.nn.functional as F


def focal(logits, one_hot, alpha=0.25, gamma=2.0):
    p = torch.sigmoid(logits)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, one_hot, reduction="none")
    p_t = p * one_hot + (1 - p) * (1 - one_hot)
    loss = cross_entropy * (1 - p_t) ** gamma
    return ((alpha * one_hot + (1 - alpha) * (1 - one_hot)) * loss).sum()


def median(run, repeats):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return sorted(times)[repeats // 2] * 1e3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=100000)
    parser.add_argument("--columns", type=int, default=80)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    logits = torch.randn(args.rows, args.columns, requires_grad=True)
    one_hot = torch.zeros(args.rows, args.columns)
    rows = torch.arange(0, args.rows, 100)
    one_hot[rows, rows * 31 % args.columns] = 1
    to = torch.empty_like(logits)

    def step(loss):
        def run():
            logits.grad = None
            loss(logits, one_hot).backward()

        run(), run()
        return run

    with torch.no_grad():
        print(f"copy {median(lambda: to.copy_(logits), args.repeats):.2f} ms")
    print(f"eager {median(step(focal), args.repeats):.2f} ms")
    if args.compile:
        print(f"compiled {median(step(torch.compile(focal)), args.repeats):.2f} ms")


if __name__ == "__main__":
    main()
