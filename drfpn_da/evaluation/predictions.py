"""Kinds of predictions of a configured model, by meta-architecture.

Kinds: "instances", "masks" (instances with masks), "keypoints", "proposals", "sem_seg", "panoptic",
"depth", "classes".
"""

from __future__ import annotations

import inspect
from typing import Callable, TypeVar

from detectron2.config import CfgNode
from detectron2.modeling import META_ARCH_REGISTRY

KindsFunction = Callable[[CfgNode], "frozenset[str] | None"]
_Function = TypeVar("_Function", bound=KindsFunction)

_TABLE: dict[str, KindsFunction] = {}


def register_predicted_kinds(*meta_architectures: str) -> Callable[[_Function], _Function]:
    """Tell what a meta-architecture predicts, as a function of the config.

    Subclasses of a registered one need no entry of their own.
    """

    def decorator(function: _Function) -> _Function:
        _TABLE.update(dict.fromkeys(meta_architectures, function))
        return function

    return decorator


def predicted_kinds(cfg: CfgNode) -> frozenset[str] | None:
    """Return the kinds that the configured model predicts, or None if its class is unknown here."""
    return _kinds_of(cfg.MODEL.META_ARCHITECTURE, cfg)


def _kinds_of(name: str, cfg: CfgNode) -> frozenset[str] | None:
    if name in _TABLE:
        return _TABLE[name](cfg)
    model = META_ARCH_REGISTRY.get(name)
    bases = inspect.getmro(model) if inspect.isclass(model) else ()
    for base in bases:
        if base.__name__ in _TABLE:
            return _TABLE[base.__name__](cfg)
    return None


def predicted_tasks(cfg: CfgNode) -> tuple[str, ...] | None:
    """Return the COCO tasks of the configured model, or None to take them from its predictions.

    Named beforehand, the metrics have the same keys at every evaluation, even at one where the
    model found nothing.
    """
    kinds = predicted_kinds(cfg)
    if kinds is None or "instances" not in kinds:
        return None
    optional = {"masks": "segm", "keypoints": "keypoints"}
    return ("bbox", *(task for kind, task in optional.items() if kind in kinds))


@register_predicted_kinds("GeneralizedRCNN")
def _rcnn(cfg: CfgNode) -> frozenset[str]:
    kinds = {"instances"}
    if cfg.MODEL.MASK_ON:
        kinds.add("masks")
    if cfg.MODEL.KEYPOINT_ON:
        kinds.add("keypoints")
    return frozenset(kinds)


@register_predicted_kinds("PanopticFPN")
def _panoptic_fpn(cfg: CfgNode) -> frozenset[str]:
    return _rcnn(cfg) | {"sem_seg", "panoptic"}


@register_predicted_kinds("AdaptiveModel")
def _adapted(cfg: CfgNode) -> frozenset[str] | None:
    return _kinds_of(cfg.MODEL.ADAPT.DETECTOR, cfg)


def _always(kind: str) -> KindsFunction:
    return lambda cfg: frozenset({kind})


register_predicted_kinds("RetinaNet", "FCOS")(_always("instances"))
register_predicted_kinds("ProposalNetwork")(_always("proposals"))
register_predicted_kinds("SelfSupervisedDepth", "DepthStudent")(_always("depth"))
register_predicted_kinds("PatchClassifier")(_always("classes"))
register_predicted_kinds("SemanticSegmentor", "DepthMixSegmentor")(_always("sem_seg"))
