"""Methods and the plain model beside each: shipped configs, on generated streets."""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

from detectron2.config import CfgNode

from benchmarks.speed.systems import config, prepared

Options = list[Any]


class Pair(NamedTuple):
    """A method and what it is compared with.

    Attributes:
        config: name of a shipped config.
        options: over it, of both.
        plain: over these, of the plain model.
    """

    config: str
    options: Options
    plain: Options


#: System of benchmarks.speed.systems -> the plain one beside it; most telling first.
SMALL = {
    "Faster R-CNN, DRFPN": "Faster R-CNN, FPN",
    "Strong-Weak": "Faster R-CNN, FPN",
    "PseudoLabel": "Faster R-CNN, FPN",
    "SCN": "Faster R-CNN, FPN",
    "DepthMix": "Semantic FPN",
    "FCOS, slender parts": "FCOS",
    "all in one, detection": "Faster R-CNN, DRFPN",
    "dense pseudo-labels": "Semantic FPN",
    "multi-task": "Semantic FPN",
    "all in one, segmentation": "Semantic FPN",
}
#: Small systems without a plain one, which are checked all the same.
ALONE = ("depth from video", "Mask R-CNN, DRFPN", "RetinaNet, DRFPN")

_CLEAR = [
    *("DATASETS.TRAIN", ("streets_mini_clear_train",)),
    *("DATASETS.TEST", ("streets_mini_clear_val",)),
]
_TARGET = ["DATASETS.TARGET", ("streets_mini_foggy_train",), "SOLVER.TARGET_IMS_PER_BATCH", 2]
# Two pictures of each kind, as the published batches are on eight GPUs.
_SIX_CLASSES = [
    *("SOLVER.IMS_PER_BATCH", 2, "SOLVER.REFERENCE_WORLD_SIZE", 0, "TEST.BEST_METRIC", ""),
    *("MODEL.ROI_HEADS.NUM_CLASSES", 6, "MODEL.RETINANET.NUM_CLASSES", 6),
    *("MODEL.FCOS.NUM_CLASSES", 6, "INPUT.MASK_FORMAT", "bitmask"),
]
_BOXES = [*_CLEAR, *_SIX_CLASSES]
_PIXELS = [
    *(*_CLEAR, *_TARGET, "SOLVER.IMS_PER_BATCH", 2, "TEST.BEST_METRIC", ""),
    # DepthMix reads the labels of target pictures that have some.
    *("DATASETS.TARGET", ("streets_mini_clear_train",)),
    *("INPUT.DISPARITY.ROOT", "", "INPUT.CROP.ENABLED", False),
    *("DATASETS.LABELLED.COUNT", 8, "DATASETS.LABELLED.FILE", ""),
]
_FPN = [
    *("MODEL.DRFPN.PPM.ENABLED", False, "MODEL.DRFPN.SRB.ENABLED", False),
    *("MODEL.DRFPN.CRB.ENABLED", False, "MODEL.DRFPN.BOTTOM_UP_PATH", False),
]
_SOURCE_ONLY = ["MODEL.ADAPT.BASELINE", "source_only"]
_PSEUDO = [
    *(*_BOXES, *_TARGET, "MODEL.ADAPT.OBJECTIVES", ["PseudoLabel"]),
    # A network of random weights is not sure of anything.
    *("MODEL.PSEUDO_LABEL.THRESHOLD", 0.1, "MODEL.PSEUDO_LABEL.ADAPTIVE.FLOOR", 0.05),
]
_FOGGY = "strong_weak/foggy_cityscapes/faster_rcnn_R_50_FPN.yaml"
_TEACHER = "pseudo_label/foggy_cityscapes/strong_weak_faster_rcnn_R_50_FPN.yaml"
_PLAIN_FCOS = [
    *("MODEL.FCOS.CENTERNESS", "standard", "MODEL.FCOS.CENTERNESS_WEIGHTED_LOSS", False),
    *("MODEL.FCOS.ADAPTATION", "none", "MODEL.FCOS.TWO_STEP.ENABLED", False),
]
_DRFPN = "drfpn/coco/faster_rcnn_R_50_DRFPN_1x.yaml"
_SCN = ["MODEL.ROI_HEADS.NAME", "SCNROIHeads"]

#: The published networks, all of ResNet-50; most telling first.
PUBLISHED = {
    "Faster R-CNN, DRFPN": Pair(_DRFPN, _BOXES, _FPN),
    "Strong-Weak": Pair(_FOGGY, [*_BOXES, *_TARGET], _SOURCE_ONLY),
    "PseudoLabel, safeguards": Pair(_TEACHER, _PSEUDO, _SOURCE_ONLY),
    "DepthMix": Pair("depth_mix/cityscapes/semseg_R_50_100.yaml", _PIXELS, _SOURCE_ONLY),
    "SCN": Pair(_DRFPN, [*_BOXES, *_SCN], ["MODEL.ROI_HEADS.NAME", "StandardROIHeads"]),
    "FCOS, slender parts": Pair(
        "slender/coco/fcos_R_50_FPN_supervised_1x.yaml", _BOXES, _PLAIN_FCOS
    ),
    "Mask R-CNN, DRFPN": Pair("drfpn/coco/mask_rcnn_R_50_DRFPN_1x.yaml", _BOXES, _FPN),
    "RetinaNet, DRFPN": Pair("drfpn/coco/retinanet_R_50_DRFPN_1x.yaml", _BOXES, _FPN),
    "dense pseudo-labels": Pair(
        "pseudo_label/cityscapes/semseg_R_50_372.yaml", _PIXELS, _SOURCE_ONLY
    ),
}


def small_configs(name: str, args: argparse.Namespace, folder: str) -> tuple[CfgNode, CfgNode]:
    """Configs of a system of :data:`SMALL` and of the plain one, with equal labelled batches."""
    method, plain = (config(system, args, folder) for system in (name, SMALL[name]))
    plain.SOLVER.IMS_PER_BATCH = method.SOLVER.IMS_PER_BATCH
    return method, plain


def published_configs(name: str, args: argparse.Namespace, folder: str) -> tuple[CfgNode, CfgNode]:
    """Configs of a system of :data:`PUBLISHED` and of the plain one."""
    pair = PUBLISHED[name]
    method, plain = (prepared(pair.config, args, folder) for _ in range(2))
    method.merge_from_list(pair.options)
    plain.merge_from_list([*pair.options, *pair.plain])
    return method, plain
