"""The evaluator types known from the start: those of detectron2's builtin datasets."""

from __future__ import annotations

import importlib.util
from typing import Any

from detectron2.evaluation import (
    CityscapesInstanceEvaluator,
    CityscapesSemSegEvaluator,
    DatasetEvaluator,
    LVISEvaluator,
)

from drfpn_da.compat import install_cityscapes_bridge

from .build import LABEL_FREE, EvaluationContext, register_evaluator
from .classification import ClassificationEvaluator
from .coco import FastCOCOEvaluator
from .depth import DepthEvaluator
from .label_free import LabelFreeEvaluator
from .panoptic import PanopticQualityEvaluator
from .pascal_voc import PascalVOCEvaluator
from .sem_seg import MIoUEvaluator
from .slender import SlenderCOCOEvaluator
from .voc_of_coco import VOCOfCOCOEvaluator


@register_evaluator("coco", "coco_panoptic_seg", predicts=("instances", "proposals"))
def coco(context: EvaluationContext) -> DatasetEvaluator:
    """COCO average precision of boxes, masks and keypoints; recall of proposals."""
    return _coco(context, context.tasks)


@register_evaluator("cityscapes_instance", predicts="instances")
def cityscapes_boxes(context: EvaluationContext) -> DatasetEvaluator:
    """COCO average precision of boxes on Cityscapes, whose own scripts measure only masks."""
    return _coco(context, ("bbox",))


def _coco(context: EvaluationContext, tasks: tuple[str, ...] | None) -> DatasetEvaluator:
    options: dict[str, Any] = {
        "backend": context.coco_backend,
        "kpt_oks_sigmas": context.keypoint_sigmas,
    }
    kind = FastCOCOEvaluator
    if context.slender is not None:
        kind = SlenderCOCOEvaluator
        options.update(vars(context.slender))
    return kind(context.dataset_name, tasks, context.distributed, context.output_folder, **options)


@register_evaluator("lvis", predicts=("instances", "proposals"))
def lvis(context: EvaluationContext) -> DatasetEvaluator:
    """LVIS average precision by the package lvis."""
    _require("lvis", context)
    return LVISEvaluator(
        context.dataset_name,
        tasks=context.tasks,
        distributed=context.distributed,
        output_dir=context.output_folder,
    )


@register_evaluator("pascal_voc", predicts="instances")
def pascal_voc(context: EvaluationContext) -> DatasetEvaluator:
    """Average precision of VOC 2007 and of VOC 2010 and later."""
    return PascalVOCEvaluator(context.dataset_name)


@register_evaluator("voc_of_coco", predicts="instances")
def voc_of_coco(context: EvaluationContext) -> DatasetEvaluator:
    """Average precision of VOC 2007 and of VOC 2010 on a data set in COCO's format."""
    return VOCOfCOCOEvaluator(context.dataset_name)


@register_evaluator("cityscapes_instance", predicts="masks")
def cityscapes_instance(context: EvaluationContext) -> DatasetEvaluator:
    """Instance average precision by the official Cityscapes scripts."""
    return _cityscapes(CityscapesInstanceEvaluator, context)


@register_evaluator("cityscapes_sem_seg", predicts="sem_seg")
def cityscapes_sem_seg(context: EvaluationContext) -> DatasetEvaluator:
    """Class and category IoU by the official Cityscapes scripts."""
    return _cityscapes(CityscapesSemSegEvaluator, context)


@register_evaluator("sem_seg", "coco_panoptic_seg", predicts="sem_seg")
def sem_seg(context: EvaluationContext) -> DatasetEvaluator:
    """Mean intersection over union."""
    return MIoUEvaluator(context.dataset_name, context.distributed, context.output_folder)


@register_evaluator("coco_panoptic_seg", "cityscapes_panoptic_seg", predicts="panoptic")
def panoptic(context: EvaluationContext) -> DatasetEvaluator:
    """Panoptic quality."""
    return PanopticQualityEvaluator(context.dataset_name, context.distributed)


@register_evaluator("depth", predicts="depth")
def depth(context: EvaluationContext) -> DatasetEvaluator:
    """Errors of depth after median scaling."""
    return DepthEvaluator(context.dataset_name, context.distributed)


@register_evaluator("classification", predicts="classes")
def classification(context: EvaluationContext) -> DatasetEvaluator:
    """Accuracy and calibration of classes of whole pictures."""
    return ClassificationEvaluator(context.dataset_name, context.distributed)


@register_evaluator(LABEL_FREE, predicts=("instances", "sem_seg"))
def label_free(context: EvaluationContext) -> DatasetEvaluator:
    """Confidence, entropy and agreement of predictions, without labels."""
    return LabelFreeEvaluator(
        context.dataset_name, context.label_free_threshold, context.distributed
    )


def _cityscapes(kind: type[DatasetEvaluator], context: EvaluationContext) -> DatasetEvaluator:
    install_cityscapes_bridge()
    _require("cityscapesscripts", context)
    return kind(context.dataset_name)


def _require(package: str, context: EvaluationContext) -> None:
    if importlib.util.find_spec(package) is None:
        raise ImportError(
            f"Evaluating dataset '{context.dataset_name}' needs the package '{package}': "
            f"pip install {package}"
        )
