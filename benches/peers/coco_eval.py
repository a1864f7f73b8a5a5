"""Seconds pycocotools takes to score a list of detections, reading of the JSON files included.

    python benches/peers/coco_eval.py FOLDER [--images 5000] [--detections 376000] [--only-make]

Makes `truth.json` and `found.json` in FOLDER if they are not there: as many images, objects (7.3 an image, with outlines of
30 points, 1 % groups) and categories (80, of very different sizes) as COCO's validation set, and detections with scores in
full precision, two thirds of them of objects and their surroundings. The other side, on the same files:

    cargo build --release -p toolkit --no-default-features
    time target/release/toolkit eval coco --gt FOLDER/truth.json --dt FOLDER/found.json

Needs pycocotools, but with --only-make nothing.
"""

import argparse
import json
import math
import pathlib
import random
import time

CATEGORIES = 80


def make(truth_path, found_path, image_count, detection_count):
    rng = random.Random(0)
    categories = [{"id": id, "name": f"category {id}"} for id in rng.sample(range(1, 91), CATEGORIES)]
    weights = [math.exp(-at / 15) for at in range(CATEGORIES)]
    images = [
        {"id": id, "file_name": f"{id:012}.jpg", "width": 640, "height": 480}
        for id in rng.sample(range(1, 600_000), image_count)
    ]
    annotations, by_image = [], []
    for image in images:
        objects = []
        for _ in range(min(int(rng.expovariate(1 / 7.8)), 60)):
            width, height = (min(10 + rng.expovariate(1 / 70), 400) for _ in range(2))
            x, y = rng.uniform(0, 640 - width), rng.uniform(0, 480 - height)
            outline = [
                round(v, 2)
                for k in range(30)
                for v in (x + width * (1 + math.cos(k / 5)) / 2, y + height * (1 + math.sin(k / 5)) / 2)
            ]
            annotation = {
                "segmentation": [outline],
                "area": width * height * rng.uniform(0.4, 0.9),
                "iscrowd": int(rng.random() < 0.01),
                "image_id": image["id"],
                "bbox": [round(v, 2) for v in (x, y, width, height)],
                "category_id": rng.choices(categories, weights)[0]["id"],
                "id": len(annotations) + 1,
            }
            annotations.append(annotation)
            objects.append(annotation)
        by_image.append(objects)
    truth_path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))

    found = []
    for at, (image, objects) in enumerate(zip(images, by_image)):
        until = detection_count * (at + 1) // image_count
        while len(found) < until:
            if objects and rng.random() < 0.67:
                annotation = rng.choice(objects)
                x, y, width, height = annotation["bbox"]
                spread = rng.expovariate(8)
                box = [
                    x + rng.gauss(0, spread) * width,
                    y + rng.gauss(0, spread) * height,
                    width * math.exp(rng.gauss(0, spread)),
                    height * math.exp(rng.gauss(0, spread)),
                ]
                category = annotation["category_id"] if rng.random() < 0.7 else rng.choices(categories, weights)[0]["id"]
                score = min(rng.betavariate(1, 4) / (0.5 + 3 * spread), 1.0)
            else:
                box = [rng.uniform(0, 500), rng.uniform(0, 400), rng.uniform(5, 200), rng.uniform(5, 200)]
                category = rng.choices(categories, weights)[0]["id"]
                score = rng.betavariate(1, 9)
            found.append({"image_id": image["id"], "category_id": category, "bbox": box, "score": score})
    found_path.write_text(json.dumps(found))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--detections", type=int, default=376_000)
    parser.add_argument("--only-make", action="store_true")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    truth_path, found_path = args.folder / "truth.json", args.folder / "found.json"
    if not (truth_path.exists() and found_path.exists()):
        make(truth_path, found_path, args.images, args.detections)
    for path in (truth_path, found_path):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    if args.only_make:
        return

    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    start = time.perf_counter()
    truth = COCO(str(truth_path))
    evaluation = COCOeval(truth, truth.loadRes(str(found_path)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    print(f"pycocotools: {time.perf_counter() - start:.2f} s")
    print(json.dumps(evaluation.stats.tolist()))


if __name__ == "__main__":
    main()
