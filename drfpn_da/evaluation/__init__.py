"""Evaluators, chosen from dataset metadata by one table."""

from . import evaluators as _builtin  # noqa: F401  fills the table
from .build import (
    EvaluationContext,
    build_evaluators,
    build_evaluators_from_metadata,
    evaluator_types,
    register_evaluator,
)
from .coco import FastCOCOEvaluator
from .panoptic import PanopticQualityEvaluator
from .pascal_voc import PascalVOCEvaluator
from .predictions import predicted_kinds, register_predicted_kinds
from .sem_seg import MIoUEvaluator
from .slender import SlenderCOCOEvaluator

__all__ = [
    "EvaluationContext",
    "FastCOCOEvaluator",
    "MIoUEvaluator",
    "PanopticQualityEvaluator",
    "PascalVOCEvaluator",
    "SlenderCOCOEvaluator",
    "build_evaluators",
    "build_evaluators_from_metadata",
    "evaluator_types",
    "predicted_kinds",
    "register_evaluator",
    "register_predicted_kinds",
]
