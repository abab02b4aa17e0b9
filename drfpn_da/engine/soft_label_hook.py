"""The hook that keeps one soft label for each picture while ``SoftLabelClassifier`` trains."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.evaluation import inference_context
from detectron2.utils import comm
from torch import Tensor, nn

from ..data.checked_mapper import CheckedMapper
from ..data.patch_loader import PatchPool, share_sampler, split_patches
from ..data.patches import SAMPLE_INDEX, PatchMapper
from ..data.validate import check_classes
from ..functional import expected_calibration_error, stickiness
from ..functional.class_prior import prior_regulariser
from ..labels import SoftLabelStore
from ..modeling import SoftLabelClassifier
from .step import unwrap

logger = logging.getLogger(__name__)

#: Pictures at a time when all are labelled at once.
CHUNK = 256


class SoftLabelHook(HookBase):
    """Labels all pictures after the warm-up, gathers new labels, replaces them after each epoch.

    All processes hold the same table: what each labels in a step is given to all. The table is in
    the checkpoint, so that a resumed run goes on with it, also amid an epoch.

    Args:
        pool: pictures of the training.
        mapper: from a record to a sample of evaluation.
        batches_per_epoch: iterations after which labels are replaced.
        warmup: iterations on labels only.
        zero_unvisited: see :meth:`drfpn_da.labels.SoftLabelStore.end_epoch`.
        monitor: compare the soft labels with ``pool.hidden`` and log the numbers.

    Raises:
        ValueError: nothing to compare with.
    """

    def __init__(
        self,
        pool: PatchPool,
        mapper: PatchMapper,
        batches_per_epoch: int,
        *,
        warmup: int = 0,
        zero_unvisited: bool = False,
        monitor: bool = False,
    ) -> None:
        self.store = SoftLabelStore(pool.classes, pool.class_names, pool.sha256)
        self._others = pool.records[pool.labelled :]
        self._mapper = CheckedMapper(mapper)
        self._batches, self._warmup = batches_per_epoch, warmup
        self._zero_unvisited, self._monitor = zero_unvisited, monitor
        self._truth = torch.tensor(pool.hidden)
        self._first = torch.full_like(self._truth, -1)
        self._model: Any = None
        if monitor and not (self._truth >= 0).any():
            raise ValueError(
                "MODEL.SOFT_LABELS.MONITOR compares soft labels with true ones, but no unlabelled "
                "picture has a class_id: write False"
            )

    @classmethod
    def from_config(cls, cfg: CfgNode) -> SoftLabelHook:
        """Build the hook that ``MODEL.SOFT_LABELS`` describes.

        Raises:
            KeyError, ValueError: see :func:`drfpn_da.data.patch_loader.split_patches`.
        """
        node = cfg.MODEL.SOFT_LABELS
        if node.MONITOR:
            check_classes(cfg, [*cfg.DATASETS.TRAIN, *cfg.DATASETS.TARGET], "DATASETS.TARGET")
        pool = split_patches(cfg)
        return cls(
            pool,
            PatchMapper(cfg, False),
            share_sampler(cfg, pool).batches_per_epoch,
            warmup=node.WARMUP_ITERS,
            zero_unvisited=node.ZERO_UNVISITED,
            monitor=node.MONITOR,
        )

    def before_train(self) -> None:
        """Connect to the model.

        Raises:
            ValueError: it is none that learns from soft labels, or has other classes.
        """
        model = unwrap(self.trainer.model)
        if not isinstance(model, SoftLabelClassifier):
            raise ValueError(
                f"SoftLabelHook needs MODEL.META_ARCHITECTURE SoftLabelClassifier, not "
                f"{type(model).__name__}"
            )
        if model.num_classes != len(self.store.class_names):
            raise ValueError(
                f"MODEL.PATCH_CLASSIFIER.NUM_CLASSES is {model.num_classes}, but the training data "
                f"have {len(self.store.class_names)} classes"
            )
        model.soft_targets = self.store
        self._model = model

    def before_step(self) -> None:
        """Label all other pictures if the warm-up is over and they have no label yet."""
        if self.trainer.iter < self._warmup or self.store.is_complete:
            return
        mine = self._others[comm.get_rank() :: comm.get_world_size()]
        for index, probabilities in comm.all_gather(self._predict(mine)):
            self.store.assign(index, probabilities)
        self._first = self._labels()
        logger.info("%d pictures have their first soft label", len(self._others))
        self._log(changed=1.0)

    def after_step(self) -> None:
        """Gather the new labels of this step; replace all after an epoch."""
        for found in comm.all_gather(self._model.relabelled):
            if found is not None:
                self.store.visit(*found)
        done = self.trainer.iter + 1 - self._warmup
        if done > 0 and done % self._batches == 0:
            before = self._labels()
            self.store.end_epoch(self._zero_unvisited)
            self._log(changed=float((before != self._labels()).float().mean()))

    def after_train(self) -> None:
        """Disconnect from the model, if training began."""
        if self._model is not None:
            self._model.soft_targets = None
            self._model.relabelled = None

    def state_dict(self) -> dict[str, Any]:
        """Return the table and the first labels."""
        return {"store": self.store.state_dict(), "first": self._first.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint.

        Raises:
            ValueError: it is of other pictures or classes.
        """
        self.store.load_state_dict(state["store"])
        self._first = state["first"].clone()

    def _predict(self, records: Sequence[dict[str, Any]]) -> tuple[Tensor, Tensor]:
        """Return rows and probabilities of records, in evaluation mode."""
        model: nn.Module = self._model
        rows = [torch.zeros(0, len(self.store.class_names))]
        with inference_context(model), torch.no_grad():
            for start in range(0, len(records), CHUNK):
                samples = [self._mapper(record) for record in records[start : start + CHUNK]]
                rows.append(torch.stack([x["scores"] for x in model(samples)]).cpu())
        index = torch.tensor([r[SAMPLE_INDEX] for r in records], dtype=torch.long)
        return index, torch.cat(rows)

    def _labels(self) -> Tensor:
        return self.store.table[~self.store.labelled].argmax(dim=1)

    def _log(self, changed: float) -> None:
        soft = self.store.table[~self.store.labelled]
        values = {"changed": changed, "confidence": float(soft.max(dim=1).values.mean())}
        if self._monitor:
            known = self._truth >= 0
            truth, now, first = self._truth[known], self._labels()[known], self._first[known]
            soft = soft[known]
            correct = now == truth
            counts = truth.bincount(minlength=soft.shape[1]).float()
            values.update(
                accuracy=float(correct.float().mean()),
                stickiness=float(stickiness(first, now, truth)),
                calibration_error=float(expected_calibration_error(soft.max(dim=1)[0], correct)),
                # One more of each class, so that the divergence is finite.
                class_divergence=float(
                    prior_regulariser(soft.mean(dim=0), (counts + 1) / (counts + 1).sum())
                ),
            )
        self.trainer.storage.put_scalars(
            **{f"soft_labels/{name}": value for name, value in values.items()},
            smoothing_hint=False,
        )


def build_soft_label_hooks(cfg: CfgNode) -> list[HookBase]:
    """Return the hook if the model learns from soft labels, else nothing."""
    if cfg.MODEL.META_ARCHITECTURE != "SoftLabelClassifier":
        return []
    return [SoftLabelHook.from_config(cfg)]
