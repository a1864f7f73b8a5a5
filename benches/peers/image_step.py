"""A training step of ResNet-32 (CIFAR) in PyTorch, as the common baselines write it.

    python benches/peers/image_step.py [--threads 2] [--batch 128] [--channels-last] [--bfloat16] [--compile]
        [--device cuda] [--fused] [--tf32]

Shortcut option A, SGD with momentum. On a GPU twenty steps are waited for together. The other side: `cargo run --release -p imbalance-vision --example image_step`.
"""

import argparse
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.added = stride, width - inputs

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.added:
            each = self.added // 2
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, each, each))
        return F.relu(out + x)


class ResNet32(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        blocks, inputs = [], 16
        for width, stride in [(16, 1), (32, 2), (64, 2)]:
            for at in range(5):
                blocks.append(Block(inputs, width, stride if at == 0 else 1))
                inputs = width
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        return self.fc(self.blocks(F.relu(self.bn1(self.conv1(x)))).mean((2, 3)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tf32", action="store_true", help="as PyTorch comes: convolutions and LSTMs in float32 may round to TF32")
    parser.add_argument("--fused", action="store_true", help="the fused optimiser")
    args = parser.parse_args()
    on_gpu = args.device != "cpu"
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = args.tf32
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    model = ResNet32(10).to(args.device)
    images = torch.randn(args.batch, 3, 32, 32, device=args.device)
    if args.channels_last:
        model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    targets = torch.arange(args.batch, device=args.device) % 10
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=2e-4, fused=args.fused or None)
    forward = torch.compile(model) if args.compile else model

    def step():
        optimiser.zero_grad()
        with torch.autocast(args.device.split(":")[0], dtype=torch.bfloat16, enabled=args.bfloat16):
            logits = forward(images)
        F.cross_entropy(logits.float(), targets).backward()
        optimiser.step()

    wait = torch.cuda.synchronize if on_gpu else lambda: None
    together = 20 if on_gpu else 1
    step(), step(), wait()
    times = []
    for _ in range(args.repeats):
        start = time.perf_counter()
        for _ in range(together):
            step()
        wait()
        times.append((time.perf_counter() - start) * 1e3 / together)
    times.sort()
    kind = "bfloat16" if args.bfloat16 else "float32"
    layout = "last" if args.channels_last else "first"
    middle = times[len(times) // 2]
    print(f"{args.device} {kind} channels-{layout} {middle:.2f} ms a step of {args.batch} (least {times[0]:.2f})")


if __name__ == "__main__":
    main()
