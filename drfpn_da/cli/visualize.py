"""Write pictures of training data: the work of ``drfpn-da visualize``."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog

from ..checkpoint import load_model
from ..config import setup_cfg
from ..data import build_target_loader, build_train_loader
from ..data.loader import run_seed
from ..data.seeding import Stream, derive_seed
from ..data.validate import check_classes
from ..functional.generators import step_generator
from ..modeling.predicted_disparity import predict_disparities, with_disparity
from ..objectives.depth_mix import Mix
from ..visualization import (
    draw_training_input,
    draw_truth,
    read_rgb,
    save_picture,
    side_by_side,
)
from ..visualization.mixes import draw_mixes


def annotated(cfg: CfgNode) -> Iterator[tuple[str, np.ndarray]]:
    """Draw the records of the training sets as they are stored."""
    for name in cfg.DATASETS.TRAIN:
        metadata = MetadataCatalog.get(name)
        for record in DatasetCatalog.get(name):
            yield record["file_name"], draw_truth(read_rgb(record["file_name"]), record, metadata)


def loaded(cfg: CfgNode) -> Iterator[tuple[str, np.ndarray]]:
    """Draw the training loader's batches."""
    metadata = MetadataCatalog.get(cfg.DATASETS.TRAIN[0])
    for batch in build_train_loader(cfg):
        for record in batch:
            yield record["file_name"], draw_training_input(record, metadata, cfg.INPUT.FORMAT)


def target(cfg: CfgNode) -> Iterator[tuple[str, np.ndarray]]:
    """Draw the target loader's pictures, the views of each side by side."""
    metadata = MetadataCatalog.get(cfg.DATASETS.TARGET[0])
    for batch in build_target_loader(cfg):
        for record in batch:
            views = record.get("views") or {cfg.INPUT.TARGET_VIEWS[0]: record["image"]}
            pictures = [
                draw_training_input({"image": view}, metadata, cfg.INPUT.FORMAT)
                for view in views.values()
            ]
            yield record["file_name"], side_by_side(pictures, list(views))


def mixes(cfg: CfgNode) -> Iterator[tuple[str, np.ndarray]]:
    """Draw the pairs that DepthMix mixes, and what is learnt from them."""
    for batch, mix, metadata in mixed_batches(cfg):
        for record, strip in zip(batch, draw_mixes(mix, metadata, cfg.INPUT.FORMAT)):
            yield record["file_name"], strip


def mixed_batches(cfg: CfgNode) -> Iterator[tuple[list[dict], Mix, Metadata]]:
    """Mix the target loader's batches as training does, labelled by the weights of the config."""
    check_classes(cfg, cfg.DATASETS.TRAIN, "DATASETS.TRAIN")
    model = load_model(cfg)
    if "depth_mix" not in getattr(model, "objectives", {}):
        raise SystemExit("nothing is mixed: write MODEL.META_ARCHITECTURE DepthMixSegmentor")
    objective = model.objectives["depth_mix"]
    metadata = MetadataCatalog.get(cfg.DATASETS.TRAIN[0])
    seed = run_seed(cfg)
    for step, batch in enumerate(build_target_loader(cfg)):
        # As the main process draws in that step.
        torch.manual_seed(derive_seed(seed, Stream.STEP, step, 0))
        generator = step_generator(step)
        if objective.own_depth:
            with torch.no_grad():
                batch = with_disparity(batch, predict_disparities(model.detector, batch)[0])
        yield batch, objective.mix(batch, model.plain_detector(), generator), metadata


SOURCES = {"annotation": annotated, "dataloader": loaded, "target": target, "mix": mixes}


def run(args: argparse.Namespace) -> list[Path]:
    """Do the work; return the files it wrote."""
    key = "TARGET" if args.source in ("target", "mix") else "TRAIN"
    if args.dataset:
        args.opts = [*args.opts, f"DATASETS.{key}", str(tuple(args.dataset))]
    cfg = setup_cfg(args)
    if not cfg.DATASETS[key]:
        raise SystemExit(f"No data: give --dataset, or a --config-file with DATASETS.{key}")
    source = SOURCES[args.source]
    written = []
    for name, picture in itertools.islice(source(cfg), args.number):
        written.append(save_picture(picture, Path(args.output) / f"{Path(name).stem}.png"))
        print(written[-1])
    return written
