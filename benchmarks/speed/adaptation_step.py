"""Training step of an adapted detector against the least that adaptation must cost.

    python -m benchmarks.speed.adaptation_step                 # a CPU-sized input
    python -m benchmarks.speed.adaptation_step --size 800 1344 --device cuda --amp bfloat16

Faster R-CNN, ResNet-50 with FPN, random weights. "Least" is a step of the plain detector on the
source pictures and a forward and backward of its backbone, whole, on as many target pictures.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any, Callable

import torch
from detectron2 import model_zoo
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from benchmarks.report import format_table, write_report
from benchmarks.timing import measure, peak_growth, timed
from drfpn_da.config.setup import base_cfg
from drfpn_da.modeling.meta_arch.adaptive import preprocess

_LOCAL_OFF = ["MODEL.STRONG_WEAK.LOCAL.ENABLED", False]
_GLOBAL_OFF = ["MODEL.STRONG_WEAK.GLOBAL.ENABLED", False]
LEAST = "source step + target backbone"
STEPS: dict[str, list[Any]] = {
    "source only": ["MODEL.ADAPT.OBJECTIVES", []],
    LEAST: ["MODEL.ADAPT.OBJECTIVES", []],
    "L": _GLOBAL_OFF,
    "G": _LOCAL_OFF,
    "L+G": [],
    "L+G+context": ["MODEL.STRONG_WEAK.CONTEXT.ENABLED", True],
    "L+G+teacher": ["MODEL.TEACHER.ENABLED", True],
}


def config(name: str, device: str) -> CfgNode:
    """The detector's config, adapted as the step's name says."""
    cfg = base_cfg()
    cfg.merge_from_file(model_zoo.get_config_file("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"))
    cfg.MODEL.WEIGHTS, cfg.MODEL.DEVICE = "", device
    cfg.MODEL.BACKBONE.FREEZE_AT = 1
    cfg.MODEL.META_ARCHITECTURE = "AdaptiveModel"
    cfg.MODEL.ADAPT.OBJECTIVES = ["StrongWeakAlignment"]
    # Small pictures leave one cell, on which batch norm fails.
    cfg.MODEL.STRONG_WEAK.GLOBAL.NORM = "GN"
    cfg.merge_from_list(STEPS[name])
    return cfg


def make_batch(args: argparse.Namespace, domain: str) -> list[dict[str, Any]]:
    """Random pictures, those of the source with eight boxes each."""
    generator = torch.Generator().manual_seed(len(domain))
    height, width = args.size
    batch = []
    for _ in range(args.batch):
        size = (3, height, width)
        image = torch.randint(0, 255, size, generator=generator, dtype=torch.uint8)
        corner = torch.rand(8, 2, generator=generator) * torch.tensor([width, height]) * 0.7
        instances = Instances((height, width))
        instances.gt_boxes = Boxes(torch.cat([corner, corner + min(args.size) * 0.25], 1))
        instances.gt_classes = torch.randint(0, 80, (8,), generator=generator)
        labels = {"instances": instances} if domain == "source" else {}
        batch.append({"image": image, "domain": domain, **labels})
    return batch


def build_step(name: str, args: argparse.Namespace) -> Callable[[], None]:
    """One forward and backward, as a function."""
    torch.manual_seed(0)
    model = build_model(config(name, args.device)).train()
    source, target = make_batch(args, "source"), make_batch(args, "target")
    amp: contextlib.AbstractContextManager = contextlib.nullcontext()
    if args.amp:
        amp = torch.autocast(args.device, dtype=getattr(torch, args.amp))
    adapts = bool(model.objectives)

    def step() -> None:
        model.zero_grad()
        with EventStorage(1), amp:
            losses = model([*source, *target] if adapts else source)
            total = sum(losses.values())
            if name == LEAST:
                images = preprocess(model.detector, target).tensor
                total = total + sum(x.mean() for x in model.detector.backbone(images).values())
        total.backward()

    return step


def peak_memory(name: str, args: argparse.Namespace) -> float:
    """MiB that one step needs above the model."""
    if args.device == "cuda":
        step = build_step(name, args)
        step()
        return peak_growth(step, "cuda")
    # The peak of a process never falls: each step needs its own.
    command = [sys.executable, "-m", "benchmarks.speed.adaptation_step", *sys.argv[1:]]
    command += ["--memory-of", name]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def inference(name: str, args: argparse.Namespace) -> Callable[[], None]:
    """Prediction on the source pictures: of the plain detector for "plain", else of the model."""
    model = build_model(config("L+G" if name == "plain" else name, args.device)).eval()
    model = model.detector if name == "plain" else model
    batch = make_batch(args, "source")

    def predict() -> None:
        with torch.no_grad():
            model(batch)

    return predict


def main() -> None:
    """Measure and write ``benchmarks/results/adaptation_step_<device>.json``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--size", type=int, nargs=2, default=[192, 320], metavar=("HEIGHT", "WIDTH")
    )
    parser.add_argument("--batch", type=int, default=1, help="pictures of each domain")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--amp", choices=["float16", "bfloat16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.memory_of:
        print(peak_growth(build_step(args.memory_of, args), "cpu"))
        return
    steps = {name: build_step(name, args) for name in STEPS}
    runs = {name: partial(timed, step, args.device) for name, step in steps.items()}
    seconds = measure(runs, args.rounds)
    rows = [
        {
            "step": name,
            "ms": seconds[name] * 1e3,
            "x source only": seconds[name] / seconds["source only"],
            "x least": seconds[name] / seconds[LEAST],
            "peak MiB": peak_memory(name, args),
        }
        for name in STEPS
    ]
    print(format_table(rows))
    del steps, runs
    models = {name: inference(name, args) for name in ("plain", "L+G", "L+G+context")}
    predictions = {name: partial(timed, run, args.device) for name, run in models.items()}
    predicted = measure(predictions, args.rounds)
    table = [
        {"inference": name, "ms": value * 1e3, "x plain": value / predicted["plain"]}
        for name, value in predicted.items()
    ]
    print(format_table(table))
    settings = {k: v for k, v in vars(args).items() if k not in ("output", "memory_of")}
    default = Path(__file__).parents[1] / "results" / f"adaptation_step_{args.device}.json"
    write_report(args.output or default, {"settings": settings, "rows": rows, "inference": table})


if __name__ == "__main__":
    main()
