"""Reads config files as YAML without running code in them."""

from __future__ import annotations

import os
from importlib import resources
from typing import Any

import yaml
from detectron2.config import CfgNode, LazyConfig
from detectron2.utils.file_io import PathManager
from omegaconf import DictConfig

BASE_KEY = "_BASE_"
#: Where detectron2 keeps the configs that it ships.
_SHIPPED = resources.files("detectron2") / "model_zoo" / "configs"
_PYTHON = "tag:yaml.org,2002:python/"


class _Loader(yaml.SafeLoader):
    """Reads values and tuples; any other Python tag would run code or make objects."""

    def construct_python_tuple(self, node: yaml.SequenceNode) -> tuple[Any, ...]:
        return tuple(self.construct_sequence(node, deep=True))


_Loader.add_constructor(f"{_PYTHON}tuple", _Loader.construct_python_tuple)


def check_yaml(path: str) -> None:
    """Refuse a YAML file that would run code when it is read, or whose ``_BASE_`` would.

    detectron2 reads YAML with tags such as ``!!python/object/apply:os.system``, which run what they
    name. Here only tuples pass, and the files that detectron2 ships itself, wherever a copy of them
    lies: its RetinaNet writes anchors as an expression.

    Raises:
        ValueError: names file, line and tag; or the file is no YAML.
    """
    with PathManager.open(path, "r") as file:
        text = file.read()
    try:
        tree = yaml.load(text, Loader=_Loader)
    except yaml.constructor.ConstructorError as error:
        if not _shipped_by_detectron2(path, text):
            raise ValueError(_refusal(path, error)) from None
        tree = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"{_place(path, error)} is no YAML: {error.problem}") from None
    for base in base_files(tree, path):
        check_yaml(base)


def merge_file(cfg: CfgNode, path: str) -> None:
    """Merge a YAML file into ``cfg``, as ``cfg.merge_from_file`` but without running code of it.

    Raises:
        ValueError: see :func:`check_yaml`.
        KeyError: an unknown key.
    """
    if not isinstance(cfg, SafeCfgNode):  # which checks by itself
        check_yaml(path)
    # Nothing is left to be run but what detectron2 ships.
    cfg.merge_from_file(path, allow_unsafe=True)


class SafeCfgNode(CfgNode):
    """detectron2's config, whose ``merge_from_file`` runs no code of the file.

    Its nodes below are detectron2's own, as yacs merges nodes of one type only.
    """

    def merge_from_file(self, cfg_filename: str, allow_unsafe: bool = True) -> None:
        """Merge a YAML file, as detectron2 does.

        Raises:
            ValueError: see :func:`check_yaml`.
        """
        check_yaml(cfg_filename)
        super().merge_from_file(cfg_filename, allow_unsafe=allow_unsafe)

    @classmethod
    def _create_config_tree_from_dict(cls, dic: Any, key_list: list[str]) -> Any:
        return CfgNode._create_config_tree_from_dict(dic, key_list)

    @classmethod
    def _decode_cfg_value(cls, value: Any) -> Any:
        return CfgNode._decode_cfg_value(value)


def read_safely(cfg: CfgNode) -> None:
    """Let ``cfg.merge_from_file`` refuse code, in place; subclasses of others stay as they are."""
    if type(cfg) is CfgNode:
        object.__setattr__(cfg, "__class__", SafeCfgNode)  # yacs would make it a key


def load_lazy_config(path: str) -> DictConfig:
    """Return a LazyConfig: a Python file, which is a program and runs, or YAML, which does not.

    Raises:
        ValueError: see :func:`check_yaml`.
    """
    if not path.endswith(".py"):
        check_yaml(path)
    return LazyConfig.load(path)


def base_files(tree: Any, path: str) -> list[str]:
    """Return the files of ``_BASE_`` in the tree of a file, which may be relative to it."""
    bases = tree.get(BASE_KEY) if isinstance(tree, dict) else None
    names = [os.path.expanduser(x) for x in ([bases] if isinstance(bases, str) else bases or [])]
    return [x if "://" in x else os.path.join(os.path.dirname(path), x) for x in names]


def _shipped_by_detectron2(path: str, text: str) -> bool:
    name = os.path.basename(path)
    folders = [_SHIPPED, *(entry for entry in _SHIPPED.iterdir() if entry.is_dir())]
    files = [folder / name for folder in folders]
    return any(file.is_file() and file.read_text(encoding="utf-8") == text for file in files)


def _refusal(path: str, error: yaml.constructor.ConstructorError) -> str:
    problem = str(error.problem).replace("tag:yaml.org,2002:", "!!")
    return (
        f"{_place(path, error)}: {problem}. A config file holds values, and must not run code: "
        "write the value itself, or a LazyConfig (.py), which is a program"
    )


def _place(path: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark
    return f"{path}, line {mark.line + 1}" if mark else path
