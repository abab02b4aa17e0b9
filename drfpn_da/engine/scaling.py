"""The linear scaling rule of learning rates, for the keys of drfpn_da as well."""

from __future__ import annotations

from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer

from ..config.combinations import lookup

#: Points in time and durations in iterations; 0 or less is no number of iterations and stays.
ITERATIONS = (
    "MODEL.TEACHER.START_ITER",
    "MODEL.STRONG_WEAK.START_ITER",
    "MODEL.PSEUDO_LABEL.START_ITER",
    "MODEL.PSEUDO_LABEL.RAMP_ITERS",
    "MODEL.PSEUDO_LABEL.STORE.PERIOD",
    "MODEL.PSEUDO_LABEL.MONITOR.PERIOD",
    "MODEL.SOFT_LABELS.WARMUP_ITERS",
    "MODEL.DEPTH.START_ITER",
    "MODEL.DEPTH_MIX.START_ITER",
)


def scale_to_processes(cfg: CfgNode, processes: int) -> CfgNode:
    """Return the config for another number of processes than it was written for.

    With ``SOLVER.REFERENCE_WORLD_SIZE`` processes in mind, detectron2 scales batch, learning rate
    and iterations (arXiv 1706.02677). Here the batch of the target and the iterations of each
    method follow, and the teacher's decay becomes its power (arXiv 2307.13813): with ``k`` times
    the batch a step counts for ``k`` steps.

    Args:
        cfg: with the keys of drfpn_da.
        processes: of this run.

    Returns:
        A new config; ``cfg`` itself where the key is 0 or names so many processes.
    """
    planned = cfg.SOLVER.REFERENCE_WORLD_SIZE
    scaled: CfgNode = DefaultTrainer.auto_scale_workers(cfg, processes)
    if scaled is cfg:
        return cfg
    factor = processes / planned
    frozen = scaled.is_frozen()
    scaled.defrost()
    scaled.SOLVER.TARGET_IMS_PER_BATCH = round(cfg.SOLVER.TARGET_IMS_PER_BATCH * factor)
    _scale_teacher(scaled.MODEL.TEACHER, factor)
    for key in ITERATIONS:
        parent, _, name = key.rpartition(".")
        before = lookup(cfg, key)
        if before > 0:
            lookup(scaled, parent)[name] = max(1, round(before / factor))
    if frozen:
        scaled.freeze()
    return scaled


def _scale_teacher(node: CfgNode, factor: float) -> None:
    """Keep what the teacher forgets per picture; one that moves at every step goes on to."""
    period = max(1, round(node.PERIOD / factor)) if node.PERIOD > 1 else 1
    node.DECAY **= factor * period / node.PERIOD
    node.PERIOD = period
