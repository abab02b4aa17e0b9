"""Training step with SCN's ROI heads against plain ones, interleaved in one process.

    python -m benchmarks.speed.scn_head                 # a CPU-sized input
    python -m benchmarks.speed.scn_head --size 800 1344 --device cuda

Faster R-CNN, ResNet-50 with FPN, random weights, 512 proposals a picture. "SCN + votes" also
gathers votes of every step and trains on corrected labels. On a CPU its time is counted, of all
threads, and not the clock's: others may use the machine.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any, Callable

import torch
from detectron2 import model_zoo
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import nn

from benchmarks.report import format_table
from benchmarks.speed.options import parse_speed, report_speed, speed_parser
from benchmarks.timing import computed, measure
from drfpn_da.config.setup import base_cfg
from drfpn_da.engine.relabel_votes import VoteRecorder
from drfpn_da.labels import VoteAccumulator
from drfpn_da.modeling import find_scn_heads

PLAIN = "plain"
HEADS = {PLAIN: "StandardROIHeads", "SCN": "SCNROIHeads", "SCN + votes": "SCNROIHeads"}
CLASSES, OBJECTS = 80, 8


def build(name: str, device: str) -> nn.Module:
    """The detector, gathering votes if its name says so."""
    torch.manual_seed(0)
    cfg = base_cfg()
    cfg.merge_from_file(model_zoo.get_config_file("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"))
    cfg.MODEL.WEIGHTS, cfg.MODEL.DEVICE = "", device
    cfg.MODEL.ROI_HEADS.NAME = HEADS[name]
    model = build_model(cfg).train()
    if "votes" in name:
        heads = find_scn_heads(model)
        recorder = VoteRecorder(VoteAccumulator(CLASSES), 0.7, "raw")
        recorder.active = True
        heads.voting_predictor().recorder = recorder
        heads.corrected_classes = torch.arange(64, device=device) % CLASSES
    return model


def make_batch(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Noise with eight numbered boxes a picture."""
    torch.manual_seed(1)
    batch = []
    for number in range(args.batch):
        instances = Instances(tuple(args.size))
        corner = torch.rand(OBJECTS, 2) * min(args.size) * 0.6
        extent = (0.1 + 0.25 * torch.rand(OBJECTS, 2)) * min(args.size)
        instances.gt_boxes = Boxes(torch.cat([corner, corner + extent], dim=1))
        instances.gt_classes = torch.randint(0, CLASSES, (OBJECTS,))
        instances.gt_annotation_index = torch.arange(OBJECTS) + OBJECTS * number
        image = torch.randint(0, 255, (3, *args.size), dtype=torch.uint8)
        batch.append({"image": image, "instances": instances})
    return batch


def make_step(name: str, args: argparse.Namespace) -> Callable[[], float]:
    """Seconds of forward, backward and update."""
    model, batch = build(name, args.device), make_batch(args)
    # Random weights behind frozen norms diverge: the update is done, but by nothing.
    optimiser = torch.optim.SGD(model.parameters(), lr=0.0)

    def step() -> None:
        torch.manual_seed(2)  # the same proposals are sampled
        with EventStorage():
            total = sum(model(batch).values())
        optimiser.zero_grad()
        total.backward()
        optimiser.step()

    return partial(computed, step, args.device)


def main() -> None:
    """Measure and write ``benchmarks/results/scn_head_<device>.json``."""
    parser = speed_parser(__doc__, size=(224, 320), batch=2, threads=1, rounds=11)
    parser.add_argument("--no-report", action="store_true", help="print the table only")
    args = parse_speed(parser)
    seconds = measure({name: make_step(name, args) for name in HEADS}, args.rounds)
    rows = [
        {"heads": name, "ms": 1e3 * s, "times plain": s / seconds[PLAIN]}
        for name, s in seconds.items()
    ]
    print(format_table(rows))
    if not args.no_report:
        report_speed("scn_head", args, rows=rows)


if __name__ == "__main__":
    main()
