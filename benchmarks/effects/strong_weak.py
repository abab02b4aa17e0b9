"""Strong-Weak alignment against source-only and oracle, every run from one burn-in per seed.

    python -m benchmarks.effects.strong_weak fog --seeds 1 2 3 4 5
    DETECTRON2_DATASETS=/path/to/datasets python -m benchmarks.effects.strong_weak dusk

A detector is trained on labelled source pictures first (burn-in); then every arm goes on from its
weights for the same number of steps with the same source pictures in the same order, and only the
adaptation differs. Every run is a `tools/train_net.py` (with the controls of this folder
registered); finished runs are kept and not repeated.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import studies
from benchmarks.report import ROOT

Options = Sequence[Any]
STUDIES: dict[str, dict[str, Any]] = {
    # Generated streets: clear to foggy.
    "fog": {
        "config": "strong_weak/streets/faster_rcnn_mobilenetv2_fpn_mini.yaml",
        "source": "streets_small_clear_val",
        "target": "streets_small_foggy_val",
        "options": [
            *("DATASETS.TRAIN", "('streets_small_clear_train',)"),
            *("DATASETS.TARGET", "('streets_small_foggy_train',)"),
            *("DATASETS.TEST", "('streets_small_clear_val', 'streets_small_foggy_val')"),
            *("INPUT.MIN_SIZE_TRAIN", "(128,)", "INPUT.MIN_SIZE_TEST", 128),
        ],
        "burn_in": ["SOLVER.MAX_ITER", 800, "SOLVER.STEPS", "(700,)"],
        "adapt": ["SOLVER.MAX_ITER", 300, "SOLVER.STEPS", "(240,)", "SOLVER.WARMUP_ITERS", 20],
        "no shift": ["DATASETS.TARGET", "('streets_small_clear_train',)"],
    },
    # Real pictures: CamVid by day to CamVid at dusk.
    "dusk": {
        "config": "strong_weak/camvid/faster_rcnn_mobilenetv2_drfpn.yaml",
        "source": "camvid_boxes_day_val",
        "target": "camvid_boxes_dusk_val",
        "options": [
            *("INPUT.MIN_SIZE_TRAIN", "(192,)", "INPUT.MIN_SIZE_TEST", 192),
            *("MODEL.DRFPN.PPM.ENABLED", False, "MODEL.DRFPN.SRB.ENABLED", False),
            *("MODEL.DRFPN.CRB.ENABLED", False, "MODEL.DRFPN.BOTTOM_UP_PATH", False),
        ],
        "burn_in": ["SOLVER.MAX_ITER", 800, "SOLVER.STEPS", "(700,)"],
        "adapt": ["SOLVER.MAX_ITER", 200, "SOLVER.STEPS", "(160,)", "SOLVER.WARMUP_ITERS", 20],
        "no shift": ["DATASETS.TARGET", "('camvid_boxes_day_train',)"],
    },
}
_LOCAL_OFF = ("MODEL.STRONG_WEAK.LOCAL.ENABLED", False)
_GLOBAL_OFF = ("MODEL.STRONG_WEAK.GLOBAL.ENABLED", False)
_CONTEXT = ("MODEL.STRONG_WEAK.CONTEXT.ENABLED", True)
ARMS: dict[str, Options] = {
    "source only": ["MODEL.ADAPT.BASELINE", "source_only"],
    "L": _GLOBAL_OFF,
    "G": _LOCAL_OFF,
    "L+G": [],
    "L+G+context": _CONTEXT,
    "oracle": ["MODEL.ADAPT.BASELINE", "oracle"],
    # Controls, of L+G.
    "no shift": [],
    "shuffled domains": [
        *("MODEL.STRONG_WEAK.LOCAL.DISCRIMINATOR", "ShuffledLocalDiscriminator"),
        *("MODEL.STRONG_WEAK.GLOBAL.DISCRIMINATOR", "ShuffledGlobalDiscriminator"),
    ],
    "no reversal": ["MODEL.STRONG_WEAK.GRL.COEFFICIENT", -1.0],
}
MAIN_ARMS = ["source only", "L", "G", "L+G", "L+G+context", "oracle"]
# The controls run with so many of the seeds.
CONTROL_SEEDS = 2
METRICS = ("AP50", "AP")


def train(folder: Path, study: str, seed: int, options: Options, args: argparse.Namespace) -> None:
    """Run one training unless its final evaluation is in ``folder``."""
    if not read_metrics(folder, study):
        options = ["SEED", seed, "TEST.EVAL_PERIOD", 0, "SOLVER.CHECKPOINT_PERIOD", 1000000,
                   *STUDIES[study]["options"], *options]  # fmt: skip
        command = ("-m", "benchmarks.effects.domain_controls")
        studies.train(folder, STUDIES[study]["config"], options, args.threads, command)


def burn_in(study: str, seed: int, args: argparse.Namespace) -> None:
    """Train the detector that every arm of a seed starts from."""
    options = [*ARMS["source only"], *STUDIES[study]["burn_in"]]
    train(args.work / study / f"burn_in_seed{seed}", study, seed, options, args)


def run(study: str, arm: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train one arm with one seed from the burn-in's weights; return the last evaluation."""
    folder = args.work / study / f"{studies.slug(arm)}_seed{seed}"
    weights = args.work / study / f"burn_in_seed{seed}" / "model_final.pth"
    options = ["MODEL.WEIGHTS", weights, *STUDIES[study]["adapt"], *ARMS[arm]]
    options += STUDIES[study].get(arm, [])
    train(folder, study, seed, [*options, *args.opts], args)
    return {"arm": arm, "seed": seed, **read_metrics(folder, study)}


