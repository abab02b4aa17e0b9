"""Running trainings side by side, and reading what they left."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from detectron2.config import CfgNode

from ...config import setup_cfg
from ...visualization import curve, read_metrics
from .plan import Training

# Between two lines of progress, seconds.
REPORT = 15


class Run:
    """A finished training, read from its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records = read_metrics(folder / "metrics.json")

    @property
    def cfg(self) -> CfgNode:
        """Its config, with the weights it ended with."""
        args = argparse.Namespace(config_file=str(self.folder / "config.yaml"), opts=[])
        cfg = setup_cfg(args)
        cfg.defrost()
        cfg.MODEL.WEIGHTS = str(self.folder / "model_final.pth")
        return cfg

    def final(self, key: str) -> float:
        """The last value of a metric, NaN if there is none."""
        values = curve(self.records, key)[1]
        return float(values[-1]) if len(values) else float("nan")


def train_all(trainings: Sequence[Training], folder: Path, workers: int) -> None:
    """Run all trainings, so many at once, each when the one that it needs is done.

    Raises:
        RuntimeError: one failed; with the end of what it said.
    """
    threads = max(1, (os.cpu_count() or 1) // workers)
    waiting = list(trainings)
    done: set[str] = set()
    running: dict[Future, str] = {}
    with ThreadPoolExecutor(workers) as pool:
        while waiting or running:
            for training in [t for t in waiting if t.needs is None or t.needs in done]:
                waiting.remove(training)
                running[pool.submit(train, training, folder, threads)] = training.name
            finished, _ = wait(running, timeout=REPORT, return_when=FIRST_COMPLETED)
            for job in finished:
                name = running.pop(job)
                # Those that have not begun need not, if this one failed.
                if job.exception():
                    pool.shutdown(wait=False, cancel_futures=True)
                print(f"{name}: done in {job.result():.0f} s", flush=True)
                done.add(name)
            if not finished:
                print("  ".join(progress(name, folder / name) for name in running.values()),
                      flush=True)  # fmt: skip


def train(training: Training, folder: Path, threads: int) -> float:
    """Run one training, with all it says in ``console.txt`` of its folder; return its seconds."""
    place = folder / training.name
    place.mkdir(parents=True)
    started = time.perf_counter()
    command = [sys.executable, "-m", "drfpn_da", "train", "--config-file", training.config]
    command += [*training.options, "OUTPUT_DIR", str(place)]
    # Two processes of one thread make more of two cores than one process of two threads.
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    console = place / "console.txt"
    with open(console, "w") as file:
        code = subprocess.run(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False
        ).returncode
    if code:
        end = "\n".join(console.read_text(errors="replace").splitlines()[-15:])
        raise RuntimeError(f"The training '{training.name}' failed ({console}):\n{end}")
    return time.perf_counter() - started


def progress(name: str, run_folder: Path) -> str:
    """Return one run's last iteration and loss."""
    path = run_folder / "metrics.json"
    records = read_metrics(path) if path.exists() else []
    iterations, losses = curve(records, "total_loss")
    if not len(losses):
        return f"{name}: {'starting' if run_folder.exists() else 'waiting'}"
    return f"{name}: iteration {iterations[-1] + 1:4d}, loss {losses[-1]:.3f}"
