"""From the command line to a frozen config: one way for every tool."""

from __future__ import annotations

import argparse
import ast
import logging
from collections.abc import Sequence
from typing import Any, Callable

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.engine import default_argument_parser

from ..arguments import add_dataset_options
from . import safe_yaml
from .combinations import lookup
from .tree import add_drfpn_da_config, check_config
from .unknown_keys import contradictions, leaf_keys, unknown_in_file, unknown_key_message

logger = logging.getLogger(__name__)


def argument_parser(epilog: str | None = None) -> argparse.ArgumentParser:
    """Return detectron2's argument parser with ``--register`` and ``--register-images`` added."""
    parser = default_argument_parser(epilog)
    add_dataset_options(parser)
    return parser


def setup_cfg(
    args: argparse.Namespace, add_config: Sequence[Callable[[CfgNode], Any]] = ()
) -> CfgNode:
    """Build the config that the command line describes.

    detectron2's defaults, the keys of DeepLab, of ``add_config`` and of drfpn_da, then
    ``args.config_file`` (a path or a name known to :mod:`drfpn_da.model_zoo`) and ``args.opts``.
    The data sets of ``DATASETS.REGISTER`` and ``args.register``, and the folders of
    ``DATASETS.REGISTER_IMAGES`` and ``args.register_images``, are registered. Without CUDA,
    ``MODEL.DEVICE`` becomes "cpu"; where training sets have run-length masks,
    ``INPUT.MASK_FORMAT`` becomes "bitmask".

    Args:
        args: what :func:`argument_parser` returned; ``config_file``, ``opts``, ``register`` and
            ``register_images`` are read and may be absent. ``config_file`` is replaced by the path
            of a name.
        add_config: functions that add the keys of other projects to a config, in this order.

    Returns:
        A frozen config.

    Raises:
        FileNotFoundError: the config file does not exist; nor does a config of that name.
        KeyError: an unknown key, with its file and the nearest existing keys.
        ValueError: a value of the wrong type or out of range, methods that do not go together, or
            an option without a value.
    """
    cfg = base_cfg(add_config)
    if getattr(args, "config_file", ""):
        args.config_file = find_config_file(args.config_file)
        merge_file(cfg, args.config_file)
    merge_options(cfg, getattr(args, "opts", None) or [])
    for key, option in (("REGISTER", "register"), ("REGISTER_IMAGES", "register_images")):
        added = [list(entry) for entry in getattr(args, option, None) or []]
        cfg.DATASETS[key] = [*cfg.DATASETS[key], *added]
    check_config(cfg)
    register_datasets(cfg)
    _fit_mask_format(cfg)
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        logger.warning("CUDA is not available: MODEL.DEVICE is 'cpu' instead of 'cuda'")
        cfg.MODEL.DEVICE = "cpu"
    cfg.freeze()
    return cfg


def _fit_mask_format(cfg: CfgNode) -> None:
    from ..data.validate import fit_mask_format

    fit_mask_format(cfg)


def base_cfg(add_config: Sequence[Callable[[CfgNode], Any]] = ()) -> CfgNode:
    """Return detectron2's defaults with the keys of DeepLab, if installed, and of drfpn_da.

    Those of ``add_config`` come before ours, which leave keys that are there as they are.
    """
    cfg = get_cfg()
    try:
        from detectron2.projects.deeplab import add_deeplab_config
    except ImportError:
        logger.debug("detectron2's DeepLab project is not installed")
    else:
        add_deeplab_config(cfg)
    for add in add_config:
        add(cfg)
    add_drfpn_da_config(cfg)
    return cfg


def find_config_file(name: str) -> str:
    """Return the path of a config file given by path or by its name in the model zoo.

    Raises:
        FileNotFoundError: neither exists; the message suggests the nearest names.
    """
    from detectron2.utils.file_io import PathManager

    from .. import model_zoo

    if PathManager.isfile(name):
        return name
    try:
        return model_zoo.get_config_file(name)
    except ValueError as error:
        raise FileNotFoundError(f"config file {name} does not exist, and {error}") from None


def merge_file(cfg: CfgNode, path: str) -> None:
    """Merge a YAML file into ``cfg``; code in it is refused, not run.

    Raises:
        KeyError: an unknown key; the message names its file (which may be a base) and near keys.
        ValueError: a value of the wrong type, or below a key that has a value itself; a tag that
            would run code.
    """
    try:
        safe_yaml.merge_file(cfg, path)
    except KeyError:
        unknown = unknown_in_file(path, cfg)
        if unknown is None:
            raise
        raise KeyError(unknown_key_message(*unknown, cfg)) from None
    except AssertionError as error:  # a value in the one file is a node in the other
        raise ValueError(
            f"{path} contradicts its base ({error}); a value, not a node of keys, is to be written "
            f"for {' and '.join(contradictions(path, cfg))}"
        ) from None


def merge_options(cfg: CfgNode, options: Sequence[str]) -> None:
    """Merge ``KEY VALUE`` pairs of the command line into ``cfg``.

    Of a key that holds several values, one may be given alone: ``DATASETS.TRAIN mine``.

    Raises:
        KeyError: an unknown key; the message names near keys.
        ValueError: a key without a value, or a value of the wrong type.
    """
    options = list(options)
    if options[:1] == ["--"]:
        options = options[1:]
    if len(options) % 2:
        raise ValueError(
            f"options come in pairs KEY VALUE, but {len(options)} words were given: "
            f"{' '.join(options)} (flags such as --resume stand before the first option)"
        )
    known = set(leaf_keys(cfg))
    for key in options[::2]:
        # yacs would look for a key inside of a value.
        inside = any(key.startswith(f"{leaf}.") for leaf in known)
        if inside or not (key in known or any(leaf.startswith(f"{key}.") for leaf in known)):
            raise KeyError(unknown_key_message(key, "the command line", cfg))
    words = [_several(lookup(cfg, k), v) for k, v in zip(options[::2], options[1::2])]
    cfg.merge_from_list([word for pair in zip(options[::2], words) for word in pair])


def _several(value: Any, word: Any) -> Any:
    """Return the word for a key, as a tuple or list of one if the key holds several.

    ``DATASETS.TRAIN mine`` means ``DATASETS.TRAIN "('mine',)"``. What looks like a list that was
    written wrongly is left to be refused.
    """
    if not isinstance(value, (tuple, list)) or not isinstance(word, str):
        return word
    try:
        one = ast.literal_eval(word)
    except (SyntaxError, ValueError):
        one = word
    kind = type(value[0]) if value else str
    broken = isinstance(one, str) and (not one or set(one) & set("()[]{},'\""))
    return word if type(one) is not kind or broken else repr(type(value)([one]))


def register_datasets(cfg: CfgNode) -> None:
    """Register the data sets of ``DATASETS.REGISTER`` and ``DATASETS.REGISTER_IMAGES``.

    Raises:
        FileNotFoundError: a file or folder is missing.
        ValueError: a file has errors; names the entries.
    """
    from ..data import register_coco_json, register_image_folder

    node = cfg.DATASETS
    for name, file, folder in node.REGISTER:
        # Labels of the target are not read in training.
        target_only = name in node.TARGET and name not in (*node.TRAIN, *node.TEST)
        labels_needed = not target_only or cfg.MODEL.ADAPT.BASELINE == "oracle"
        register_coco_json(name, file, folder, labels_needed, cfg.INPUT.SKIP_UNREADABLE_TARGET)
    for name, folder in cfg.DATASETS.REGISTER_IMAGES:
        register_image_folder(name, folder, cfg.INPUT.SKIP_UNREADABLE_TARGET)
