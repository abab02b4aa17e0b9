"""A tiny run with relabelling, shared by tests and by the processes that they spawn."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import torch
from detectron2.engine import HookBase
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


def leave_pictures(folder: Path, kept: int) -> None:
    """Take the annotations of all pictures but the first so many out of the tiny data set."""
    file = folder / "tiny.json"
    data = json.loads(file.read_text())
    data["annotations"] = [a for a in data["annotations"] if a["image_id"] <= kept]
    file.write_text(json.dumps(data))


def sparse_cfg(output: Path, dataset: str, **options):
    """Pictures without annotations are trained on, and crops often hold no object."""
    cfg = relabel_cfg(output, dataset, **options)
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    cfg.INPUT.CROP.ENABLED, cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE = True, "relative", [0.5, 0.5]
    cfg.SOLVER.IMS_PER_BATCH = 2
    return cfg


class Stop(HookBase):
    """Ends the run as a signal would, after so many steps."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def after_step(self) -> None:
        if self.trainer.iter + 1 == self._steps:
            raise KeyboardInterrupt


def resume_from_best_in_two_processes(folder: Path) -> None:
    """A window of eight steps; the run stops after three and goes on from the best after two.

    Half of the pictures have no annotation, so that processes often get none.
    """
    torch.set_num_threads(1)
    register_tiny("tiny_best", folder)
    register_tiny("tiny_best_test", folder / "test")

    def build(name: str) -> tuple[Trainer, dict[int, int]]:
        cfg = sparse_cfg(folder / name, "tiny_best", PERIOD_EPOCHS=2)
        cfg.MODEL.ROI_BOX_HEAD.SCN.SCOPE = "global"
        cfg.DATASETS.TEST = ("tiny_best_test",)
        cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.CHECKPOINT_PERIOD = 8, (), 100
        cfg.TEST.EVAL_PERIOD, cfg.TEST.BEST_METRIC = 2, "bbox/AP"
        trainer = Trainer(cfg)
        policy, votes = relabel_hook(trainer)._policy, {}
        decide = policy.decide

        def spy(tally, *rest):
            votes.update(zip(tally.index.tolist(), tally.count.tolist()))
            return decide(tally, *rest)

        object.__setattr__(policy, "decide", spy)
        return trainer, votes

    straight, expected = build("straight")
    straight.train()
    stopped, _ = build("stopped")
    stopped.register_hooks([Stop(3)])
    with contextlib.suppress(KeyboardInterrupt):
        stopped.train()
    comm.synchronize()
    resumed, found = build("stopped")
    resumed.resume_or_load(resume=True)
    start = resumed.start_iter
    resumed.train()
    result = {"start": start, "expected": expected, "found": found}
    torch.save(result, folder / f"best_{comm.get_rank()}.pt")


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
