"""A tiny run with relabelling, shared by tests and by the processes that they spawn."""

from __future__ import annotations

from pathlib import Path

import torch
from detectron2.utils import comm

from drfpn_da.engine import SCNRelabelHook, Trainer
from drfpn_da.modeling.roi_heads import find_scn_heads
from tests.tiny_coco import register_tiny, tiny_cfg

#: Everything that an untrained detector doubts is changed.
EAGER = {
    "ENABLED": True,
    "DRY_RUN": False,
    "START_FRACTION": 0.0,
    "STOP_FRACTION": 1.0,
    "PERIOD_EPOCHS": 1,
    "MARGIN_2": 0.0,
    "LEAD_SHARE": 0.0,
    "PRIOR_POWER": 0.0,
    "MIN_VOTES": 1,
    "MIN_AGREE": 0.0,
    "MIN_IOU": 0.5,
    "PATIENCE": 1,
    "MAX_FRACTION": 1.0,
    "MAX_TOTAL": 1.0,
    "MAX_CLASS_LOSS": 1.0,
}


def relabel_cfg(output: Path, dataset: str, **options):
    """Six steps of four pictures, of which two make an epoch; options are keys of SCN_RELABEL."""
    cfg = tiny_cfg(output, dataset)
    cfg.DATASETS.TEST = ()
    cfg.MODEL.ROI_HEADS.NAME = "SCNROIHeads"
    # Logits far apart, so that labels are doubted from the start.
    cfg.SOLVER.BASE_LR, cfg.SOLVER.CHECKPOINT_PERIOD = 0.02, 3
    for key, value in {**EAGER, **options}.items():
        cfg.SCN_RELABEL[key] = value
    return cfg


def relabel_hook(trainer: Trainer) -> SCNRelabelHook:
    return next(h for h in trainer._hooks if isinstance(h, SCNRelabelHook))


def watch_labels(trainer: Trainer) -> list[dict[int, tuple[int, int]]]:
    """A list that gets, for every step, annotation -> (class trained on, class on record)."""
    steps = []
    hook, heads = relabel_hook(trainer), find_scn_heads(trainer.model)
    prepare = heads.prepare_targets

    def spy(targets):
        prepared = prepare(targets)
        labels = hook.store.labels(hook._annotations)
        steps.append(
            {
                int(i): (int(c), int(labels[i]))
                for target in prepared
                for i, c in zip(target.gt_annotation_index, target.gt_classes)
            }
        )
        return prepared

    heads.prepare_targets = spy
    return steps


def train_in_two_processes(folder: Path) -> None:
    """Train on half of each batch; save what was seen and decided."""
    torch.set_num_threads(1)
    register_tiny("tiny_relabel_two", folder)
    cfg = relabel_cfg(folder / "two", "tiny_relabel_two")
    trainer = Trainer(cfg)
    steps = watch_labels(trainer)
    trainer.train()
    entries = relabel_hook(trainer).store.entries
    torch.save({"steps": steps, "entries": entries}, folder / f"two_{comm.get_rank()}.pt")
    torch.save(global_rank(comm.get_rank(), 2), folder / f"rank_{comm.get_rank()}.pt")


def global_rank(rank: int, world: int):
    """Rank loss over all processes' annotations, and the gradient of this one's importances."""
    from drfpn_da.functional import rank_regularisation
    from drfpn_da.modeling.roi_heads.importance_predictor import gather_with_own_gradient

    alpha = torch.linspace(0.1, 0.9, 9)[
        torch.randperm(9, generator=torch.Generator().manual_seed(1))
    ]
    own = alpha[rank::world].clone().requires_grad_()
    loss = rank_regularisation(gather_with_own_gradient(own) if world > 1 else own, 0.7, 0.9)
    loss.backward()
    return loss.detach(), own.grad / world
