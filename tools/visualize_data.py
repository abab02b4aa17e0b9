#!/usr/bin/env python
"""Write pictures of training data: annotations as stored, or as the model gets them.

tools/visualize_data.py --source annotation --config-file C.yaml --output pictures
tools/visualize_data.py --source dataloader --config-file C.yaml --number 20
tools/visualize_data.py --source annotation --dataset coco128_train
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog, build_detection_train_loader

from drfpn_da.config import setup_cfg
from drfpn_da.visualization import draw_training_input, draw_truth, read_rgb, save_picture


def annotated(cfg: CfgNode) -> Iterator[tuple[str, np.ndarray]]:
    """Draw the records of the training sets as they are stored."""
    for name in cfg.DATASETS.TRAIN:
        metadata = MetadataCatalog.get(name)
        for record in DatasetCatalog.get(name):
            yield record["file_name"], draw_truth(read_rgb(record["file_name"]), record, metadata)


def loaded(cfg: CfgNode) -> Iterator[tuple[str, np.ndarray]]:
    """Draw the training loader's batches."""
    metadata = MetadataCatalog.get(cfg.DATASETS.TRAIN[0])
    for batch in build_detection_train_loader(cfg):
        for record in batch:
            yield record["file_name"], draw_training_input(record, metadata, cfg.INPUT.FORMAT)


def get_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", choices=["annotation", "dataloader"], required=True)
    parser.add_argument("--config-file", default="", metavar="FILE")
    parser.add_argument("--dataset", nargs="+", help="instead of the config's DATASETS.TRAIN")
    parser.add_argument("--output", default="output/data", help="folder")
    parser.add_argument("--number", type=int, default=12, help="pictures to write")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs of the config")
    return parser


def main(argv: list[str] | None = None) -> list[Path]:
    """Run the tool and return the files it wrote."""
    args = get_parser().parse_args(argv)
    if args.dataset:
        args.opts = [*args.opts, "DATASETS.TRAIN", str(tuple(args.dataset))]
    cfg = setup_cfg(args)
    if not cfg.DATASETS.TRAIN:
        raise SystemExit("No data: give --dataset, or a --config-file with DATASETS.TRAIN")
    source = {"annotation": annotated, "dataloader": loaded}[args.source]
    written = []
    for name, picture in itertools.islice(source(cfg), args.number):
        written.append(save_picture(picture, Path(args.output) / f"{Path(name).stem}.png"))
        print(written[-1])
    return written


if __name__ == "__main__":
    main()
