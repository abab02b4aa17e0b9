"""What each of two processes trains in test_two_processes.py (importable by spawned processes)."""

from __future__ import annotations

from pathlib import Path

import torch
from detectron2.utils import comm

from drfpn_da.engine import SoftLabelHook, Trainer
from tests.tiny_patches import register_tiny_patches, tiny_patch_cfg
from tests.training import train_in_double_precision


def soft_label_hook(trainer: Trainer) -> SoftLabelHook:
    """Return the trainer's hook of soft labels."""
    return next(hook for hook in trainer._hooks if isinstance(hook, SoftLabelHook))


def train_in_double(folder: Path, labelled_per_batch: int) -> None:
    """Train two epochs with losses that do not depend on how a batch is divided; save the end."""
    torch.set_num_threads(1)
    rank, world = comm.get_rank(), comm.get_world_size()
    register_tiny_patches("soft_two", folder / f"pictures_{world}_{rank}", count=20)
    cfg = tiny_patch_cfg(folder / f"run_{world}", "soft_two")
    cfg.MODEL.SMALL_RESNET.NORM = ""
    cfg.MODEL.PATCH_CLASSIFIER.DROPOUT = 0.0
    node = cfg.MODEL.SOFT_LABELS
    node.LABELLED_PER_BATCH = labelled_per_batch
    # Partners and the mean prediction are those of a process.
    node.MIXUP_ALPHA = node.PRIOR_WEIGHT = 0.0
    trainer = train_in_double_precision(cfg)
    state = soft_label_hook(trainer).store.state_dict()
    model = getattr(trainer.model, "module", trainer.model).state_dict()
    torch.save(
        {"table": state["table"], "epochs": state["epochs"], "model": model},
        folder / f"of_{world}_{rank}.pth",
    )
