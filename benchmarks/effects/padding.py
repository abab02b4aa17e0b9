"""What DRFPN gains by leaving the padding of a batch out of its means.

    DETECTRON2_DATASETS=/path/to/datasets python -m benchmarks.effects.padding bccd --seeds 1 2 3

Crops of different sizes and shapes are batched, so that much of a batch is padding; pictures are
evaluated one by one, as detectron2 does, and once more on a large square, as beside a larger
picture. Both arms are the same but for what is averaged.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from detectron2.evaluation.testing import flatten_results_dict

from benchmarks import studies
from drfpn_da.checkpoint import load_model
from drfpn_da.config.setup import base_cfg
from drfpn_da.engine import Trainer
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
# A test picture is 171 x 128.
SQUARE = 352
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


def padded_ap(folder: Path, metric: str) -> float:
    """Evaluate a finished run with every picture on a square of twice its longer side."""
    cfg = base_cfg()
    cfg.merge_from_file(str(folder / "config.yaml"))
    cfg.MODEL.WEIGHTS = str(folder / "model_final.pth")
    cfg.OUTPUT_DIR = str(folder / "padded")
    cfg.TEST.BEST_METRIC = ""
    model = load_model(cfg)
    model.backbone._square_pad = SQUARE
    return float(flatten_results_dict(Trainer.test(cfg, model))[metric])


def run(study: str, arm: str, seed: int, args: argparse.Namespace) -> studies.Run:
    """Train one arm with one seed unless its results exist; return the last evaluation."""
    folder = args.work / study / f"{studies.slug(arm)}_seed{seed}"
    metrics = {name: name for name in STUDIES[study]["metrics"]}
    if not studies.last_evaluation(folder, metrics):
        options = ["SEED", seed, *STUDIES[study]["options"], *args.opts]
        with averaging(ARMS[arm]):
            studies.train_forked(folder, STUDIES[study]["config"], options, args.threads)
    with averaging(ARMS[arm]):
        beside = padded_ap(folder, STUDIES[study]["metrics"][0])
    found = studies.last_evaluation(folder, metrics)
    return {"arm": arm, "seed": seed, **found, "padded": beside}


def main() -> None:
    """Run a study and write ``benchmarks/results/padding_<study>.json``."""
    parser = studies.study_parser(__doc__, "padding", STUDIES, ARMS)
    args = studies.parse_study(parser)
    if args.jobs > 1:
        parser.error("--jobs must be 1: an arm is chosen for the whole process")
    runs = studies.run_arms(run, args)
    metrics = STUDIES[args.study]["metrics"]
    rows = studies.table_over_seeds(runs, [*metrics, "padded"], BASE, [metrics[0], "padded"])
    studies.report(args, "padding", rows, runs)


if __name__ == "__main__":
    main()
