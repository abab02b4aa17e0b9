"""Which part for slender objects helps in which bin: same detector, schedule and seeds.

    python -m benchmarks.effects.slender streets --seeds 1 2 3
    DETECTRON2_DATASETS=/path python -m benchmarks.effects.slender coco128 --seeds 1 2 3

``streets`` trains on generated streets, whose poles, signs and barriers are slender by design;
``coco128`` trains on 128 pictures and is evaluated on 100 others, which says little about AP but
shows the bins of real shapes. Every run is a `tools/train_net.py`; finished runs are kept and not
repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.report import ROOT, format_table, write_report

CONFIG = "slender/streets/fcos_mobilenetv2_{}_small.yaml"
STUDIES: dict[str, list[str]] = {
    "streets": [],
    "coco128": [
        "DATASETS.TRAIN", "('coco128_train',)",
        "DATASETS.TEST", "('coco128_val',)",
        "MODEL.FCOS.NUM_CLASSES", "80",
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


def run(study: str, arm: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train one arm with one seed unless its results exist; return the last evaluation."""
    kind, options = ARMS[arm]
    name = arm.lower().replace(",", "").replace(" ", "_")
    folder = args.work / study / f"{name}_seed{seed}"
    if not read_metrics(folder):
        command = [
            sys.executable, "tools/train_net.py", "--config-file", CONFIG.format(kind), "--resume",
            "OUTPUT_DIR", str(folder), "SEED", str(seed), *STUDIES[study], *options, *args.opts,
        ]  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "run.log", "w") as log:
            environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
            subprocess.run(
                command, cwd=ROOT, env=environment, check=True, stdout=log, stderr=subprocess.STDOUT
            )
    return {"arm": arm, "seed": seed, **read_metrics(folder)}


def read_metrics(folder: Path) -> dict[str, float]:
    """The last evaluation of a run, empty if there is none."""
    file = folder / "metrics.json"
    if not file.exists():
        return {}
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    evaluated = [line for line in lines if f"{TASK}/AP" in line]
    if not evaluated:
        return {}
    wanted = {name: evaluated[-1][f"{TASK}/{name}"] for name in METRICS}
    counts = {f"count-{this}": evaluated[-1][f"{TASK}/count-{this}"] for this in BINS}
    times = [line["time"] for line in lines if "time" in line]
    return {**wanted, **counts, "s/iteration": statistics.median(times)}


def summarise(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds, and the difference to FCOS of each seed."""
    base = {r["seed"]: r for r in runs if r["arm"] == "FCOS"}
    rows = []
    for arm in dict.fromkeys(r["arm"] for r in runs):
        mine = [r for r in runs if r["arm"] == arm]
        row: dict[str, Any] = {"arm": arm, "seeds": len(mine)}
        for metric in METRICS:
            values = [r[metric] for r in mine]
            spread = statistics.stdev(values) if len(values) > 1 else float("nan")
            row[metric] = f"{statistics.mean(values):.2f} ± {spread:.2f}"
        for this in BINS:
            paired = [
                r[f"AP-{this}"] - base[r["seed"]][f"AP-{this}"] for r in mine if r["seed"] in base
            ]
            row[f"AP-{this} minus FCOS, by seed"] = ", ".join(f"{d:+.2f}" for d in paired)
        row["s/iteration"] = statistics.median(r["s/iteration"] for r in mine)
        rows.append(row)
    return rows


def main() -> None:
    """Run a study and write ``benchmarks/results/slender_<study>.json``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", choices=sorted(STUDIES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="threads a run")
    parser.add_argument("--work", type=Path, default=ROOT / "output" / "effects_slender")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--opts", nargs="+", default=[], help="config options, KEY VALUE")
    args = parser.parse_args()
    jobs = [(arm, seed) for seed in args.seeds for arm in args.arms]
    with ThreadPoolExecutor(args.jobs) as pool:
        runs = list(pool.map(lambda job: run(args.study, *job, args), jobs))
    rows = summarise(runs)
    print(format_table(rows))
    write_report(
        args.results / f"slender_{args.study}.json",
        {"settings": {"threads": args.threads, "opts": args.opts}, "rows": rows, "runs": runs},
    )


if __name__ == "__main__":
    main()
