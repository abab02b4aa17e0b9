"""``add_hooks``: the hooks that the keys ask for, beside those of somebody else's trainer."""

from __future__ import annotations

from collections.abc import Iterable

from detectron2.config import CfgNode
from detectron2.engine import HookBase, hooks
from detectron2.utils import comm
from torch import nn

from ..config.tree import own_view
from .dense_label_hook import build_dense_label_hooks
from .hooks import StepSeed
from .mix_pictures import build_mix_pictures
from .model_selection import best_checkpointers, refuse_precise_norms
from .pseudo_label_monitor import build_pseudo_label_monitors
from .relabel_hook import build_relabel_hooks
from .soft_label_hook import build_soft_label_hooks
from .unclaimed_keys import UnclaimedKeys
from .wandb_writer import WandbWriter

#: Iterations between two writings, as of detectron2's writers.
_PERIOD = 20


def add_hooks(
    given: Iterable[HookBase | None], cfg: CfgNode, model: nn.Module
) -> list[HookBase | None]:
    """Return your trainer's hooks, and those that the keys of drfpn_da ask for.

    For ``build_hooks`` of a trainer of your own. Added where asked for: stored labels and their
    measure, relabelling, soft labels, the best checkpoint, pictures of mixes, wandb. At the first
    step, keys that are set and that nothing in the trainer acts on are warned of by name.

    Args:
        given: yours; those of :class:`drfpn_da.engine.Trainer` are returned as they are.
        cfg: with the keys of drfpn_da.
        model: of the trainer.

    Raises:
        ValueError: a hook does not fit the model or the data; names the key.
    """
    theirs = list(given)
    if any(isinstance(hook, StepSeed) for hook in theirs):
        return theirs
    refuse_precise_norms(theirs, model)
    cfg = own_view(cfg)
    ours: list[HookBase] = [
        UnclaimedKeys(cfg),
        *build_dense_label_hooks(cfg),
        *build_pseudo_label_monitors(cfg),
        *build_relabel_hooks(cfg, model),
        *build_soft_label_hooks(cfg),
    ]
    after: list[HookBase] = []
    if comm.is_main_process():
        savers = [hook for hook in theirs if isinstance(hook, hooks.PeriodicCheckpointer)]
        after += best_checkpointers(cfg, savers[0].checkpointer) if savers else []
        after += build_mix_pictures(cfg, model)
        if cfg.WANDB.ENABLED:
            after.append(hooks.PeriodicWriter([WandbWriter(cfg)], _PERIOD))
    # Writers stay last, so that they see what the hooks before them measured.
    end = len(theirs)
    while end and isinstance(theirs[end - 1], hooks.PeriodicWriter):
        end -= 1
    return [*ours, *theirs[:end], *after, *theirs[end:]]
