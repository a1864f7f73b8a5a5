"""Images a second of torchvision's PIL pipeline on a folder of image files, in one process and one thread.

    python benches/peers/image_folder.py FOLDER [--passes 5] [--batch-size 64]

Decoding, random resized crop of 224, mirror, colour jitter of 0.4, normalisation, batching; then the same for evaluation
(shorter side 256, central 224); then random crop with padding and mirror of 32x32 images. The other side: `cargo run --release
-p imbalance-vision --example image_folder -- FOLDER` with the same arguments. Needs torch, torchvision and Pillow.
"""

import argparse
import pathlib
import time

import PIL
import torch
import torchvision
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets.folder import pil_loader

NORMALIZE = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
TRAIN = transforms.Compose(
    [
        transforms.RandomResizedCrop(224),
        transforms.RandomHorizontalFlip(),
        transforms.ColorJitter(0.4, 0.4, 0.4, 0),
        transforms.ToTensor(),
        NORMALIZE,
    ]
)
EVALUATE = transforms.Compose(
    [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), NORMALIZE]
)
CIFAR = transforms.Compose(
    [
        transforms.RandomCrop(32, padding=4),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
    ]
)


class Files(Dataset):
    def __init__(self, files, transform):
        self.files, self.transform = files, transform

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        return self.transform(pil_loader(self.files[index]))


class Memory(Dataset):
    def __init__(self, images, transform):
        self.images, self.transform = images, transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(Image.fromarray(self.images[index].numpy()))


def rate(name, dataset, batch_size, passes):
    best = float("inf")
    for _ in range(passes):
        start = time.perf_counter()
        for _ in DataLoader(dataset, batch_size=batch_size):
            pass
        best = min(best, time.perf_counter() - start)
    print(f"{name}: {len(dataset) / best:.0f} images/s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"Pillow {PIL.__version__}, torchvision {torchvision.__version__}, torch {torch.__version__}")
    files = sorted(path for path in args.folder.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    rate("folder, training", Files(files, TRAIN), args.batch_size, args.passes)
    rate("folder, evaluation", Files(files, EVALUATE), args.batch_size, args.passes)
    images = torch.randint(0, 256, (12800, 32, 32, 3), dtype=torch.uint8)
    rate("memory 32x32, training", Memory(images, CIFAR), 128, args.passes)


if __name__ == "__main__":
    main()
