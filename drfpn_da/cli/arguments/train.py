r"""Train a model described by a YAML config, or by a LazyConfig (a Python file).

drfpn-da train --config-file drfpn/bccd/faster_rcnn_mobilenetv2_drfpn.yaml
drfpn-da train --config-file CONFIG --resume
drfpn-da train --config-file CONFIG --register mine labels.json pictures/ \
        DATASETS.TRAIN mine DATASETS.TEST mine MODEL.ROI_HEADS.NUM_CLASSES 2
drfpn-da train --config-file CONFIG.py train.max_iter=1000

KEY VALUE pairs change a YAML config, KEY=VALUE words a LazyConfig. A LazyConfig registers its data
sets itself.
"""

from __future__ import annotations

import argparse

from .common import add_config_options, add_run_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``train``."""
    add_config_options(parser, required=True, register=True)
    parser.add_argument(
        "--resume", action="store_true", help="continue the run in the output folder"
    )
    parser.add_argument(
        "--eval-only", action="store_true", help="as drfpn-da evaluate: do not train"
    )
    add_run_options(parser)


def verify(args: argparse.Namespace) -> None:
    """Refuse data sets that would not be registered.

    Raises:
        SystemExit: ``--register`` or ``--register-images`` beside a LazyConfig.
    """
    if args.config_file.endswith(".py") and (args.register or args.register_images):
        raise SystemExit(
            f"--register and --register-images are for YAML configs: {args.config_file} is a "
            "Python file, which can call drfpn_da.data.register_coco_json itself"
        )
