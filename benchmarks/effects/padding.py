"""What DRFPN gains by leaving the padding of a batch out of its means.

    DETECTRON2_DATASETS=/path/to/datasets python -m benchmarks.effects.padding bccd --seeds 1 2 3

Crops of different sizes and shapes are batched, so that much of a batch is padding; pictures are
evaluated one by one, as detectron2 does. Both arms are the same but for what is averaged.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from typing import Any

from benchmarks import studies
from drfpn_da.modeling import DRFPNNeck

STUDIES: dict[str, dict[str, Any]] = {
    "bccd": {
        "config": "drfpn/bccd/faster_rcnn_mobilenetv2_drfpn.yaml",
        "metrics": ["bbox/AP", "bbox/AP50", "bbox/AP75"],
        "options": [
            *("INPUT.MIN_SIZE_TRAIN", "(96, 128, 160)", "INPUT.MAX_SIZE_TRAIN", "320"),
            *("INPUT.CROP.ENABLED", "True", "INPUT.CROP.TYPE", "relative_range"),
            *("INPUT.CROP.SIZE", "[0.5, 0.5]", "INPUT.MIN_SIZE_TEST", "128"),
            *("MODEL.ANCHOR_GENERATOR.SIZES", "[[8], [16], [32], [64], [128]]"),
            *("SOLVER.MAX_ITER", "150", "SOLVER.STEPS", "(110, 135)", "TEST.EVAL_PERIOD", "150"),
            *("DATALOADER.NUM_WORKERS", "0"),
        ],
    },
}
BASE = "whole batch"
ARMS = {BASE: False, "pictures": True}


@contextlib.contextmanager
def averaging(pictures: bool) -> Iterator[None]:
    """Inside the block, pyramids are built to average over the pictures, or over all of a batch."""
    defaults = DRFPNNeck.__init__.__kwdefaults__
    assert defaults is not None
    before, defaults["mask_padding"] = defaults["mask_padding"], pictures
    try:
        yield
    finally:
        defaults["mask_padding"] = before


def run(study: str, arm: str, seed: int, args: argparse.Namespace) -> studies.Run:
    """Train one arm with one seed unless its results exist; return the last evaluation."""
    folder = args.work / study / f"{studies.slug(arm)}_seed{seed}"
    metrics = {name: name for name in STUDIES[study]["metrics"]}
    if not studies.last_evaluation(folder, metrics):
        options = ["SEED", seed, *STUDIES[study]["options"], *args.opts]
        with averaging(ARMS[arm]):
            studies.train_forked(folder, STUDIES[study]["config"], options, args.threads)
    return {"arm": arm, "seed": seed, **studies.last_evaluation(folder, metrics)}


def main() -> None:
    """Run a study and write ``benchmarks/results/padding_<study>.json``."""
    parser = studies.study_parser(__doc__, "padding", STUDIES, ARMS)
    args = studies.parse_study(parser)
    if args.jobs > 1:
        parser.error("--jobs must be 1: an arm is chosen for the whole process")
    runs = studies.run_arms(run, args)
    metrics = STUDIES[args.study]["metrics"]
    rows = studies.table_over_seeds(runs, metrics, BASE, metrics[:1])
    studies.report(args, "padding", rows, runs)


if __name__ == "__main__":
    main()
