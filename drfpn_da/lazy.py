"""LazyConfigs of other projects: their detector adapted, a target beside their data."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from detectron2.config import LazyCall
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn

from .data import build_target_loader, build_two_stream_loader, get_target_dicts
from .layers import DomainDiscriminator, GlobalDiscriminator, LocalDiscriminator
from .modeling import AdaptiveModel, FeatureTaps
from .objectives import AlignmentTap, StrongWeakAlignment

__all__ = ["adapt", "align"]


def adapt(
    cfg: DictConfig,
    target: str | Sequence[str],
    local: Sequence[str] = (),
    global_: Sequence[str] = (),
) -> DictConfig:
    """Align the model of a LazyConfig with Strong-Weak Alignment, and add the target's pictures.

    References within the config (``${..train.mapper.image_format}``) are replaced by what they
    point to, for model and training loader move one level down; those that lead nowhere stay. The
    target has a copy of the source's mapper, and as many pictures in a batch.

    Call it when everything else is set.

    Args:
        cfg: with ``model`` and ``dataloader.train`` as in detectron2's ``configs/common``; changed
            in place.
        target: registered data sets, of whose labels none is read.
        local: features that are aligned locally, such as ``res2``.
        global_: features that are aligned globally, such as ``res4``.

    Returns:
        ``cfg``.

    Raises:
        ValueError: no feature; a section that is adapted already, or absent.
    """
    if not (local or global_):
        raise ValueError('name a feature to align: local=["res2"], global_=["res4"]')
    for path in ("model", "dataloader.train"):
        if OmegaConf.select(cfg, path) is None:
            raise ValueError(f"the config has no {path}, which adapt needs")
    if cfg.model.get("_target_") in (align, f"{__name__}.{align.__name__}"):
        raise ValueError("the model of this config is adapted already: call adapt once")
    _resolve(cfg)
    source = cfg.dataloader.train
    stream = LazyCall(build_target_loader)(
        dataset=LazyCall(get_target_dicts)(names=target),
        mapper=copy.deepcopy(source.mapper),
        total_batch_size=source.total_batch_size,
        num_workers=source.get("num_workers", 0),
    )
    cfg.dataloader.train = LazyCall(build_two_stream_loader)(source=source, target=stream)
    cfg.model = LazyCall(align)(detector=cfg.model, local=list(local), global_=list(global_))
    return cfg


def align(
    detector: nn.Module, local: Sequence[str] = (), global_: Sequence[str] = ()
) -> AdaptiveModel:
    """Return a detector in an :class:`AdaptiveModel` that aligns features, whatever their channels.

    Args:
        detector: any.
        local: features for local discriminators.
        global_: features for global ones.

    Raises:
        KeyError: no such feature; the message lists those that exist.
    """
    features = FeatureTaps(detector)
    kinds: list[tuple[type[DomainDiscriminator], Sequence[str]]] = [
        (GlobalDiscriminator, global_),  # first, as from YAML: the order of contexts
        (LocalDiscriminator, local),
    ]
    taps = [
        AlignmentTap(name, kind(in_channels=features.shape(name).channels))  # type: ignore[call-arg]
        for kind, names in kinds
        for name in names
    ]
    return AdaptiveModel(detector=detector, objectives=[StrongWeakAlignment(taps=taps)])


def _resolve(node: Any) -> None:
    """Replace the references below a node by their values, as far as they lead somewhere."""
    for key in range(len(node)) if isinstance(node, ListConfig) else list(node):
        if OmegaConf.is_missing(node, key):
            continue
        try:
            value = node[key]
        except OmegaConfBaseException:
            continue
        if OmegaConf.is_interpolation(node, key):
            node[key] = copy.deepcopy(value)
        if isinstance(value, (DictConfig, ListConfig)):
            _resolve(node[key])
