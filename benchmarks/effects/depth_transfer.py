"""What depth learnt from video adds to a segmentor of few labels: transfer, and both tasks at once.

    python -m benchmarks.effects.depth_transfer streets --seeds 1 2 3
    DETECTRON2_DATASETS=/path/to/datasets python -m benchmarks.effects.depth_transfer camvid

One depth network learns from video without labels. Then segmentors of the same U-Net train on a
few labelled frames: from ImageNet or from the depth network, on labels alone or with DepthMix (by
the network's disparity), and with a depth decoder of their own beside the labels' (multi-task,
mixed by its own disparity). CamVid's one unbroken video is its validation set: multi-task learning
sees those pictures there, without their labels, and is run on labels and depth alone, without a
mix. A seed gives all arms the same labelled pictures. Differences between arms are paired by seed.
Finished runs are kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import studies
from benchmarks.effects.depthmix import METRICS, learn_disparity

_CONFIG = "depth_mix/streets/Base-UNet-mini.yaml"
#: Data with few labels, the config of the depth network, and options of all segmentors.
STUDIES: dict[str, dict[str, Any]] = {
    "streets": {
        "data": "streets_small_clear_sequences",
        "video": "streets_small_clear_sequences",
        "depth": "depth/streets/mobilenetv2_small.yaml",
        "options": [
            *("DATASETS.TEST", "('streets_small_clear_val',)", "SOLVER.MAX_ITER", 480),
            *("TEST.EVAL_PERIOD", 480),
        ],
    },
    "camvid": {
        "data": "camvid_train",
        "video": "camvid_sequence",
        "depth": "depth/camvid/mobilenetv2.yaml",
        "options": [
            *("DATASETS.TEST", "('camvid_val',)", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 11),
            *("DATASETS.LABELLED.COUNT", 30, "SOLVER.MAX_ITER", 640, "TEST.EVAL_PERIOD", 640),
            *("INPUT.MIN_SIZE_TRAIN", "(96,)", "INPUT.MAX_SIZE_TRAIN", 128),
            *("INPUT.MIN_SIZE_TEST", 96, "INPUT.MAX_SIZE_TEST", 128),
        ],
    },
}
_LABELS = ("MODEL.ADAPT.BASELINE", "source_only")
MULTI_TASK = "multi_task"
_TWO_DECODERS = ("MODEL.SEM_SEG_HEAD.NAME", "MultiTaskSemSegHead", "INPUT.DISPARITY.ENABLED", False)
MIX_MULTI_TASK = "DepthMix, multi-task"
#: Options of an arm, and how it reads the depth network, if it does.
ARMS: dict[str, tuple[Sequence[Any], str]] = {
    "labels": (_LABELS, ""),
    "labels, transfer": (_LABELS, "transfer"),
    "labels, multi-task": (
        (
            *_TWO_DECODERS,
            *("MODEL.META_ARCHITECTURE", "AdaptiveModel"),
            *("MODEL.ADAPT.DETECTOR", "SemanticSegmentor"),
            *("MODEL.ADAPT.OBJECTIVES", "['SelfSupervisedDepth']"),
        ),
        MULTI_TASK,
    ),
    "DepthMix": ((), ""),
    "DepthMix, transfer": ((), "transfer"),
    MIX_MULTI_TASK: (
        (
            *_TWO_DECODERS,
            *("MODEL.ADAPT.OBJECTIVES", "['DepthMix', 'SelfSupervisedDepth']"),
            *("MODEL.DEPTH_MIX.DEPTH", "student"),
        ),
        MULTI_TASK,
    ),
}


def run(study: str, arm: str, seed: int, args: argparse.Namespace) -> studies.Run:
    """Train one arm with one seed unless its results exist; return the last evaluation."""
    folder: Path = args.work / study / f"{studies.slug(arm)}_seed{seed}"
    if not studies.last_evaluation(folder, METRICS):
        data = STUDIES[study]["data"]
        disparity = learn_disparity(
            args.work / "disparity", args.threads, STUDIES[study]["depth"], data
        )
        arm_options, reads = ARMS[arm]
        options = ["SEED", seed, "DATASETS.LABELLED.SEED", seed, *STUDIES[study]["options"]]
        target = STUDIES[study]["video"] if reads == MULTI_TASK else data
        options += ["DATASETS.TRAIN", f"('{data}',)", "DATASETS.TARGET", f"('{target}',)"]
        options += ["SOLVER.CHECKPOINT_PERIOD", 1000000]
        options += ["INPUT.DISPARITY.ROOT", disparity, *arm_options]
        if reads:
            network = disparity.with_name(f"{data}_network") / "model_final.pth"
            options += ["MODEL.WEIGHTS", f"drfpn-da://{reads}/{network}"]
        studies.train_forked(folder, _CONFIG, [*options, *args.opts], args.threads)
    return {"arm": arm, "seed": seed, **studies.last_evaluation(folder, METRICS)}


def main() -> None:
    """Run a study and write ``benchmarks/results/depth_transfer_<study>.json``."""
    args = studies.parse_study(studies.study_parser(__doc__, "depth_transfer", STUDIES, ARMS))
    if args.study == "camvid":
        args.arms = [arm for arm in args.arms if arm != MIX_MULTI_TASK]
    runs = studies.run_arms(run, args)
    rows = studies.table_over_seeds(runs, list(METRICS), "labels", ["mIoU"])
    studies.report(args, "depth_transfer", rows, runs)


if __name__ == "__main__":
    main()
