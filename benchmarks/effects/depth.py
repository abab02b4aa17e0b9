"""Depth learnt from generated street sequences, against planes and without its parts.

    python -m benchmarks.effects.depth streets --seeds 1 2 3

Trained on ``streets_small_clear_sequences`` without any depth, evaluated by the true disparity of
those frames and of the pictures of ``streets_small_clear_val``, which are not in sequences. The
arms "constant depth" and "ground plane" learn nothing: depth 1 everywhere, and the depth of a flat
road below the horizon of the intrinsics. All are scaled to the true median of each picture. Every
run is a `tools/train_net.py`; finished runs are kept and not repeated.
"""

from __future__ import annotations

from typing import Any

import torch
from detectron2.data import DatasetCatalog
from torch import Tensor

import drfpn_da  # noqa: F401  registers the data sets
from benchmarks import studies
from drfpn_da.evaluation import DepthEvaluator

CONFIG = "depth/streets/mobilenetv2_small.yaml"
SETS = ("streets_small_clear_sequences", "streets_small_clear_val")
STUDIES = {"streets": ["DATASETS.TEST", str(SETS)]}
ARMS: dict[str, list[Any]] = {
    "self-supervised": [],
    "without auto-mask": ["MODEL.DEPTH.AUTO_MASK", False],
    "without smoothness": ["MODEL.DEPTH.SMOOTHNESS_WEIGHT", 0.0],
    "one scale": ["MODEL.DEPTH.SCALES", 1],
}
PLANES = ("constant depth", "ground plane")
METRICS = ("AbsRel", "RMSElog", "delta1", "RankCorrelation")
LOGGED = {f"{name} {metric}": f"{name}/depth/{metric}" for name in SETS for metric in METRICS}


def plane_depth(kind: str, record: dict[str, Any]) -> Tensor:
    """Return the (H, W) depth of a plane in some unit."""
    height, width = record["height"], record["width"]
    if kind == "constant depth":
        return torch.ones(height, width)
    below = torch.arange(height, dtype=torch.float32) - record["intrinsics"][1][2]
    return (1 / below.clamp(min=1)).unsqueeze(1).expand(height, width)


def measure_plane(kind: str) -> studies.Run:
    """Evaluate a plane as a network is evaluated."""
    result: studies.Run = {"arm": kind, "seed": 0, "s/iteration": 0.0}
    for name in SETS:
        evaluator = DepthEvaluator(name, distributed=False)
        for record in DatasetCatalog.get(name):
            evaluator.process([record], [{"depth": plane_depth(kind, record)}])
        scores = evaluator.evaluate()["depth"]  # type: ignore[index]
        result.update({f"{name} {metric}": scores[metric] for metric in METRICS})
    return result


def run(study: str, arm: str, seed: int, args: Any) -> studies.Run:
    """Train one arm with one seed unless its results exist; return the last evaluation."""
    folder = args.work / study / f"{studies.slug(arm)}_seed{seed}"
    if not studies.last_evaluation(folder, LOGGED):
        options = ["SEED", seed, *STUDIES[study], *ARMS[arm], *args.opts]
        studies.train(folder, CONFIG, options, args.threads)
    return {"arm": arm, "seed": seed, **studies.last_evaluation(folder, LOGGED)}


def main() -> None:
    """Run the study and write ``benchmarks/results/depth_<study>.json``."""
    args = studies.parse_study(studies.study_parser(__doc__, "depth", STUDIES, ARMS))
    runs = [measure_plane(kind) for kind in PLANES] + studies.run_arms(run, args)
    paired = [f"{name} RankCorrelation" for name in SETS]
    rows = studies.table_over_seeds(runs, list(LOGGED), "self-supervised", paired)
    studies.report(args, "depth", rows, runs)


if __name__ == "__main__":
    main()
