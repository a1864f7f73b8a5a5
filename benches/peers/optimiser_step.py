"""An optimiser's step on the weights of ResNet-50 in PyTorch.

    python benches/peers/optimiser_step.py [--threads 2] [--adamw]

Fused, foreach and plain. The other side: `cargo run --release -p imbalance-vision --example optimiser_step`.
"""

import argparse
import time

import torch
import torchvision


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=51)
    parser.add_argument("--adamw", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for name, how in [("fused", {"fused": True}), ("foreach", {"foreach": True}), ("plain", {"foreach": False})]:
        model = torchvision.models.resnet50()
        weights = list(model.parameters())
        for weight in weights:
            weight.grad = torch.randn_like(weight) * 1e-3
        if args.adamw:
            optimiser = torch.optim.AdamW(weights, lr=1e-4, weight_decay=0.01, **how)
        else:
            optimiser = torch.optim.SGD(weights, lr=1e-4, momentum=0.9, weight_decay=1e-4, **how)
        times = []
        for at in range(args.repeats + 3):
            start = time.perf_counter()
            optimiser.step()
            if at >= 3:
                times.append((time.perf_counter() - start) * 1e3)
        times.sort()
        print(f"{name}, {args.threads} threads: {times[len(times) // 2]:.2f} ms a step (least {times[0]:.2f})")


if __name__ == "__main__":
    main()
