"""The tree of every key that drfpn_da adds to detectron2, with the rule of each.

One file a system in :mod:`.keys`, in the order of ``FILES``. The defaults leave a stock detectron2
config unchanged: nothing acts until a config asks for it, usually by naming a registered part, such
as ``MODEL.BACKBONE.NAME``. ``docs/configs.md`` is generated from these files.
"""

from __future__ import annotations

import copy

from detectron2.config import CfgNode

from .combinations import impossible_combinations, late_teachers, lookup
from .keys import (
    adapt,
    bodies,
    common,
    depth,
    depth_mix,
    drfpn,
    fcos,
    model_selection,
    patch_classifier,
    pseudo_label,
    scn,
    slender,
    strong_weak,
    target_data,
)
from .rules import Node, Rule
from .safe_yaml import read_safely

#: Modules with keys, in the order in which the documentation shows them.
FILES = (
    drfpn,
    adapt,
    strong_weak,
    pseudo_label,
    patch_classifier,
    target_data,
    model_selection,
    scn,
    slender,
    depth,
    depth_mix,
    bodies,
    fcos,
    common,
)
TOP_NODES = ("MODEL", "DATASETS", "INPUT", "SOLVER", "TEST")


def key_rules() -> dict[str, Rule]:
    """Return the rule of every key by its full name, such as ``MODEL.TEACHER.DECAY``."""
    tree = Node({name: Node() for name in TOP_NODES})
    for file in FILES:
        file.add_keys(tree)
    return dict(tree.rules())


#: Full name of every key of drfpn_da -> its rule.
RULES = key_rules()


def get_defaults() -> CfgNode:
    """Return a fresh tree that holds only the keys of drfpn_da."""
    tree = CfgNode({name: CfgNode() for name in TOP_NODES})
    for key, rule in RULES.items():
        node = tree
        *parents, name = key.split(".")
        for parent in parents:
            node = node.setdefault(parent, CfgNode())
        node[name] = copy.deepcopy(rule.default)
    return tree


def add_drfpn_da_config(cfg: CfgNode) -> None:
    """Add every key of drfpn_da to ``cfg`` in place, all methods off.

    Idempotent and independent of order: a key that is already there, whoever put it there, keeps
    its value. Call it between ``get_cfg()`` and ``cfg.merge_from_file(...)``, which from then on
    refuses files that would run code.
    """
    frozen = cfg.is_frozen()
    cfg.defrost()
    _add_missing(cfg, get_defaults())
    read_safely(cfg)
    if frozen:
        cfg.freeze()


def _add_missing(target: CfgNode, source: CfgNode) -> None:
    for key, value in source.items():
        if key not in target:
            target[key] = value
        elif isinstance(value, CfgNode) and isinstance(target[key], CfgNode):
            _add_missing(target[key], value)


def check_config(cfg: CfgNode) -> None:
    """Check the keys of drfpn_da: type, range, and what goes together with the detector.

    What a config alone does not tell (channels of features, classes of data sets) is checked when
    model and loader are built.

    Args:
        cfg: with the keys of drfpn_da.

    Raises:
        ValueError: every value that cannot be, a line for each: key, value, what to write.
    """
    wrong = [
        f"{key} is {value!r}; write {rule.wanted}"
        for key, rule in RULES.items()
        if not rule.accepts(value := lookup(cfg, key))
    ]
    # Combinations are asked about values of the right type only.
    wrong = wrong or [*impossible_combinations(cfg), *late_teachers(cfg)]
    if wrong:
        raise ValueError("\n".join(wrong))
