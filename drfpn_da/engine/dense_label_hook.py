"""The hook that writes soft labels of all target pictures, once a period."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Optional

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetMapper, MetadataCatalog, build_detection_test_loader
from detectron2.engine import HookBase
from detectron2.evaluation import inference_context
from detectron2.utils import comm

from ..data.checked_mapper import CheckedMapper
from ..data.two_stream import get_target_dicts
from ..labels import DenseLabelStore
from ..modeling import AdaptiveModel
from ..modeling.meta_arch.domains import picture_sizes, preprocess
from ..modeling.sem_seg_logits import semantic_logits
from ..objectives import DensePseudoLabel
from .step import unwrap

logger = logging.getLogger(__name__)

#: Folder of the labels, below OUTPUT_DIR.
FOLDER = "dense_soft_labels"


class DenseLabelHook(HookBase):
    """Labels all target pictures before the first step of self-training and after each period.

    The teacher of the iteration labels if there is one, else the student, in evaluation mode. Each
    process labels a share of the pictures. A resumed run reads the labels of its checkpoint's
    round; if they are gone, it makes new ones, and says so.

    Args:
        store: to write to, in a folder that all processes see.
        loader: of all target pictures as for evaluation; each process gets its share.
        period: iterations between two rounds.
    """

    def __init__(self, store: DenseLabelStore, loader: Any, period: int) -> None:
        self._store, self._loader, self._period = store, loader, period
        self._saved: Optional[int] = None
        self._objective: Any = None

    @classmethod
    def from_config(cls, cfg: CfgNode) -> DenseLabelHook:
        """Build the hook that ``MODEL.PSEUDO_LABEL.STORE`` describes.

        Raises:
            KeyError, ValueError: see :func:`drfpn_da.data.two_stream.get_target_dicts` and
                :class:`DenseLabelStore`; target pictures of a map-style data set.
        """
        node = cfg.MODEL.PSEUDO_LABEL.STORE
        records = get_target_dicts(cfg.DATASETS.TARGET)
        if not isinstance(records, list):
            raise ValueError(
                "MODEL.PSEUDO_LABEL.STORE needs target data sets that list their pictures, but one "
                f"of {list(cfg.DATASETS.TARGET)} is a map-style data set: write STORE.ENABLED False"
            )
        if not records:
            raise ValueError(
                "MODEL.PSEUDO_LABEL.STORE.ENABLED labels the pictures of DATASETS.TARGET, which is "
                "empty: name a data set, or write False"
            )
        names = MetadataCatalog.get(cfg.DATASETS.TRAIN[0]).get("stuff_classes")
        store = DenseLabelStore(
            Path(cfg.OUTPUT_DIR, FOLDER),
            [record["file_name"] for record in records],
            names or [str(i) for i in range(cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES)],
            node.STRIDE,
        )
        mapper = CheckedMapper(DatasetMapper(cfg, False))
        loader = build_detection_test_loader(
            dataset=records, mapper=mapper, num_workers=cfg.DATALOADER.NUM_WORKERS
        )
        batch = cfg.SOLVER.TARGET_IMS_PER_BATCH or cfg.SOLVER.IMS_PER_BATCH
        return cls(store, loader, node.PERIOD or max(1, len(records) // batch))

    def before_train(self) -> None:
        """Connect to the objective; find the labels of a resumed run.

        Raises:
            ValueError: no objective learns from the labels.
        """
        model = unwrap(self.trainer.model)
        objectives = list(model.objectives.values()) if isinstance(model, AdaptiveModel) else []
        found = [o for o in objectives if isinstance(o, DensePseudoLabel) and o.stored]
        if not found:
            raise ValueError(
                "MODEL.PSEUDO_LABEL.STORE.ENABLED is True, but no objective learns from stored "
                "labels: add DensePseudoLabel to MODEL.ADAPT.OBJECTIVES, or write False"
            )
        self._model: Any = model
        self._objective = found[0]
        self._objective.store = self._store
        if self._saved is not None and not self._store.open(self._saved):
            logger.warning(
                "%s has no labels of iteration %d, with which the checkpoint was trained: the "
                "pictures are labelled anew",
                self._store.folder,
                self._saved,
            )

    def before_step(self) -> None:
        """Label all pictures if a period begins, or if there are no labels."""
        since = self.trainer.iter - self._objective.start_iter
        if since < 0 or self._store.current == self.trainer.iter:
            return
        if since % self._period == 0 or self._store.current is None:
            # A snapshot is renewed at the same iterations: first, or it would be a period old.
            self._model.move_teacher(self.trainer.iter)
            self._label(self.trainer.iter)

    def after_train(self) -> None:
        """Disconnect from the objective."""
        if self._objective is not None:
            self._objective.store = None

    def state_dict(self) -> dict[str, Any]:
        """Return which round is read; it stays on disk as long as the next checkpoint is not."""
        self._saved = self._store.current
        return {"round": self._saved}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._saved = state["round"]

    @torch.no_grad()
    def _label(self, iteration: int) -> None:
        model, store = self._model, self._store
        network = model.teacher.detector if model.teacher else model.detector
        with inference_context(network):
            for inputs in self._loader:
                logits = semantic_logits(network, preprocess(network, inputs))
                for x, row, (height, width) in zip(inputs, logits, picture_sizes(inputs)):
                    row = row[:, :height, :width].softmax(dim=0)
                    store.write(iteration, x["file_name"], row)
        comm.synchronize()
        if comm.is_main_process():
            store.finish(iteration, keep=() if self._saved is None else (self._saved,))
        comm.synchronize()
        store.open(iteration)
        logger.info("Soft labels of all target pictures are those of iteration %d", iteration)


def build_dense_label_hooks(cfg: CfgNode) -> list[HookBase]:
    """Return the hook if ``MODEL.PSEUDO_LABEL.STORE`` is enabled, else nothing."""
    if not cfg.MODEL.PSEUDO_LABEL.STORE.ENABLED:
        return []
    return [DenseLabelHook.from_config(cfg)]
