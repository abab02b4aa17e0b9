"""The shipped configs by name, from a checkout as well as after ``pip install``.

>>> from drfpn_da import model_zoo
>>> model_zoo.list_configs()
>>> cfg = model_zoo.get_config("drfpn/bccd/faster_rcnn_mobilenetv2_drfpn.yaml")
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode, instantiate
from detectron2.modeling import build_model
from torch import nn

from .checkpoint import SafeCheckpointer
from .config.safe_yaml import load_lazy_config
from .config.setup import base_cfg, merge_file

__all__ = ["get", "get_config", "get_config_file", "list_configs"]

# Parts of other configs, which cannot be trained alone.
_FRAGMENT_PREFIXES = ("Base", "_")
_FRAGMENT_FOLDERS = ("common",)


def _config_root() -> Path:
    """Return the folder of the configs: inside the package if installed, else beside it."""
    package = Path(__file__).resolve().parent
    for root in (package / "configs", package.parent / "configs"):
        if root.is_dir():
            return root
    raise FileNotFoundError(
        f"the configs of drfpn_da are neither in {package} nor beside it: install the package again"
    )


def list_configs() -> list[str]:
    """Return the names of all complete configs, sorted: YAML and Lazy, relative to ``configs/``."""
    root = _config_root()
    files = [path.relative_to(root) for kind in ("*.yaml", "*.py") for path in root.rglob(kind)]
    return sorted(path.as_posix() for path in files if not _is_fragment(path))


def _is_fragment(path: Path) -> bool:
    return path.name.startswith(_FRAGMENT_PREFIXES) or any(
        folder in _FRAGMENT_FOLDERS for folder in path.parts[:-1]
    )


def get_config_file(name: str) -> str:
    """Return the path of a shipped config.

    Args:
        name: as in :func:`list_configs`; the base configs that others build on are found too.

    Raises:
        ValueError: no such config; the message suggests the nearest names.
    """
    root = _config_root()
    path = (root / name).resolve()
    if path.is_file() and path.suffix in (".yaml", ".py") and root in path.parents:
        return str(path)
    names = list_configs()
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    # Also those whose file name alone is near: the folder is forgotten easily. Several folders may
    # have a file of that name.
    files = [Path(known).name for known in names]
    close = difflib.get_close_matches(Path(name).name, set(files), n=2, cutoff=0.8)
    near += [known for file in close for known, own in zip(names, files) if own == file]
    hint = f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else "none is near."
    raise ValueError(
        f"no config named {name!r} in drfpn_da: {hint} model_zoo.list_configs() has all."
    )


def get_config(name: str, trained: bool = False) -> Any:
    """Return a shipped config: a ``CfgNode`` for YAML, a ``DictConfig`` for Lazy.

    Args:
        name: see :func:`get_config_file`.
        trained: ask for trained weights; see Raises.

    Raises:
        ValueError: no such config, or ``trained`` is asked for: no weights are published.
    """
    file = get_config_file(name)
    if trained:
        raise ValueError(
            f"no trained weights are published for {name}: train it and set MODEL.WEIGHTS "
            "(Lazy: train.init_checkpoint) to the model_final.pth in its output folder"
        )
    if file.endswith(".py"):
        return load_lazy_config(file)
    cfg = base_cfg()
    merge_file(cfg, file)
    return cfg


def get(name: str, trained: bool = False, device: str | None = None) -> nn.Module:
    """Build the model of a shipped config and load the initial weights that the config names.

    Args:
        name: see :func:`get_config_file`.
        trained: see :func:`get_config`.
        device: overrides the config's device; by default the CPU is used where there is no GPU.

    Returns:
        The model in training mode.
    """
    cfg = get_config(name, trained)
    if device is None and not torch.cuda.is_available():
        device = "cpu"
    if isinstance(cfg, CfgNode):
        if device is not None:
            cfg.MODEL.DEVICE = device
        model, weights = build_model(cfg), cfg.MODEL.WEIGHTS
    else:
        model = instantiate(cfg.model)
        if device is not None:
            model = model.to(device)
        weights = (
            cfg.train.init_checkpoint if "train" in cfg and "init_checkpoint" in cfg.train else ""
        )
    SafeCheckpointer(model).load(weights)
    return model
