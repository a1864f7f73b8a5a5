"""A training step and the detection of one image by torchvision's RetinaNet-R50-FPN, and the memory they take.

    python benches/peers/detection_step.py [--bfloat16] [--channels-last] [--batch 1] [--inference] [--threads 2]
        [--device cuda] [--tf32]

SGD with momentum; images that need no resizing. The other side: `cargo run --release -p imbalance-detection --example
detection_step`.
"""

import argparse
import resource
import time

import torch
from torchvision.models import resnet50
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.models.detection.retinanet import RetinaNet
from torchvision.ops.feature_pyramid_network import LastLevelP6P7
from torchvision.ops.misc import FrozenBatchNorm2d


def boxes(image, height, width):
    found = []
    for item in range(10):
        side = 40.0 + 40.0 * item
        x, y = 97 * (item + image + 1) % (width - 420), 61 * (item + 1) % (height - 420)
        found.append([x, y, x + side, y + 0.8 * side])
    return {"boxes": torch.tensor(found), "labels": torch.arange(10)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--width", type=int, default=1216)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--inference", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tf32", action="store_true", help="as PyTorch comes: convolutions and LSTMs in float32 may round to TF32")
    args = parser.parse_args()
    on_gpu = args.device != "cpu"
    torch.backends.cudnn.allow_tf32 = args.tf32
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    # What retinanet_resnet50_fpn makes when it is given weights.
    body = resnet50(norm_layer=FrozenBatchNorm2d)
    pyramid = LastLevelP6P7(256, 256)
    model = RetinaNet(_resnet_fpn_extractor(body, 3, returned_layers=[2, 3, 4], extra_blocks=pyramid), 80).to(args.device)
    count = 1 if args.inference else args.batch
    images = [torch.rand(3, args.height, args.width, device=args.device) for _ in range(count)]
    if args.channels_last:
        model = model.to(memory_format=torch.channels_last)
        # The layout that its own batching of images would give up.
        batch_images = model.transform.batch_images
        model.transform.batch_images = lambda *a, **k: batch_images(*a, **k).contiguous(memory_format=torch.channels_last)
    targets = [boxes(image, args.height, args.width) for image in range(count)]
    targets = [{name: values.to(args.device) for name, values in target.items()} for target in targets]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=1e-4, momentum=0.9, weight_decay=1e-4)

    def step():
        optimiser.zero_grad()
        with torch.autocast(args.device.split(":")[0], dtype=torch.bfloat16, enabled=args.bfloat16):
            losses = model(images, targets)
        sum(losses.values()).backward()
        optimiser.step()

    def detect():
        with torch.inference_mode(), torch.autocast(args.device.split(":")[0], dtype=torch.bfloat16, enabled=args.bfloat16):
            model(images)

    model.train(not args.inference)
    work = detect if args.inference else step
    wait = torch.cuda.synchronize if on_gpu else lambda: None
    together = 5 if on_gpu else 1
    work(), wait()
    times = []
    for _ in range(args.repeats):
        start = time.perf_counter()
        for _ in range(together):
            work()
        wait()
        times.append((time.perf_counter() - start) * 1e3 / together)
    times.sort()
    what = "detection" if args.inference else "step"
    kind = "bfloat16" if args.bfloat16 else "float32"
    layout = "last" if args.channels_last else "first"
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"{what} of {count}, {args.height}x{args.width}, {kind}, channels-{layout}: {times[len(times) // 2]:.0f} ms "
        f"on {args.device} (least {times[0]:.0f}), {memory} MiB at most"
    )


if __name__ == "__main__":
    main()
