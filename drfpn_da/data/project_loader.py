"""``add_target``: target pictures beside the batches of somebody else's loader."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from detectron2.config import CfgNode

from ..config.combinations import ADAPTIVE
from ..config.tree import own_view
from .checked_mapper import Mapper
from .two_stream import TwoStreamLoader, build_target_loader
from .validate import check_registered, require_target


def add_target(loader: Iterable[Any], cfg: CfgNode, target_mapper: Mapper | None = None) -> Any:
    """Return a loader that adds pictures of ``DATASETS.TARGET`` to each batch of yours.

    For ``build_train_loader`` of a trainer of your own. Your loader, its mapper and its order stay
    as they are. The target stream begins at the iteration of the training, also in one that
    resumes.

    Args:
        loader: any iterable of batches (``list[dict]``); one that has a target already is returned.
        cfg: with the keys of drfpn_da; read are ``DATASETS.TARGET``, the size of its batch, its
            views, and ``MODEL.ADAPT``.
        target_mapper: from a record without labels to a sample with ``image``; default:
            detectron2's ``DatasetMapper`` with the augmentations of ``INPUT``.

    Returns:
        ``loader`` itself where no objective is asked for, or ``MODEL.ADAPT.BASELINE`` is set.

    Raises:
        KeyError: a target data set is not registered.
        ValueError: there is none, or no picture in it; the baseline "oracle" with a loader of other
            data sets; when a batch is made, a mapper that reads labels.
    """
    cfg = own_view(cfg)
    node = cfg.MODEL.ADAPT
    if node.BASELINE == "oracle":
        _check_oracle(cfg)
    asked = node.OBJECTIVES or ADAPTIVE.get(cfg.MODEL.META_ARCHITECTURE)
    if isinstance(loader, TwoStreamLoader) or node.BASELINE or not asked:
        return loader
    return TwoStreamLoader(loader, build_target_loader(cfg, target_mapper))


def _check_oracle(cfg: CfgNode) -> None:
    require_target(cfg)
    for name in cfg.DATASETS.TARGET:
        check_registered(name, "DATASETS.TARGET")
    if set(cfg.DATASETS.TRAIN) != set(cfg.DATASETS.TARGET):
        raise ValueError(
            "MODEL.ADAPT.BASELINE oracle trains on the labels of DATASETS.TARGET "
            f"{list(cfg.DATASETS.TARGET)}, but the loader is your own and reads DATASETS.TRAIN "
            f"{list(cfg.DATASETS.TRAIN)}: write the target's names for DATASETS.TRAIN too"
        )
