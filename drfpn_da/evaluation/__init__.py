"""Evaluators, chosen from dataset metadata by one table."""

from ..renamed import former_names
from . import evaluators as _builtin  # noqa: F401  fills the table
from .build import (
    EvaluationContext,
    build_evaluators,
    build_evaluators_from_metadata,
    evaluator_types,
    register_evaluator,
)
from .classification import ClassificationEvaluator
from .coco import FastCOCOEvaluator
from .dense_label_quality import DenseLabelQualityEvaluator
from .depth import DepthEvaluator
from .label_free import OTHER_EVALUATION, LabelFreeEvaluator
from .label_free_correlation import ScoreQuality, rank_correlations, spearman
from .label_free_scores import is_label_free, needs_other_evaluation, selection_mode
from .panoptic import PanopticQualityEvaluator
from .pascal_voc import PascalVOCEvaluator
from .predictions import predicted_kinds, register_predicted_kinds
from .pseudo_label_quality import PseudoLabelQualityEvaluator
from .sem_seg import MIoUEvaluator
from .slender import SlenderCOCOEvaluator
from .voc_of_coco import VOCOfCOCOEvaluator

__all__ = [
    "ClassificationEvaluator",
    "DenseLabelQualityEvaluator",
    "DepthEvaluator",
    "EvaluationContext",
    "FastCOCOEvaluator",
    "OTHER_EVALUATION",
    "LabelFreeEvaluator",
    "MIoUEvaluator",
    "PanopticQualityEvaluator",
    "PascalVOCEvaluator",
    "PseudoLabelQualityEvaluator",
    "ScoreQuality",
    "SlenderCOCOEvaluator",
    "VOCOfCOCOEvaluator",
    "build_evaluators",
    "build_evaluators_from_metadata",
    "evaluator_types",
    "is_label_free",
    "needs_other_evaluation",
    "predicted_kinds",
    "rank_correlations",
    "register_evaluator",
    "register_predicted_kinds",
    "selection_mode",
    "spearman",
]

__getattr__ = former_names(
    __name__,
    SECOND_OPINION="OTHER_EVALUATION",
    needs_second_opinion="needs_other_evaluation",
)
