"""Write pictures of training data: annotations as stored, or as the model gets them.

drfpn-da visualize --source annotation --config-file C.yaml --output pictures
drfpn-da visualize --source dataloader --config-file C.yaml --number 20
drfpn-da visualize --source annotation --dataset coco128_train
drfpn-da visualize --source target --config-file C.yaml INPUT.TARGET_VIEWS "['weak', 'strong']"

"target" draws the pictures of DATASETS.TARGET as the model gets them, their views side by side.
"mix" draws what DepthMix makes of them, labelled by the weights of MODEL.WEIGHTS.
"""

from __future__ import annotations

import argparse

from .common import add_config_options

SOURCES = ("annotation", "dataloader", "target", "mix")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``visualize``."""
    parser.add_argument("--source", choices=SOURCES, required=True, help="what to draw, see above")
    add_config_options(parser)
    parser.add_argument("--dataset", nargs="+", help="instead of the config's data sets")
    parser.add_argument("--output", default="output/data", help="folder")
    parser.add_argument("--number", type=int, default=12, help="pictures to write")
