"""The linear scaling rule of learning rates, for the keys of drfpn_da as well."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer

from ..config.combinations import lookup
from ..config.rules import Number
from ..config.tree import RULES

_SCALES = {key: rule.scales for key, rule in RULES.items() if isinstance(rule, Number)}
#: Points in time and durations in iterations, of detectron2 and as the keys of drfpn_da state it;
#: 0 or less is no number of iterations and stays.
ITERATIONS = (
    "SOLVER.MAX_ITER",
    "SOLVER.WARMUP_ITERS",
    "SOLVER.CHECKPOINT_PERIOD",
    "TEST.EVAL_PERIOD",
    "TEST.PRECISE_BN.NUM_ITER",
    "VIS_PERIOD",
    *(key for key, scale in _SCALES.items() if scale == "iterations"),
)
#: Shares of an average that are kept at each step. SOLVER.MOMENTUM is none of them: the rule of
#: learning rates holds for one momentum.
MOMENTA = tuple(key for key, scale in _SCALES.items() if scale == "kept")
#: Pictures in a step.
BATCHES = ("SOLVER.IMS_PER_BATCH", "SOLVER.TARGET_IMS_PER_BATCH")


def scale_to_processes(cfg: CfgNode, processes: int) -> CfgNode:
    """Return the config for another number of processes than it was written for.

    With ``SOLVER.REFERENCE_WORLD_SIZE`` processes in mind, detectron2 scales batch, learning rate
    and iterations (arXiv 1706.02677). Here the batch of the target, the last learning rate and the
    iterations of each method follow, and what is kept of an average at a step, such as the
    teacher's decay, becomes its power (arXiv 2307.13813): with ``k`` times the batch a step counts
    for ``k`` steps. A number of iterations above 0 stays above 0.

    Args:
        cfg: with the keys of drfpn_da.
        processes: of this run.

    Returns:
        A new config; ``cfg`` itself where the key is 0 or names so many processes.

    Raises:
        ValueError: a batch does not divide among the processes that the config was written for.
    """
    planned = cfg.SOLVER.REFERENCE_WORLD_SIZE
    if planned in (0, processes):
        return cfg
    for key in BATCHES:
        if lookup(cfg, key) % planned:
            raise ValueError(
                f"{key} is {lookup(cfg, key)}, which does not divide among the {planned} processes "
                "of SOLVER.REFERENCE_WORLD_SIZE, so that it cannot be scaled to "
                f"{processes}: write a multiple of {planned}, or SOLVER.REFERENCE_WORLD_SIZE 0 to "
                "train with the numbers as they are"
            )
    scaled: CfgNode = DefaultTrainer.auto_scale_workers(cfg, processes)
    factor = processes / planned
    frozen = scaled.is_frozen()
    scaled.defrost()
    scaled.SOLVER.TARGET_IMS_PER_BATCH = cfg.SOLVER.TARGET_IMS_PER_BATCH // planned * processes
    scaled.SOLVER.BASE_LR_END = cfg.SOLVER.BASE_LR_END * factor
    _scale_teacher(scaled.MODEL.TEACHER, factor)
    for key in MOMENTA:
        _write(scaled, key, lookup(cfg, key) ** factor)
    for key in ITERATIONS:
        before = lookup(cfg, key)
        if before > 0:
            _write(scaled, key, max(1, round(before / factor)))
    if frozen:
        scaled.freeze()
    return scaled


def _write(cfg: CfgNode, key: str, value: float) -> None:
    parent, _, name = key.rpartition(".")
    node = lookup(cfg, parent) if parent else cfg
    node[name] = value


def _scale_teacher(node: CfgNode, factor: float) -> None:
    """Scale the teacher's decay so that it forgets as much per image as before."""
    period = max(1, round(node.PERIOD / factor)) if node.PERIOD > 1 else 1
    node.DECAY **= factor * period / node.PERIOD
    node.PERIOD = period
