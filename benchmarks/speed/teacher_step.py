"""What the teacher costs: a step of self-training against the same step with its labels given.

    python -m benchmarks.speed.teacher_step                 # a CPU-sized input
    python -m benchmarks.speed.teacher_step --size 800 1344 --device cuda

"Labels given" is the plain detector's training step on the source pictures and on the strong views
of as many target pictures, whose boxes are there already: forward and backward, without teacher,
its inference and its average. Faster R-CNN, ResNet-50 with FPN, random weights; those of
the last layer are scaled so that scores are spread and some become labels. SemanticSegmentor:
Semantic FPN on the same backbone. On a CPU the time is that of the process, of which other
processes take nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from torch import nn

from benchmarks.report import format_table
from benchmarks.speed.options import parse_speed, report_speed, speed_parser
from benchmarks.timing import computed, measure

from .adaptation_step import make_batch, plain_config

_NODE = "MODEL.PSEUDO_LABEL"
_SAFEGUARDS = (
    *(f"{_NODE}.SOFT", True, f"{_NODE}.ADAPTIVE.ENABLED", True),
    *(f"{_NODE}.ADAPTIVE.FLOOR", 0.1),
    *(f"{_NODE}.PRIOR.WEIGHT", 0.2, f"{_NODE}.ENTROPY_WEIGHT", 0.02),
)
_RELIABLE = (f"{_NODE}.BOX_REGRESSION", "reliable")
_MIXUP = (f"{_NODE}.MIXUP_ALPHA", 4.0)
GIVEN = "labels given"
#: Detector -> its config in detectron2's model zoo, and the steps that are compared.
DETECTORS: dict[str, tuple[str, dict[str, tuple[Any, ...]]]] = {
    "GeneralizedRCNN": (
        "COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml",
        {"hard": (), "safeguards": _SAFEGUARDS, "safeguards, reliable": _SAFEGUARDS + _RELIABLE},
    ),
    "SemanticSegmentor": (
        "COCO-PanopticSegmentation/panoptic_fpn_R_50_1x.yaml",
        {"soft": (f"{_NODE}.SOFT", True), "safeguards": _SAFEGUARDS + _MIXUP},
    ),
}
#: By which the last layer's random weights are multiplied.
SPREAD = 20.0


def config(detector: str, options: tuple[Any, ...] | None, device: str) -> CfgNode:
    """The config of a detector that a teacher teaches; of the plain one with options None."""
    cfg = plain_config(DETECTORS[detector][0], device)
    cfg.MODEL.ADAPT.DETECTOR = detector
    if options is not None:
        dense = detector == "SemanticSegmentor"
        cfg.MODEL.ADAPT.OBJECTIVES = ["DensePseudoLabel" if dense else "PseudoLabel"]
        cfg.MODEL.PSEUDO_LABEL.THRESHOLD = 0.2
        cfg.merge_from_list(list(options))
    return cfg


def pictures(args: argparse.Namespace, labelled: bool) -> list[dict[str, Any]]:
    """Source and target pictures; those of the target with labels, or with two views."""
    source, target = make_batch(args, "source"), make_batch(args, "target")
    for one in source:
        one["sem_seg"] = torch.randint(0, 50, tuple(args.size))
    if labelled:
        given = [{**s, "image": t["image"]} for s, t in zip(source, target)]
        return [*source, *given]
    for one in target:
        one["views"] = {"weak": one["image"], "strong": one["image"].flip(0)}
    return [*source, *target]


def build_step(
    detector: str, options: tuple[Any, ...] | None, args: argparse.Namespace
) -> tuple[Callable[[], None], dict[str, float]]:
    """Return one forward and backward, and where it leaves what it logs."""
    torch.manual_seed(0)
    model = build_model(config(detector, options, args.device)).train()
    if detector == "GeneralizedRCNN":
        plain = [model.detector, *([model.teacher.detector] if model.teacher else [])]
        for one in plain:
            scale(one.roi_heads.box_predictor.cls_score)
    batch = pictures(args, labelled=options is None)
    half = len(batch) // 2
    logged: dict[str, float] = {}

    def step() -> None:
        model.zero_grad()
        # Not the first iteration, in which the teacher is copied instead of averaged.
        with EventStorage(1) as storage:
            if options is None:
                # Two passes, as with a teacher.
                passes = [model.detector(part) for part in (batch[:half], batch[half:])]
                total = sum(sum(losses.values()) for losses in passes)
            else:
                total = sum(model(batch).values())
            logged.update({key: value for key, (value, _) in storage.latest().items()})
        total.backward()

    return step, logged


@torch.no_grad()
def scale(layer: nn.Module) -> None:
    """Spread the scores of a random last layer."""
    layer.weight.mul_(SPREAD)  # type: ignore[operator,union-attr]


def compare(detector: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row for each step of a detector."""
    options = {GIVEN: None, **DETECTORS[detector][1]}
    built = {name: build_step(detector, chosen, args) for name, chosen in options.items()}
    runs = {name: partial(computed, step, args.device) for name, (step, _) in built.items()}
    found = measure(runs, args.rounds)
    boxes = "pseudo_label/boxes_per_picture"
    return [
        {
            "detector": detector,
            "step": name,
            "ms": found[name] * 1e3,
            "x labels given": found[name] / found[GIVEN],
            "labels a picture": built[name][1].get(boxes, float("nan")),
        }
        for name in built
    ]


def main() -> None:
    """Measure and write ``benchmarks/results/teacher_step_<device>.json``."""
    parser = speed_parser(__doc__, size=(192, 320), batch=2, threads=1, rounds=9)
    parser.add_argument("--detectors", nargs="+", default=list(DETECTORS), choices=DETECTORS)
    args = parse_speed(parser)
    rows = [row for detector in args.detectors for row in compare(detector, args)]
    print(format_table(rows))
    report_speed("teacher_step", args, rows=rows)


if __name__ == "__main__":
    main()
