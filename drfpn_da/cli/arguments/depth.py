r"""Write the disparity that a depth network predicts, one 16-bit PNG per picture.

    drfpn-da depth --config-file depth/streets/mobilenetv2_small.yaml \
        --datasets streets_small_clear_train --output disparity MODEL.WEIGHTS model_final.pth
    drfpn-da depth --config-file C.yaml --images folder --output disparity

A stored value is the disparity (0 far, 1 near) times 65535, at the size of the picture. Files lie
below --output as the pictures lie below their common folder; ``disparity.json`` there says which
belongs to which. Nothing is overwritten without --overwrite. An
option with one value (--output) must stand between a list and KEY VALUE pairs.
"""

from __future__ import annotations

import argparse

from .common import add_config_options, add_image_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``depth``."""
    add_config_options(parser, register=True)
    add_image_options(parser, "DATASETS.TEST")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="of the files")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument(
        "--draw", type=int, default=0, metavar="N", help="also draw the first N beside the pictures"
    )
