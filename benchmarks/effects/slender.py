"""Which part for slender objects helps in which bin: same detector, schedule and seeds.

    python -m benchmarks.effects.slender streets --seeds 1 2 3
    python -m benchmarks.effects.slender streets_short --seeds 1 2 3
    DETECTRON2_DATASETS=/path python -m benchmarks.effects.slender coco128 --seeds 1 2 3

``streets`` trains on generated streets, whose poles, signs and barriers are slender by design;
``streets_short`` is the same with a tenth of the pictures, for the dear arms. ``coco128``
trains on 100 labelled pictures and is evaluated on 100 others, which says little about AP but shows
the bins of real shapes. Every run is a `tools/train_net.py`; finished runs are kept and not
repeated.
"""

from __future__ import annotations

import argparse

from benchmarks import studies

CONFIG = "slender/streets/fcos_mobilenetv2_{}_small.yaml"
STUDIES: dict[str, list[str]] = {
    "streets": [],
    "streets_short": [
        "SOLVER.IMS_PER_BATCH", "2",
        "SOLVER.MAX_ITER", "400",
        "SOLVER.STEPS", "(300,370)",
        "TEST.EVAL_PERIOD", "400",
    ],
    "coco128": [
        "DATASETS.TRAIN", "('coco128_train',)",
        "DATASETS.TEST", "('coco128_val',)",
        "MODEL.FCOS.NUM_CLASSES", "80",
        "SOLVER.IMS_PER_BATCH", "2",
        "SOLVER.MAX_ITER", "200",
        "SOLVER.STEPS", "(150,185)",
        "TEST.EVAL_PERIOD", "200",
    ],
}  # fmt: skip
CENTERNESS = ["MODEL.FCOS.CENTERNESS", "slender"]
WEIGHTED = ["MODEL.FCOS.CENTERNESS_WEIGHTED_LOSS", "True"]
TWO_STEP = ["MODEL.FCOS.TWO_STEP.ENABLED", "True"]
ARMS: dict[str, tuple[str, list[str]]] = {
    "FCOS": ("fpn", []),
    "slender centerness": ("fpn", CENTERNESS),
    "weighted box loss": ("fpn", WEIGHTED),
    "both": ("fpn", CENTERNESS + WEIGHTED),
    "both, unsupervised": ("fpn_slender", []),
    "both, split": ("fpn_slender", ["MODEL.FCOS.ADAPTATION", "split"]),
    "both, two steps": ("fpn", CENTERNESS + WEIGHTED + TWO_STEP),
    "both, supervised": ("fpn_slender", ["MODEL.FCOS.ADAPTATION", "supervised", *TWO_STEP]),
    "sampler": ("fpn_slender_sampler", []),
    "DRFPN, both, unsupervised": ("drfpn_slender", []),
}
TASK = "bbox_slender"
BINS = ("XS", "S", "R")
METRICS = ["AP", *(f"{metric}-{this}" for this in BINS for metric in ("AP", "mAR"))]
# AP of a bin is the mean over classes: in the slender bins classes that are seldom slender sway it.
SLENDER_CLASSES = {"streets": ("pole", "barrier"), "streets_short": ("pole",), "coco128": ()}


def study_metrics(study: str) -> list[str]:
    """Return the metrics of the study's table: by bin, and by bin for classes that are slender."""
    by_class = [f"AP-{this}-{name}" for name in SLENDER_CLASSES[study] for this in BINS]
    return METRICS + by_class


def logged(study: str) -> dict[str, str]:
    """Return what is read of an evaluation: the table's metrics and the counts of the bins."""
    names = [*study_metrics(study), *(f"count-{this}" for this in BINS)]
    return {name: f"{TASK}/{name}" for name in names}


def run(study: str, arm: str, seed: int, args: argparse.Namespace) -> studies.Run:
    """Train one arm with one seed unless its results exist; return the last evaluation."""
    kind, options = ARMS[arm]
    folder = args.work / study / f"{studies.slug(arm.lower())}_seed{seed}"
    if not studies.last_evaluation(folder, logged(study)):
        options = ["SEED", seed, *STUDIES[study], *options, *args.opts]
        studies.train(folder, CONFIG.format(kind), options, args.threads)
    return {"arm": arm, "seed": seed, **studies.last_evaluation(folder, logged(study))}


def main() -> None:
    """Run a study and write ``benchmarks/results/slender_<study>.json``."""
    args = studies.parse_study(studies.study_parser(__doc__, "slender", STUDIES, ARMS))
    runs = studies.run_arms(run, args)
    paired = [name for name in study_metrics(args.study) if name.startswith("AP-")]
    rows = studies.table_over_seeds(runs, study_metrics(args.study), "FCOS", paired)
    studies.report(args, "slender", rows, runs)


if __name__ == "__main__":
    main()
