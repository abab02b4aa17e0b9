"""A long run of nearly everything at once: does memory grow, do steps slow down?

    python -m benchmarks.soak --iterations 2000

The config with DRFPN, alignment, self-training with a mean teacher and relabelling
(``all_in_one/streets``) trains on the smallest generated pictures, 64 by 128, with checkpoints.
Every ten iterations the memory of the process is read. The slope is that of the straight line
through the last three quarters, where caches are warm; its error is that of the line's fit.
``storage`` is what detectron2's record of past scalars holds of it, by counting.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase

from benchmarks.report import RESULTS, plain_parser, write_report
from drfpn_da import model_zoo
from drfpn_da.engine import Trainer

CONFIG = "all_in_one/streets/faster_rcnn_mobilenetv2_drfpn_mini.yaml"
EVERY = 10


class MemoryCurve(HookBase):
    """Notes memory and time every ten iterations."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, float, float]] = []
        self.storage_mib = 0.0

    def after_step(self) -> None:
        """Note (iterations done, MiB of this process, seconds)."""
        done = self.trainer.iter + 1
        if done % EVERY == 0:
            self.rows.append((done, resident_mib(), time.perf_counter()))
            if done % 500 == 0:
                print(f"{done} iterations, {self.rows[-1][1]:.0f} MiB", flush=True)

    def after_train(self) -> None:
        """Count what the histories of scalars hold."""
        histories = self.trainer.storage.histories().values()
        self.storage_mib = sum(_size(history.values()) for history in histories) / 2**20


def resident_mib() -> float:
    """Memory of this process that is in use."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def _size(values: list[tuple[float, int]]) -> int:
    own = sum(sys.getsizeof(pair) + sum(map(sys.getsizeof, pair)) for pair in values)
    return own + sys.getsizeof(values)


def soak_cfg(iterations: int, folder: str) -> CfgNode:
    """The config, with the smallest pictures and batches, everything at work early."""
    cfg: Any = model_zoo.get_config(CONFIG)
    cfg.merge_from_list(
        [
            *("MODEL.WEIGHTS", "", "MODEL.MOBILENETV2.NORM", "BN", "MODEL.FPN.OUT_CHANNELS", 32),
            *("MODEL.TEACHER.START_ITER", 20, "MODEL.PSEUDO_LABEL.START_ITER", 20),
            *("MODEL.PSEUDO_LABEL.THRESHOLD", 0.3, "MODEL.PSEUDO_LABEL.ADAPTIVE.FLOOR", 0.0),
            *("INPUT.MIN_SIZE_TRAIN", (64,), "INPUT.MAX_SIZE_TRAIN", 128),
            *("SCN_RELABEL.START_FRACTION", 0.05, "SCN_RELABEL.STOP_FRACTION", 1.0),
            *("SOLVER.IMS_PER_BATCH", 2, "SOLVER.TARGET_IMS_PER_BATCH", 1),
            *("SOLVER.BASE_LR", 0.002, "SOLVER.STEPS", (), "SOLVER.MAX_ITER", iterations),
            *("SOLVER.CHECKPOINT_PERIOD", 500, "DATASETS.TEST", (), "TEST.EVAL_PERIOD", 0),
            *("DATALOADER.NUM_WORKERS", 0, "VIS_PERIOD", 0, "TEST.BEST_METRIC", ""),
            *("SEED", 1, "MODEL.DEVICE", "cpu", "OUTPUT_DIR", folder),
        ]
    )
    return cfg


def straight_line(rows: np.ndarray) -> tuple[float, float]:
    """Return slope and its standard error of (x, y) rows, by least squares."""
    (slope, _), covariance = np.polyfit(rows[:, 0], rows[:, 1], 1, cov=True)
    return float(slope), float(np.sqrt(covariance[0, 0]))


def main() -> None:
    """Run, and write ``benchmarks/results/soak.json``."""
    parser = plain_parser(__doc__)
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--output", type=Path, default=RESULTS / "soak.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    curve = MemoryCurve()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(soak_cfg(args.iterations, folder))
        trainer.register_hooks([curve])
        trainer.train()
    rows = np.array(curve.rows)
    warm = rows[rows[:, 0] > args.iterations / 4]
    slope, error = straight_line(warm[:, :2])
    seconds = np.diff(rows[:, 2]) / EVERY
    quarter = max(1, len(seconds) // 4)
    result = {
        "config": CONFIG,
        "iterations": args.iterations,
        "slope_kib_per_iteration": round(slope * 1024, 3),
        "slope_error": round(error * 1024, 3),
        "storage_kib_per_iteration": round(curve.storage_mib * 1024 / args.iterations, 3),
        "first_mib": round(warm[0, 1], 1),
        "last_mib": round(warm[-1, 1], 1),
        "seconds_per_iteration_second_quarter": round(
            float(np.median(seconds[quarter : 2 * quarter])), 4
        ),
        "seconds_per_iteration_last_quarter": round(float(np.median(seconds[-quarter:])), 4),
        "curve": [[int(n), round(mib, 1)] for n, mib, _ in curve.rows],
    }
    write_report(args.output, result)
    print({key: value for key, value in result.items() if key != "curve"})


if __name__ == "__main__":
    main()
