"""pycocotools' 12 numbers of a results file, in full precision, beside those of `toolkit eval coco`.

    toolkit eval coco --gt FILE --dt FILE --json > scores.json
    python benches/peers/coco_scores.py --gt FILE --dt FILE scores.json

Prints both and ends with an error unless all 12 are equal to the last bit. Needs pycocotools.
"""

import argparse
import contextlib
import io
import json
import pathlib
import sys

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gt", required=True)
    parser.add_argument("--dt", required=True)
    parser.add_argument("scores", type=pathlib.Path)
    args = parser.parse_args()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(args.gt)
        evaluation = COCOeval(truth, truth.loadRes(args.dt), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ours = json.loads(args.scores.read_text())["stats"]
    differ = 0
    for (name, value), theirs in zip(ours.items(), evaluation.stats):
        differ += value != theirs
        print(f"{name:6} {value!r:24} {float(theirs)!r:24} {'' if value == theirs else 'differs'}")
    sys.exit(f"{differ} of 12 differ" if differ else 0)


if __name__ == "__main__":
    main()
