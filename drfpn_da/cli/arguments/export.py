r"""Export a model to TorchScript or ONNX at a fixed input size, and compare it with the original.

    drfpn-da export --config-file C.yaml --part backbone --format onnx --output exported
    drfpn-da export --config-file C.yaml --part detector --format torchscript \
        MODEL.WEIGHTS model_final.pth

The comparison uses a picture that tracing has not seen; outputs without values are not compared.
docs/export.md says what works.
"""

from __future__ import annotations

import argparse

from .common import add_config_options

PARTS = ("backbone", "detector")
FORMATS = ("torchscript", "onnx")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``export``."""
    add_config_options(parser, required=True)
    parser.add_argument("--part", choices=PARTS, default="backbone", help="of the model")
    parser.add_argument("--format", choices=FORMATS, default="torchscript", help="of the file")
    parser.add_argument(
        "--size", nargs=2, type=int, default=(320, 416), metavar=("H", "W"),
        help="of the input; a multiple of the backbone's largest stride",
    )  # fmt: skip
    parser.add_argument("--output", default="output/exported", help="folder")
