"""Pictures with the disparity that another network gave them, to be learnt."""

from __future__ import annotations

from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetMapper

from .disparity import DISPARITY_FIELDS, DisparityMapper
from .loader import build_train_loader, loader_options
from .subset import training_records
from .target_mapper import picture_only

#: Meta-architectures that learn disparity from files.
DISPARITY_MODELS = ("DepthStudent",)


def build_disparity_loader(cfg: CfgNode) -> Any:
    """Build the training loader of a model in :data:`DISPARITY_MODELS`.

    The pictures are those of ``DATASETS.TRAIN``, or the part that ``DATASETS.LABELLED`` says; no
    label is read. Disparity is that of ``INPUT.DISPARITY.ROOT``, or of the records, stretched to
    [0, 1] in each picture.
    """
    return build_train_loader(
        [picture_only(record, DISPARITY_FIELDS) for record in training_records(cfg)],
        mapper=DisparityMapper(DatasetMapper(cfg, True), cfg.INPUT.DISPARITY.ROOT),
        **loader_options(cfg),
    )
