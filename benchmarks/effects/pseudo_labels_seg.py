"""Few labelled pictures, segmentation: dense pseudo-labels and what the safeguards add.

    python -m benchmarks.effects.pseudo_labels_seg streets --jobs 2

Data, network and steps are those of ``benchmarks.effects.depthmix tiny``: 8 labelled of 400
pictures. A seed gives all arms the same labelled pictures, data and start; until
MODEL.PSEUDO_LABEL.START_ITER they are the same run, which the supervised arm trains. The student
is evaluated. Differences are paired by seed. Finished runs are kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks import studies
from benchmarks.effects.depthmix import METRICS, begin_as

START = 80
SUPERVISED = "labels"
STUDIES = {"streets": "depth_mix/streets/semseg_mobilenetv2_tiny.yaml"}
COMMON = [
    *("MODEL.META_ARCHITECTURE", "AdaptiveModel", "MODEL.ADAPT.DETECTOR", "SemanticSegmentor"),
    *("MODEL.ADAPT.OBJECTIVES", "['DensePseudoLabel']", "INPUT.DISPARITY.ENABLED", False),
    *("MODEL.PSEUDO_LABEL.START_ITER", START, "MODEL.PSEUDO_LABEL.RAMP_ITERS", 40),
    *("INPUT.TARGET_VIEWS", "['weak', 'strong']"),
]
_P = "MODEL.PSEUDO_LABEL."
_SOFT = [f"{_P}SOFT", True, f"{_P}THRESHOLD", 0.0]
_MIXUP = [f"{_P}MIXUP_ALPHA", 1.0]
_REGULARISERS = [f"{_P}PRIOR.WEIGHT", 0.8, f"{_P}ENTROPY_WEIGHT", 0.1]
_MASKED = ["INPUT.STRONG_VIEW.MASK.SHARE", 0.5, "INPUT.STRONG_VIEW.MASK.SIZE", 16]
ARMS: dict[str, list[Any]] = {
    SUPERVISED: ["MODEL.ADAPT.BASELINE", "source_only"],
    "hard, every pixel": [f"{_P}THRESHOLD", 0.0],
    "hard, threshold": [f"{_P}THRESHOLD", 0.9],
    "hard, adaptive threshold": [f"{_P}THRESHOLD", 0.9, f"{_P}ADAPTIVE.ENABLED", True],
    "soft": _SOFT,
    "soft, mixup": [*_SOFT, *_MIXUP],
    "soft, prior and entropy": [*_SOFT, *_REGULARISERS],
    "soft, masked": [*_SOFT, *_MASKED],
    "soft, all": [*_SOFT, *_MIXUP, *_REGULARISERS],
}


def run_seed(study: str, seed: int, args: argparse.Namespace) -> list[studies.Run]:
    """Train the arms with one seed unless their results exist; return their last evaluations."""
    runs, root = [], Path(args.work) / study
    folders = {arm: root / f"{studies.slug(arm)}_seed{seed}" for arm in args.arms}
    for arm in sorted(args.arms, key=lambda arm: arm != SUPERVISED):
        folder = folders[arm]
        if not studies.last_evaluation(folder, METRICS):
            options = [*COMMON, "SEED", seed, "DATASETS.LABELLED.SEED", seed, *ARMS[arm]]
            if arm == SUPERVISED:
                options += ["SOLVER.CHECKPOINT_PERIOD", START]
            else:
                begin_as(folder, folders[SUPERVISED], START)
            studies.train_forked(folder, STUDIES[study], [*options, *args.opts], args.threads)
        runs.append({"arm": arm, "seed": seed, **studies.last_evaluation(folder, METRICS)})
    return runs


def main() -> None:
    """Run the study and write ``benchmarks/results/pseudo_labels_seg_<study>.json``."""
    parser = studies.study_parser(__doc__, "pseudo_labels_seg", STUDIES, ARMS, seeds=range(1, 4))
    args = studies.parse_study(parser)
    args.arms = [SUPERVISED, *(arm for arm in args.arms if arm != SUPERVISED)]
    of_seeds = studies.run_all(
        run_seed, [(args.study, seed, args) for seed in args.seeds], args.jobs
    )
    runs = [run for runs in of_seeds for run in runs]
    rows = studies.table_over_seeds(runs, list(METRICS), SUPERVISED, ["mIoU"])
    studies.report(args, "pseudo_labels_seg", rows, runs, shared_steps=START)


if __name__ == "__main__":
    main()
