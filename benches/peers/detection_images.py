"""Images a second of Detectron2's way with images, in one process and one thread: Pillow and numpy.

    python benches/peers/detection_images.py FOLDER [--passes 5] [--batch-size 4]

Decoding, the orientation of EXIF, scaling with Pillow (shorter side 800, longer at most 1333), mirror, blue first, the mean
subtracted, padding to a multiple of 32. The other side: `cargo run --release -p imbalance-detection --example detection_images --
FOLDER` with the same arguments. Needs numpy and Pillow.
"""

import argparse
import pathlib
import random
import time

import numpy as np
import PIL
from PIL import Image, ImageOps

MEAN = np.array([103.53, 116.28, 123.675], dtype=np.float32)
STD = np.array([1.0, 1.0, 1.0], dtype=np.float32)


def size(height, width, short=800, long=1333):
    scale = short / min(height, width)
    rows, columns = (short, scale * width) if height < width else (scale * height, short)
    if max(rows, columns) > long:
        scale = long / max(rows, columns)
        rows, columns = rows * scale, columns * scale
    return int(rows + 0.5), int(columns + 0.5)


def load(path):
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file).convert("RGB")
    rows, columns = size(image.height, image.width)
    pixels = np.asarray(image.resize((columns, rows), Image.BILINEAR))
    if random.random() < 0.5:
        pixels = pixels[:, ::-1]
    return pixels[:, :, ::-1]


def batch(paths):
    images = [load(path) for path in paths]
    rows = -(-max(image.shape[0] for image in images) // 32) * 32
    columns = -(-max(image.shape[1] for image in images) // 32) * 32
    out = np.zeros((len(images), rows, columns, 3), dtype=np.float32)
    for to, image in zip(out, images):
        to[: image.shape[0], : image.shape[1]] = (image.astype(np.float32) - MEAN) / STD
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=4)
    args = parser.parse_args()
    random.seed(0)
    print(f"Pillow {PIL.__version__}, numpy {np.__version__}")
    files = sorted(path for path in args.folder.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    # Of like shape in a batch, so that there is little padding, as on the other side.
    shapes = {path: Image.open(path).size for path in files}
    files.sort(key=lambda path: shapes[path][0] / shapes[path][1])
    best = float("inf")
    for _ in range(args.passes):
        start = time.perf_counter()
        for first in range(0, len(files), args.batch_size):
            batch(files[first : first + args.batch_size])
        best = min(best, time.perf_counter() - start)
    print(f"folder, 800/1333: {len(files) / best:.1f} images/s, {best / len(files) * 1e3:.2f} ms an image")


if __name__ == "__main__":
    main()
