"""The Eureka loss on a softmax head in PyTorch, eager and compiled, beside one copy of the logits.

    python benches/peers/softmax_head.py [--threads 2] [--rows 1280] [--classes 18848]

The other side: `cargo bench -p imbalance-core --bench softmax_head`. Needs torch; --compile needs a C++ compiler.
"""

import argparse
import time

import torch


def eureka(logits, target, weight):
    log_p = torch.log_softmax(logits, dim=1).gather(1, target[:, None])[:, 0]
    # A float32 softmax rounds p to 1, so the usual code clamps; without it the gradient is not finite.
    bonus = torch.log((1 - log_p.exp()).clamp(min=1e-5))
    return (-log_p + weight[target] * bonus).sum()


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
    parser.add_argument("--rows", type=int, default=1280)
    parser.add_argument("--classes", type=int, default=18848)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    logits = torch.randn(args.rows, args.classes, requires_grad=True)
    target = torch.randint(args.classes, (args.rows,))
    weight = torch.rand(args.classes)
    to = torch.empty_like(logits)

    def step(loss):
        def run():
            logits.grad = None
            loss(logits, target, weight).backward()

        run(), run()
        return run

    with torch.no_grad():
        print(f"copy {median(lambda: to.copy_(logits), args.repeats):.2f} ms")
    print(f"eager {median(step(eureka), args.repeats):.2f} ms")
    if args.compile:
        print(f"compiled {median(step(torch.compile(eureka)), args.repeats):.2f} ms")


if __name__ == "__main__":
    main()
