"""DRFPN against FPN on real pictures: same detector, schedule and seeds, only the pyramid differs.

    DETECTRON2_DATASETS=/path/to/datasets python -m benchmarks.effects.drfpn bccd --seeds 1 2 3
    DETECTRON2_DATASETS=/path/to/datasets python -m benchmarks.effects.drfpn camvid --seeds 1 2 3

Every run is a `tools/train_net.py`; finished runs are kept and not repeated.
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


def run(study: str, arm: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train one arm with one seed unless its results exist; return the last evaluation."""
    kind, options = ARMS[arm]
    name = arm.lower().replace(", ", "_").replace(" ", "_")
    folder = args.work / study / f"{name}_seed{seed}"
    if not _read_metrics(folder, study):
        command = [
            sys.executable,
            "tools/train_net.py",
            "--config-file",
            STUDIES[study]["config"].format(kind),
        ]
        command += [
            "--resume",
            "OUTPUT_DIR",
            str(folder),
            "SEED",
            str(seed),
            *STUDIES[study].get("options", []),
            *options,
            *args.opts,
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "run.log", "w") as log:
            subprocess.run(
                command, cwd=ROOT, env=environment, check=True, stdout=log, stderr=subprocess.STDOUT
            )
    return {"arm": arm, "seed": seed, **_read_metrics(folder, study)}


def _read_metrics(folder: Path, study: str) -> dict[str, float]:
    file = folder / "metrics.json"
    if not file.exists():
        return {}
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    wanted = STUDIES[study]["metrics"]
    evaluated = [line for line in lines if wanted[0] in line]
    if not evaluated:
        return {}
    times = [line["time"] for line in lines if "time" in line]
    return {**{m: evaluated[-1][m] for m in wanted}, "s/iteration": statistics.median(times)}


def summarise(runs: list[dict[str, Any]], study: str) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds, and the paired difference to FPN."""
    rows = []
    first = STUDIES[study]["metrics"][0]
    base = {r["seed"]: r[first] for r in runs if r["arm"] == "FPN"}
    for arm in dict.fromkeys(r["arm"] for r in runs):
        mine = [r for r in runs if r["arm"] == arm]
        row: dict[str, Any] = {"pyramid": arm, "seeds": len(mine)}
        for metric in STUDIES[study]["metrics"]:
            values = [r[metric] for r in mine]
            spread = statistics.stdev(values) if len(values) > 1 else float("nan")
            row[metric] = f"{statistics.mean(values):.2f} ± {spread:.2f}"
        paired = [r[first] - base[r["seed"]] for r in mine if r["seed"] in base]
        row["minus FPN, by seed"] = ", ".join(f"{d:+.2f}" for d in paired)
        row["s/iteration"] = statistics.median(r["s/iteration"] for r in mine)
        rows.append(row)
    return rows


def main() -> None:
    """Run a study and write ``benchmarks/results/drfpn_<study>.json``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", choices=sorted(STUDIES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=["FPN", "DRFPN"])
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="threads a run")
    parser.add_argument("--work", type=Path, default=ROOT / "output" / "effects_drfpn")
    parser.add_argument("opts", nargs="*", help="further config options, KEY VALUE")
    args = parser.parse_args()
    jobs = [(arm, seed) for seed in args.seeds for arm in args.arms]
    with ThreadPoolExecutor(args.jobs) as pool:
        runs = list(pool.map(lambda job: run(args.study, *job, args), jobs))
    rows = summarise(runs, args.study)
    print(format_table(rows))
    write_report(
        ROOT / "benchmarks" / "results" / f"drfpn_{args.study}.json",
        {"settings": {"threads": args.threads, "opts": args.opts}, "rows": rows, "runs": runs},
    )


if __name__ == "__main__":
    main()