def read_metrics(folder: Path, study: str) -> dict[str, float]:
    """Return the last evaluation, the speed, and what the discriminators did at the end."""
    names = {
        f"{domain} {metric}": f"{STUDIES[study][domain]}/bbox/{metric}"
        for domain in ("target", "source")
        for metric in METRICS
    }
    result = studies.last_evaluation(folder, names)
    lines = studies.read_lines(folder)
    for key in lines[-2] if result and len(lines) > 1 else ():
        if "/accuracy_" in key:
            values = [line[key] for line in lines[len(lines) // 2 :] if key in line]
            result[key.split("/")[1]] = statistics.mean(values)
    return result


def summarise(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds, and the paired difference to source only."""
    metrics = [f"{domain} {metric}" for domain in ("target", "source") for metric in METRICS]
    return studies.table_over_seeds(runs, metrics, "source only", ["target AP50"])


def plot(runs: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the AP50 of both domains, every seed a line from arm to arm."""
    from matplotlib.figure import Figure

    arms = MAIN_ARMS
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, domain in zip(figure.subplots(1, 2), ("target", "source")):
        for seed in dict.fromkeys(r["seed"] for r in runs):
            mine = {r["arm"]: r[f"{domain} AP50"] for r in runs if r["seed"] == seed}
            axes.plot(
                arms, [mine.get(arm) for arm in arms], marker="o", lw=0.8, label=f"seed {seed}"
            )
        axes.set_title(f"{domain} domain, AP50")
        axes.tick_params(axis="x", rotation=30)
        axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run a study; write ``benchmarks/results/strong_weak_<study>.json`` and a plot in ``docs``."""
    parser = studies.study_parser(
        __doc__, "strong_weak", STUDIES, ARMS, MAIN_ARMS, seeds=[1, 2, 3, 4, 5]
    )
    args = studies.parse_study(parser)
    studies.run_all(burn_in, [(args.study, seed, args) for seed in args.seeds], args.jobs)
    jobs = [
        (args.study, arm, seed, args)
        for index, seed in enumerate(args.seeds)
        for arm in args.arms
        if arm in MAIN_ARMS or index < CONTROL_SEEDS
    ]
    runs = studies.run_all(run, jobs, args.jobs)
    studies.report(args, "strong_weak", summarise(runs), runs, **STUDIES[args.study])
    if set(args.arms) >= set(MAIN_ARMS):
        plot(runs, ROOT / "docs" / f"strong_weak_{args.study}.png")


if __name__ == "__main__":
    main()
