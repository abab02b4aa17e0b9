"""The tree of every key that drfpn_da adds to detectron2, with the rule of each.

One file a system in :mod:`.keys`, in the order of ``FILES``. The defaults leave a stock detectron2
config unchanged: nothing acts until a config asks for it, usually by naming a registered part, such
as ``MODEL.BACKBONE.NAME``. ``docs/configs.md`` is generated from these files.
"""

from __future__ import annotations

import copy
import logging

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

logger = logging.getLogger(__name__)

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
#: Node of the keys whose names another package has taken.
ELSEWHERE = "DRFPN_DA"
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
    its value. Where that is a value that ours cannot have, or a node where ours is a value (or the
    other way round), the name stays the other package's: ours stands below :data:`ELSEWHERE`
    (``DRFPN_DA.WANDB.ENABLED``), and a warning says so. Call it between ``get_cfg()`` and
    ``cfg.merge_from_file(...)``, which from then on refuses files that would run code.
    """
    frozen = cfg.is_frozen()
    cfg.defrost()
    # Later, a value that cannot be is a mistake of the user, for check_config to find.
    first = "ADAPT" not in cfg.MODEL
    taken = [key for key, rule in RULES.items() if not _place(cfg, key, rule, first)]
    for key in taken:
        node = cfg.setdefault(ELSEWHERE, CfgNode())
        if _place(node, key, RULES[key], False) and first:
            logger.warning(
                "the config key %s is another package's: drfpn_da's is %s.%s",
                key,
                ELSEWHERE,
                key,
            )
    read_safely(cfg)
    if frozen:
        cfg.freeze()


def _place(cfg: CfgNode, key: str, rule: Rule, foreign: bool) -> bool:
    """Put a key's default where there is none; return whether the key is ours to use.

    Args:
        cfg: is changed.
        key: full name.
        rule: of the key.
        foreign: a value that is there was put there by another package.
    """
    node = cfg
    *parents, name = key.split(".")
    for parent in parents:
        node = node.setdefault(parent, CfgNode())
        if not isinstance(node, CfgNode):
            return False
    if name not in node:
        node[name] = copy.deepcopy(rule.default)
    value = node[name]
    return not isinstance(value, CfgNode) and (rule.accepts(value) or not foreign)


def own_view(cfg: CfgNode) -> CfgNode:
    """Return a copy of a config in which every key of drfpn_da has its own name.

    Those below :data:`ELSEWHERE` take the places of other packages'; those that another package
    has removed, by putting a node of its own over ours, have their defaults.
    """
    view = cfg.clone()
    view.defrost()
    add_drfpn_da_config(view)
    _move_home(view)
    # Read by the trainer of drfpn_da alone; in another, the name may be of an optimiser of its own.
    rule = RULES["SOLVER.OPTIMIZER"]
    if not rule.accepts(view.SOLVER.OPTIMIZER):
        view.SOLVER.OPTIMIZER = rule.default
    if cfg.is_frozen():
        view.freeze()
    return view


def _move_home(cfg: CfgNode) -> None:
    elsewhere = cfg.get(ELSEWHERE, {})
    for key in RULES:
        *parents, name = key.split(".")
        source, target = elsewhere, cfg
        for parent in parents:
            source = source.get(parent, {})
        if name not in source:
            continue
        for parent in parents:
            if not isinstance(target.get(parent), CfgNode):
                target[parent] = CfgNode()
            target = target[parent]
        target[name] = source[name]


def check_config(cfg: CfgNode) -> None:
    """Check the keys of drfpn_da: type, range, and what goes together with the detector.

    What a config alone does not tell (channels of features, classes of data sets) is checked when
    model and loader are built.

    Args:
        cfg: with the keys of drfpn_da.

    Raises:
        ValueError: every value that cannot be, a line for each: key, value, what to write.
    """
    if ELSEWHERE in cfg:
        cfg = cfg.clone()
        cfg.defrost()
        _move_home(cfg)
    wrong = [
        f"{key} is {value!r}; write {rule.wanted}"
        for key, rule in RULES.items()
        if not rule.accepts(value := lookup(cfg, key))
    ]
    # Combinations are asked about values of the right type only.
    wrong = wrong or [*impossible_combinations(cfg), *late_teachers(cfg)]
    if wrong:
        raise ValueError("\n".join(wrong))
