"""Training step of an adapted detector against the least that adaptation must cost.

    python -m benchmarks.speed.adaptation_step                 # a CPU-sized input
    python -m benchmarks.speed.adaptation_step --size 800 1344 --device cuda --amp bfloat16

Faster R-CNN, ResNet-50 with FPN, random weights. "Least" is a step of the plain detector on the
source pictures and a forward and backward of its backbone, whole, on as many target pictures.
"""

from __future__ import annotations

import argparse
import contextlib
from functools import partial
from importlib import resources
from typing import Any, Callable

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from benchmarks.report import format_table
from benchmarks.speed.options import (
    memory_parser,
    parse_speed,
    peak_of_new_process,
    random_pictures,
    report_speed,
)
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


def plain_config(file: str, device: str) -> CfgNode:
    """A config of detectron2's model zoo with random weights, ready for objectives.

    detectron2's own function for its files imports pkg_resources, which not every machine has.
    """
    cfg = base_cfg()
    cfg.merge_from_file(str(resources.files("detectron2") / "model_zoo" / "configs" / file))
    cfg.MODEL.WEIGHTS, cfg.MODEL.DEVICE = "", device
    cfg.MODEL.META_ARCHITECTURE = "AdaptiveModel"
    return cfg


def config(name: str, device: str) -> CfgNode:
    """The detector's config, adapted as the step's name says."""
    cfg = plain_config("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml", device)
    cfg.MODEL.BACKBONE.FREEZE_AT = 1
    cfg.MODEL.ADAPT.OBJECTIVES = ["StrongWeakAlignment"]
    # Small pictures leave one cell, on which batch norm fails.
    cfg.MODEL.STRONG_WEAK.GLOBAL.NORM = "GN"
    cfg.merge_from_list(STEPS[name])
    return cfg


def make_batch(args: argparse.Namespace, domain: str) -> list[dict[str, Any]]:
    """Random pictures, those of the source with eight boxes each."""
    height, width = args.size
    batch = []
    for image, generator in random_pictures(args, domain):
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
    return peak_of_new_process("benchmarks.speed.adaptation_step", name)


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
    args = parse_speed(memory_parser(__doc__, size=(192, 320), batch=1, threads=2, rounds=9))
    if args.memory_of:
        print(peak_growth(build_step(args.memory_of, args), "cpu"))
        return
    rows = compare_steps(args)
    print(format_table(rows))
    table = compare_inference(args)
    print(format_table(table))
    report_speed("adaptation_step", args, rows=rows, inference=table)


def compare_steps(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row for each training step."""
    steps = {name: build_step(name, args) for name in STEPS}
    runs = {name: partial(timed, step, args.device) for name, step in steps.items()}
    seconds = measure(runs, args.rounds)
    return [
        {
            "step": name,
            "ms": seconds[name] * 1e3,
            "x source only": seconds[name] / seconds["source only"],
            "x least": seconds[name] / seconds[LEAST],
            "peak MiB": peak_memory(name, args),
        }
        for name in STEPS
    ]


def compare_inference(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row for the prediction of each model."""
    models = {name: inference(name, args) for name in ("plain", "L+G", "L+G+context")}
    predictions = {name: partial(timed, run, args.device) for name, run in models.items()}
    predicted = measure(predictions, args.rounds)
    return [
        {"inference": name, "ms": value * 1e3, "x plain": value / predicted["plain"]}
        for name, value in predicted.items()
    ]


if __name__ == "__main__":
    main()
