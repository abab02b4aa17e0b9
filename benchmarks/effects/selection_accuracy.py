"""Is a segmentor better with the pictures that were selected for annotation than with random ones?

    python -m benchmarks.effects.selection_accuracy tiny --seeds 1 2 3 4 5 6 7 8
    DETECTRON2_DATASETS=/path/to/datasets python -m benchmarks.effects.selection_accuracy camvid

Each run selects by ``drfpn-da select`` (features of ImageNet's MobileNetV2; the first
picture is a random one by the seed) and trains on those labels alone. Both arms of a seed train
with the same settings and random numbers. Finished runs are kept.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks import studies
from drfpn_da.cli.main import call

STUDIES: dict[str, dict[str, Any]] = {
    # 400 generated streets of 128 x 64.
    "tiny": {
        "config": "depth_mix/streets/semseg_mobilenetv2_tiny.yaml",
        "pool": "streets_tiny_clear_train",
        "budgets": (8, 20),
        "options": ["MODEL.ADAPT.BASELINE", "source_only", "DATASETS.LABELLED.COUNT", 0],
    },
    # 367 real pictures: two drives by day, one at dusk; the test is a part of one by day.
    "camvid": {
        "config": "drfpn/camvid/semseg_mobilenetv2_fpn.yaml",
        "pool": "camvid_train",
        "budgets": (20,),
        "options": [
            *("INPUT.MIN_SIZE_TRAIN", "(120,)", "INPUT.MIN_SIZE_TEST", 120),
            *("SOLVER.MAX_ITER", 300, "SOLVER.STEPS", "(240,)", "TEST.EVAL_PERIOD", 300),
        ],
    },
}
FEATURES = "depth/streets/mobilenetv2_small.yaml"
RANDOM = "random"
ARMS = (RANDOM, "diversity")
METRICS = {"mIoU": "sem_seg/mIoU"}


def run(arm: str, budget: int, seed: int, args: argparse.Namespace) -> studies.Run:
    """Select, and train on the selection, unless its results exist; return the last evaluation."""
    study = STUDIES[args.study]
    folder = args.work / args.study / f"{arm}_{budget}_seed{seed}"
    if not studies.last_evaluation(folder, METRICS):
        selection = folder / "selected.json"
        if not selection.exists():
            words = ["--config-file", FEATURES, "--datasets", study["pool"], "--method", arm]
            words += ["--budgets", str(budget), "--seed", str(seed), "--output", str(selection)]
            call(["select", *words])
        options = ["SEED", seed, "DATASETS.LABELLED.FILE", selection, *study["options"]]
        studies.train(folder, study["config"], [*options, *args.opts], args.threads)
    return {"arm": f"{arm}, {budget}", "seed": seed, **studies.last_evaluation(folder, METRICS)}


def main() -> None:
    """Run a study and write ``benchmarks/results/selection_accuracy_<study>.json``."""
    parser = studies.study_parser(__doc__, "selection_accuracy", STUDIES, ARMS)
    args = studies.parse_study(parser)
    runs, rows = [], []
    for budget in STUDIES[args.study]["budgets"]:
        jobs = [(arm, budget, seed, args) for seed in args.seeds for arm in args.arms]
        found = studies.run_all(run, jobs, args.jobs)
        for row in studies.table_over_seeds(found, list(METRICS), f"{RANDOM}, {budget}", ["mIoU"]):
            rows.append({name.replace(f", {budget}", ""): value for name, value in row.items()})
        runs += found
    studies.report(args, "selection_accuracy", rows, runs)


if __name__ == "__main__":
    main()
