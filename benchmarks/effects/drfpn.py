"""DRFPN against FPN on real pictures: same detector, schedule and seeds, only the pyramid differs.

    DETECTRON2_DATASETS=/path/to/datasets python -m benchmarks.effects.drfpn bccd --seeds 1 2 3
    DETECTRON2_DATASETS=/path/to/datasets python -m benchmarks.effects.drfpn camvid --seeds 1 2 3

Every run is a `tools/train_net.py`; finished runs are kept and not repeated.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks import studies

STUDIES: dict[str, dict[str, Any]] = {
    "bccd": {
        "config": "drfpn/bccd/faster_rcnn_mobilenetv2_{}.yaml",
        "metrics": ["bbox/AP", "bbox/AP50", "bbox/AP75"],
    },
    "camvid": {
        "config": "drfpn/camvid/semseg_mobilenetv2_{}.yaml",
        "metrics": ["sem_seg/mIoU", "sem_seg/pACC"],
    },
    # Generated streets: what a bound on the SRB's weight is for. Needs no real pictures.
    "rate": {
        "config": "drfpn/streets/faster_rcnn_mobilenetv2_{}_demo.yaml",
        "metrics": ["total_loss"],
        "options": ["SOLVER.MAX_ITER", "100", "SOLVER.STEPS", "(99,)", "DATASETS.TEST", "()"],
    },
}
ARMS: dict[str, tuple[str, list[str]]] = {
    "FPN": ("fpn", []),
    "PAFPN": ("fpn", ["MODEL.DRFPN.BOTTOM_UP_PATH", "True"]),
    "DRFPN": ("drfpn", []),
    "DRFPN, random start": ("drfpn", ["MODEL.DRFPN.INIT", "c2_xavier"]),
    "DRFPN, unbounded weight": ("drfpn", ["MODEL.DRFPN.SRB.WEIGHT_ACT", "none"]),
    "DRFPN, authors": ("drfpn", ["MODEL.DRFPN.AUTHORS_COMPAT", "True"]),
}


def run(study: str, arm: str, seed: int, args: argparse.Namespace) -> studies.Run:
    """Train one arm with one seed unless its results exist; return the last evaluation."""
    kind, options = ARMS[arm]
    folder = args.work / study / f"{studies.slug(arm.lower())}_seed{seed}"
    metrics = {name: name for name in STUDIES[study]["metrics"]}
    if not studies.last_evaluation(folder, metrics):
        options = ["SEED", seed, *STUDIES[study].get("options", []), *options, *args.opts]
        studies.train(folder, STUDIES[study]["config"].format(kind), options, args.threads)
    return {"arm": arm, "seed": seed, **studies.last_evaluation(folder, metrics)}


def main() -> None:
    """Run a study and write ``benchmarks/results/drfpn_<study>.json``."""
    parser = studies.study_parser(__doc__, "drfpn", STUDIES, ARMS, ["FPN", "DRFPN"])
    args = studies.parse_study(parser)
    runs = studies.run_arms(run, args)
    metrics = STUDIES[args.study]["metrics"]
    rows = studies.table_over_seeds(runs, metrics, "FPN", metrics[:1])
    studies.report(args, "drfpn", rows, runs)


if __name__ == "__main__":
    main()
