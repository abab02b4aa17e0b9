"""Training step of DepthMix against that of ClassMix, and what mixing itself costs.

    python -m benchmarks.speed.mixing                        # a CPU-sized input
    python -m benchmarks.speed.mixing --size 512 512 --device cuda

SemanticSegmentor, ResNet-50 with FPN, random weights, as many labelled as other pictures, disparity
from files. All steps alternate in one process; on a CPU its processor time is taken. "Mixing" is
what DepthMix adds to a step without a mix: normalised disparity, masks, and the mixed pictures,
labels and confidence.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any, Callable

import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from torch import nn

from benchmarks.report import format_table
from benchmarks.speed.options import parse_speed, random_pictures, report_speed, speed_parser
from benchmarks.timing import computed, measure
from drfpn_da.config.setup import base_cfg
from drfpn_da.functional import (
    class_masks,
    confine_masks,
    depth_masks,
    mix_with_next,
    normalize_disparity,
)

STEPS: dict[str, list[Any]] = {
    "supervised": ["MODEL.ADAPT.BASELINE", "source_only"],
    "no mix": ["MODEL.DEPTH_MIX.MASK", "none"],
    "ClassMix": ["MODEL.DEPTH_MIX.MASK", "class"],
    "DepthMix": [],
}
Batch = list[dict[str, Any]]


def build(name: str, device: str) -> nn.Module:
    """The segmentor of a step."""
    cfg = base_cfg()
    cfg.MODEL.WEIGHTS, cfg.MODEL.DEVICE = "", device
    cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 19
    cfg.MODEL.META_ARCHITECTURE = "DepthMixSegmentor"
    cfg.merge_from_list(STEPS[name])
    torch.manual_seed(0)
    return build_model(cfg).train()


def make_batch(args: argparse.Namespace, domain: str) -> Batch:
    """Random pictures, with labels or with disparity."""
    height, width = args.size
    batch = []
    for image, generator in random_pictures(args, domain):
        extra = (
            {"sem_seg": torch.randint(0, 19, (height, width), generator=generator)}
            if domain == "source"
            else {"disparity": torch.rand(height, width, generator=generator)}
        )
        batch.append({"image": image, "domain": domain, **extra})
    return batch


def train_step(model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer) -> None:
    """One step of training."""
    with EventStorage(1):
        losses = model(batch)
    optimizer.zero_grad()
    sum(losses.values()).backward()
    optimizer.step()


def mixing_alone(args: argparse.Namespace, mask: str) -> Callable[[], None]:
    """What is mixed in a step, given pictures, labels and confidence."""
    generator = torch.Generator().manual_seed(0)
    shape = (args.batch, *args.size)
    device = args.device
    pictures = torch.randint(0, 255, (args.batch, 3, *args.size), dtype=torch.uint8, device=device)
    labels = torch.randint(0, 19, shape, device=device)
    confidence, disparity = torch.rand(2, *shape, device=device)
    inside = torch.ones(shape, dtype=torch.bool, device=device)

    def mix() -> None:
        if mask == "depth":
            masks = depth_masks(normalize_disparity(disparity, inside))
        else:
            masks = class_masks(labels, 255, generator)
        masks = confine_masks(masks, inside)
        for values in (pictures, labels, confidence):
            mix_with_next(values, masks)

    return mix


def mebibytes(module: nn.Module) -> float:
    """Size of parameters and buffers."""
    tensors = [*module.parameters(), *module.buffers()]
    return sum(t.numel() * t.element_size() for t in tensors) / 2**20


def main() -> None:
    """Measure and write ``benchmarks/results/mixing_<device>.json``."""
    args = parse_speed(speed_parser(__doc__, size=(128, 256), batch=2, threads=2, rounds=9))
    source, target = make_batch(args, "source"), make_batch(args, "target")
    models = {name: build(name, args.device) for name in STEPS}
    runs: dict[str, Callable[[], float]] = {}
    for name, model in models.items():
        trained = [p for p in model.parameters() if p.requires_grad]
        # A rate of zero: the steps go on from one state, at the cost of any.
        optimizer = torch.optim.SGD(trained, 0.0, momentum=0.9)
        batch = source if name == "supervised" else [*source, *target]
        step = partial(train_step, model, batch, optimizer)
        runs[name] = partial(computed, step, args.device)
    for mask in ("class", "depth"):
        runs[f"mixing alone, {mask}"] = partial(computed, mixing_alone(args, mask), args.device)
    seconds = measure(runs, args.rounds)
    rows = [
        {
            "step": name,
            "ms": value * 1e3,
            "x ClassMix": value / seconds["ClassMix"],
            "% of a DepthMix step": 100 * value / seconds["DepthMix"],
        }
        for name, value in seconds.items()
    ]
    model = models["DepthMix"]
    memory = {"student MiB": mebibytes(model.detector), "teacher MiB": mebibytes(model.teacher)}  # type: ignore[arg-type]
    print(format_table(rows))
    print(format_table([memory]))
    report_speed("mixing", args, rows=rows, memory=memory)


if __name__ == "__main__":
    main()
