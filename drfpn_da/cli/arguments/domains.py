"""Draw features of source and target pictures in a plane, and measure how far apart they are.

    drfpn-da domains --config-file C.yaml --weights source_only.pth adapted.pth
    drfpn-da domains --config-file C.yaml --taps res3 p4 --source sunny --target foggy

Each picture gives one vector for each tap: the feature's mean over the picture. Vectors are drawn
by their principal components (PCA) and, if scikit-learn is installed, by t-SNE. The number is the
proxy A-distance: 2 if a linear classifier tells the domains of unseen pictures apart without error,
about 0 if it cannot. Numbers are written beside the picture as JSON; no label is read. An option
with one value (--number, --output) must stand between a list and KEY VALUE pairs.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence

from .common import add_config_options

METHODS = ("pca", "tsne")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``domains``."""
    add_config_options(parser, required=True)
    parser.add_argument(
        "--weights", nargs="+", metavar="FILE", help="checkpoints to compare; default MODEL.WEIGHTS"
    )
    parser.add_argument("--source", nargs="+", metavar="SET", help="default: DATASETS.TRAIN")
    parser.add_argument("--target", nargs="+", metavar="SET", help="default: DATASETS.TARGET")
    parser.add_argument(
        "--taps", nargs="+", metavar="NAME", help="default: the features of MODEL.STRONG_WEAK"
    )
    parser.add_argument("--number", type=int, default=200, help="pictures of each domain")
    parser.add_argument("--splits", type=int, default=10, help="splits for the A-distance")
    parser.add_argument("--seed", type=int, default=0, help="of splits and t-SNE")
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="default: all that can run")
    parser.add_argument("--output", default="output/domains.png", metavar="PNG", help="new file")


def verify(args: argparse.Namespace) -> None:
    """Choose the projections; see :func:`choose_methods`."""
    args.methods = choose_methods(args.methods)


def choose_methods(asked: Sequence[str] | None) -> list[str]:
    """Return the projections to draw; t-SNE needs scikit-learn."""
    if importlib.util.find_spec("sklearn") is not None:
        return list(asked or METHODS)
    if asked and "tsne" in asked:
        raise SystemExit("--methods tsne needs scikit-learn: pip install 'drfpn_da[analysis]'")
    return ["pca"]
