"""A loss on a sigmoid head in PyTorch, eager and compiled, beside one copy of the logits.

    python benches/peers/sigmoid_head.py [--threads 2] [--rows 100000] [--columns 80] [--compile]

The focal loss as torchvision's RetinaNet head computes it from each anchor's class: one-hot targets, then
`sigmoid_focal_loss` (alpha .25, gamma 2). One anchor in a hundred is of a class. Given the one-hot targets, too.
The other side: `toolkit bench losses --head sigmoid --loss focal`. Needs torch; --compile needs a C++ compiler.
"""

import argparse
import time

import torch
import torch.nn.functional as F


def focal_of_classes(logits, classes):
    one_hot = torch.zeros_like(logits)
    foreground = torch.where(classes >= 0)[0]
    one_hot[foreground, classes[foreground]] = 1.0
    return focal(logits, one_hot)


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
    rows = torch.arange(args.rows)
    classes = torch.where(rows % 100 == 0, rows * 31 % args.columns, -1)
    one_hot = F.one_hot(classes + 1, args.columns + 1)[:, 1:].float()
    to = torch.empty_like(logits)

    def step(loss, targets):
        def run():
            logits.grad = None
            loss(logits, targets).backward()

        run(), run()
        return run

    with torch.no_grad():
        print(f"copy {median(lambda: to.copy_(logits), args.repeats):.2f} ms")
    for name, loss, targets in [("from classes", focal_of_classes, classes), ("from one-hot", focal, one_hot)]:
        print(f"{name}: eager {median(step(loss, targets), args.repeats):.2f} ms")
        if args.compile:
            print(f"{name}: compiled {median(step(torch.compile(loss), targets), args.repeats):.2f} ms")


if __name__ == "__main__":
    main()
