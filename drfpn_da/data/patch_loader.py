"""Training data of classifiers: labelled pictures, and the others without their labels."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.utils import comm

from ..files import real_names
from ..labels.annotation_keys import picture_names
from .labelled_share import LabelledShareSampler
from .loader import build_train_loader, loader_options
from .patches import SAMPLE_INDEX, PatchMapper, Records, labelled_patches, load_patches
from .target_mapper import picture_only
from .validate import check_registered, class_names

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PatchPool:
    """Pictures to train on; the place in ``records`` is the row of the soft label.

    Attributes:
        records: the labelled ones, then the others, which have nothing but the picture.
        labelled: how many are labelled.
        class_names: in the model's order.
        hidden: class of each other picture, -1 where unknown; for measurements only.
    """

    records: Records
    labelled: int
    class_names: tuple[str, ...]
    hidden: tuple[int, ...]

    @property
    def classes(self) -> list[int]:
        """Class of each record, -1 of the others."""
        return [record.get("class_id", -1) for record in self.records]

    @property
    def sha256(self) -> str:
        """Identifies pictures (wherever they lie together), their order and the given classes."""
        lines = (
            f"{name}|{record.get('image_id')}|{number}"
            for name, record, number in zip(picture_names(self.records), self.records, self.classes)
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def split_patches(cfg: CfgNode) -> PatchPool:
    """Return the pictures of a run that learns from few labels.

    Labelled are those of ``DATASETS.TRAIN`` that ``DATASETS.LABELLED`` leaves. The others are
    ``DATASETS.TARGET``, or if that is empty the rest of ``DATASETS.TRAIN``.

    Raises:
        KeyError: a name is not registered.
        ValueError: a picture is labelled and among the others; see also
            :func:`drfpn_da.data.patches.labelled_patches`.
    """
    records = load_patches(cfg.DATASETS.TRAIN)
    labelled = labelled_patches(cfg, records)
    given = set(real_names(record["file_name"] for record in labelled))
    if cfg.DATASETS.TARGET:
        others = []
        for name in cfg.DATASETS.TARGET:
            check_registered(name, "DATASETS.TARGET")
            others += list(DatasetCatalog.get(name))
        paths = [record["file_name"] for record in others]
        shared = [path for path, real in zip(paths, real_names(paths)) if real in given]
        if shared:
            raise ValueError(
                f"{len(shared)} pictures are labelled (DATASETS.TRAIN with DATASETS.LABELLED) and "
                f"unlabelled (DATASETS.TARGET), for example {min(shared)}: name sets that share "
                "none, or leave DATASETS.TARGET empty to take the rest of DATASETS.TRAIN"
            )
    else:
        paths = [record["file_name"] for record in records]
        others = [r for r, real in zip(records, real_names(paths)) if real not in given]
    logger.info("%d labelled pictures, %d without labels", len(labelled), len(others))
    pictures = [*labelled, *(picture_only(record) for record in others)]
    return PatchPool(
        [{**record, SAMPLE_INDEX: i} for i, record in enumerate(pictures)],
        len(labelled),
        tuple(class_names(cfg.DATASETS.TRAIN[0]) or ()),
        tuple(record.get("class_id", -1) for record in others),
    )


def share_sampler(cfg: CfgNode, pool: PatchPool) -> LabelledShareSampler:
    """Return the sampler of ``MODEL.SOFT_LABELS`` over a pool; see the class."""
    node = cfg.MODEL.SOFT_LABELS
    return LabelledShareSampler(
        range(pool.labelled),
        range(pool.labelled, len(pool.records)),
        batch_size=cfg.SOLVER.IMS_PER_BATCH,
        labelled_per_process=node.LABELLED_PER_BATCH,
        world=comm.get_world_size(),
        warmup=node.WARMUP_ITERS,
        seed=max(cfg.SEED, 0),
    )


def build_patch_loader(cfg: CfgNode) -> Any:
    """Build the training loader of a model in :data:`drfpn_da.data.patches.PATCH_MODELS`.

    "PatchClassifier" trains on the labelled pictures, "SoftLabelClassifier" on all.

    Raises:
        KeyError, ValueError: see :func:`split_patches` and :class:`LabelledShareSampler`.
    """
    common = {
        **loader_options(cfg),
        "mapper": PatchMapper(cfg, True),
        "aspect_ratio_grouping": False,
    }
    if cfg.MODEL.META_ARCHITECTURE == "PatchClassifier":
        records = labelled_patches(cfg, load_patches(cfg.DATASETS.TRAIN))
        return build_train_loader(records, **common)
    pool = split_patches(cfg)
    return build_train_loader(pool.records, sampler=share_sampler(cfg, pool), **common)
