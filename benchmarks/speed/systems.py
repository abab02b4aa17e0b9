"""Every system in one table: what a picture costs to load, to train on and to look at.

    python -m benchmarks.speed.systems
    python -m benchmarks.speed.systems --systems "DepthMix" --profile    # where the time goes

The shipped configs for generated streets with their own numbers of pictures a step, random weights.
"load" is making the batch of an iteration in the training process: reading, geometry and views.
"step" is forward, backward and optimiser on batches that are there already. "inference" is one test
picture. "generator" is drawing and writing one foggy street. On a CPU all are processor time.
"""

from __future__ import annotations

import argparse
import cProfile
import itertools
import pstats
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage

from benchmarks.report import format_table
from benchmarks.speed.options import parse_speed, report_speed, speed_parser
from benchmarks.timing import computed, measure
from drfpn_da import model_zoo
from drfpn_da.data.synthetic import SIZES, write_split
from drfpn_da.engine import Trainer

#: System -> shipped config.
SYSTEMS = {
    "Faster R-CNN, FPN": "pseudo_label/streets/faster_rcnn_mobilenetv2_fpn_mini.yaml",
    "Faster R-CNN, DRFPN": "drfpn/streets/faster_rcnn_mobilenetv2_drfpn_mini.yaml",
    "Mask R-CNN, DRFPN": "drfpn/streets/mask_rcnn_mobilenetv2_drfpn_mini.yaml",
    "RetinaNet, DRFPN": "drfpn/streets/retinanet_mobilenetv2_drfpn_mini.yaml",
    "FCOS": "slender/streets/fcos_mobilenetv2_fpn_small.yaml",
    "FCOS, slender parts": "slender/streets/fcos_mobilenetv2_fpn_slender_small.yaml",
    "SCN": "scn/streets/faster_rcnn_mobilenetv2_fpn_mini.yaml",
    "Strong-Weak": "strong_weak/streets/faster_rcnn_mobilenetv2_fpn_mini.yaml",
    "PseudoLabel": "pseudo_label/streets/faster_rcnn_mobilenetv2_fpn_mini.yaml",
    "all in one, detection": "all_in_one/streets/faster_rcnn_mobilenetv2_drfpn_mini.yaml",
    "Semantic FPN": "depth_mix/streets/semseg_mobilenetv2_mini.yaml",
    "DepthMix": "depth_mix/streets/semseg_mobilenetv2_mini.yaml",
    "dense pseudo-labels": "pseudo_label/streets/semseg_mobilenetv2_mini.yaml",
    "multi-task": "depth_mix/streets/multi_task_mobilenetv2_mini.yaml",
    "depth from video": "depth/streets/mobilenetv2_mini.yaml",
    "all in one, segmentation": "all_in_one/streets/semseg_mobilenetv2_drfpn_mini.yaml",
}
#: Rows that are the same config with its objectives off.
SOURCE_ONLY = ("Faster R-CNN, FPN", "Semantic FPN")
#: Keys of objectives that would wait for a later iteration.
START_KEYS = ("STRONG_WEAK", "PSEUDO_LABEL", "DEPTH_MIX", "TEACHER")


def config(system: str, args: argparse.Namespace, folder: str) -> CfgNode:
    """The shipped config of a system, made ready; without its objectives for a plain one."""
    cfg = prepared(SYSTEMS[system], args, folder)
    if system in SOURCE_ONLY:
        cfg.MODEL.ADAPT.BASELINE = "source_only"
    return cfg


def prepared(name: str, args: argparse.Namespace, folder: str) -> CfgNode:
    """The shipped config at the asked size, every objective at work from the first iteration on."""
    cfg = model_zoo.get_config(name)
    cfg.defrost()
    cfg.OUTPUT_DIR, cfg.SEED = folder, 1
    cfg.MODEL.WEIGHTS, cfg.MODEL.DEVICE = "", args.device
    cfg.DATALOADER.NUM_WORKERS = 0
    height, width = args.size
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = (height,), height
    cfg.INPUT.MAX_SIZE_TRAIN = cfg.INPUT.MAX_SIZE_TEST = width
    for key in START_KEYS:
        if "START_ITER" in cfg.MODEL[key]:
            cfg.MODEL[key].START_ITER = 0
    return cfg


class Bench:
    """One system, built: its loading, step and inference as functions without arguments."""

    def __init__(self, cfg: CfgNode) -> None:
        self.trainer = Trainer(cfg)
        self._loader = iter(self.trainer.data_loader)
        self.batches = [next(self._loader) for _ in range(2)]
        self._turns = itertools.cycle(self.batches)
        self._picture = next(iter(Trainer.build_test_loader(cfg, cfg.DATASETS.TEST[0])))
        self.pictures = len(self.batches[0])

    def load(self) -> None:
        """Make one batch."""
        next(self._loader)

    def step(self) -> None:
        """Forward, backward and optimiser."""
        model, optimizer = self.trainer.model.train(), self.trainer.optimizer
        # Not the first iteration, in which a teacher is copied instead of averaged.
        with EventStorage(1):
            losses = model(next(self._turns))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()

    @torch.no_grad()
    def inference(self) -> None:
        """Look at one picture."""
        self.trainer.model.eval()(self._picture)


def measure_system(system: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return a row of the table; with ``--profile`` print where its time goes."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(config(system, args, folder))
        runs: dict[str, Callable[[], None]] = {
            "load": bench.load,
            "step": bench.step,
            "inference": bench.inference,
        }
        found = measure(
            {k: partial(computed, run, args.device) for k, run in runs.items()}, args.rounds
        )
        if args.profile:
            for name, run in runs.items():
                print(f"== {system}: {name}")
                profile(run)
    return {
        "system": system,
        "pictures a step": bench.pictures,
        **{f"{name}, ms": found[name] * 1e3 for name in runs},
    }


def profile(run: Callable[[], None], calls: int = 5) -> None:
    """Print the functions that take the most time themselves."""
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(calls):
        run()
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def generator_ms() -> float:
    """Return the milliseconds of drawing and writing one foggy street with all its labels."""
    size, split = "mini", "val"
    with tempfile.TemporaryDirectory() as folder:
        write = partial(write_split, Path(folder), size, "foggy", split)
        return computed(write) / getattr(SIZES[size], split) * 1e3


def main() -> None:
    """Measure and write ``benchmarks/results/systems_<device>.json``."""
    parser = speed_parser(__doc__, size=(128, 256), threads=1, rounds=5)
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=SYSTEMS)
    parser.add_argument("--profile", action="store_true", help="print what takes the time")
    args = parse_speed(parser)
    rows = [measure_system(system, args) for system in args.systems]
    print(format_table(rows))
    report_speed("systems", args, rows=rows, **{"generator, ms": generator_ms()})


if __name__ == "__main__":
    main()
