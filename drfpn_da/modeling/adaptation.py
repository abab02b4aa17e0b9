"""``adapt``: a detector that somebody else has built becomes an ``AdaptiveModel``."""

from __future__ import annotations

import logging

from detectron2.config import CfgNode
from torch import nn

from ..config import check_config
from ..config.combinations import asks_for_adaptation
from ..config.tree import own_view
from .meta_arch import AdaptiveModel

logger = logging.getLogger(__name__)


def adapt(model: nn.Module, cfg: CfgNode) -> nn.Module:
    """Put a detector into an :class:`AdaptiveModel` with the objectives of ``MODEL.ADAPT``.

    For ``build_model`` of a trainer of your own, whose ``MODEL.META_ARCHITECTURE`` stays as it is.

    Args:
        model: any detectron2 detector, on its device; an ``AdaptiveModel`` is returned as it is.
        cfg: with the keys of drfpn_da.

    Returns:
        The adaptive model; ``model`` itself where neither objective, teacher nor baseline is asked
        for.

    Raises:
        ValueError: a value out of range; an objective does not fit the detector; names the key.
        KeyError: no such objective, or feature.
    """
    cfg = own_view(cfg)
    check_config(cfg)
    if isinstance(model, AdaptiveModel) or not asks_for_adaptation(cfg):
        return model
    adapted = AdaptiveModel(**AdaptiveModel.arguments_around(model, cfg))
    adapted.train(model.training)
    logger.info("%s is adapted by %s", type(model).__name__, list(adapted.objectives))
    return adapted.to(next(model.parameters()).device)
