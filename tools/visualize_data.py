#!/usr/bin/env python
"""Write pictures of training data: annotations as stored, or as the model gets them.

tools/visualize_data.py --source annotation --config-file C.yaml --output pictures
tools/visualize_data.py --source dataloader --config-file C.yaml --number 20
tools/visualize_data.py --source annotation --dataset coco128_train
tools/visualize_data.py --source target --config-file C.yaml INPUT.TARGET_VIEWS "['weak', 'strong']"

"target" draws the pictures of DATASETS.TARGET as the model gets them, their views side by side.
"mix" draws what DepthMix makes of them, labelled by the weights of MODEL.WEIGHTS.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog

from drfpn_da.checkpoint import load_model
from drfpn_da.config import setup_cfg
from drfpn_da.data import build_target_loader, build_train_loader
from drfpn_da.data.loader import run_seed
from drfpn_da.data.seeding import Stream, derive_seed
from drfpn_da.data.validate import check_classes
from drfpn_da.functional.generators import step_generator
from drfpn_da.modeling.own_disparity import predict_disparities, with_disparity
from drfpn_da.objectives.depth_mix import Mix
from drfpn_da.visualization import (
    draw_training_input,
    draw_truth,
    read_rgb,
    save_picture,
    side_by_side,
)
from drfpn_da.visualization.mixes import draw_mixes


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


def get_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", choices=list(SOURCES), required=True)
    parser.add_argument("--config-file", default="", metavar="FILE")
    parser.add_argument("--dataset", nargs="+", help="instead of the config's data sets")
    parser.add_argument("--output", default="output/data", help="folder")
    parser.add_argument("--number", type=int, default=12, help="pictures to write")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs of the config")
    return parser


def main(argv: list[str] | None = None) -> list[Path]:
    """Run the tool and return the files it wrote."""
    args = get_parser().parse_args(argv)
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


if __name__ == "__main__":
    main()
