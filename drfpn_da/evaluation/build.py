"""From a dataset's metadata and a config to its evaluators, by one table.

The table maps an evaluator type, which datasets name in their metadata (``evaluator_type``, or
``evaluator_types`` for several), to factories. A project adds to it with :func:`register_evaluator`
and needs no other hook.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Callable

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator, DatasetEvaluators

from .predictions import predicted_kinds, predicted_tasks
from .slender import SlenderCOCOEvaluator
from .slender_bins import SlenderOptions, slender_options

logger = logging.getLogger(__name__)

#: Evaluator type of the scores without labels.
LABEL_FREE = "label_free"


@dataclass(frozen=True)
class EvaluationContext:
    """The arguments of a factory of evaluators."""

    dataset_name: str
    output_folder: str | None = None
    # COCO tasks of the model ("bbox", "segm", "keypoints"). None: taken from its predictions.
    tasks: tuple[str, ...] | None = None
    # TEST.COCO_BACKEND: "auto", "pycocotools" or "faster-coco-eval".
    coco_backend: str = "auto"
    # TEST.KEYPOINT_OKS_SIGMAS.
    keypoint_sigmas: tuple[float, ...] = ()
    # TEST.SLENDER: COCO metrics by slenderness beside the ordinary ones. None: without.
    slender: SlenderOptions | None = None
    # Gather the results of all processes.
    distributed: bool = True
    # TEST.LABEL_FREE.ENABLED: scores without labels beside the data set's own evaluators, or alone
    # if it has none.
    label_free: bool = False
    # TEST.LABEL_FREE.SCORE_THRESH.
    label_free_threshold: float = 0.3


Factory = Callable[[EvaluationContext], DatasetEvaluator]


@dataclass(frozen=True)
class _Entry:
    factory: Factory
    predicts: frozenset[str]


_TABLE: dict[str, list[_Entry]] = {}


def register_evaluator(
    *types: str, predicts: str | Iterable[str], replace: bool = False
) -> Callable[[Factory], Factory]:
    """Add a factory to the evaluators of one or more types.

    Args:
        types: names that datasets give in ``evaluator_type`` or ``evaluator_types``.
        predicts: the factory is used if the model predicts at least one of these kinds:
            "instances", "masks", "proposals", "sem_seg", "panoptic", "depth", "classes".
        replace: forget what the types meant before.

    A type may have several factories: detectron2's ``coco_panoptic_seg`` has three.
    """
    kinds = frozenset([predicts] if isinstance(predicts, str) else predicts)

    def decorator(factory: Factory) -> Factory:
        for name in types:
            entries = [] if replace else _TABLE.get(name, [])
            _TABLE[name] = [*entries, _Entry(factory, kinds)]
        return factory

    return decorator


def evaluator_types() -> list[str]:
    """Return the known evaluator types, sorted."""
    return sorted(_TABLE)


def build_evaluators(
    cfg: CfgNode, dataset_name: str, output_folder: str | None = None
) -> DatasetEvaluators:
    """Build the evaluators of a dataset that apply to the configured model.

    Args:
        cfg: a config with the keys of drfpn_da.
        dataset_name: a registered dataset.
        output_folder: where results are dumped. None: nowhere.

    Raises:
        KeyError: if the dataset's metadata name no evaluator type (and scores without labels are
            not asked for), or an unknown one.
        ValueError: if the model predicts nothing that the dataset's evaluators measure, or
            ``TEST.SLENDER`` cannot be.
    """
    return build_evaluators_from_metadata(
        EvaluationContext(
            dataset_name,
            output_folder,
            tasks=predicted_tasks(cfg),
            coco_backend=cfg.TEST.COCO_BACKEND,
            keypoint_sigmas=tuple(cfg.TEST.KEYPOINT_OKS_SIGMAS),
            label_free=cfg.TEST.LABEL_FREE.ENABLED,
            label_free_threshold=cfg.TEST.LABEL_FREE.SCORE_THRESH,
            slender=slender_options(cfg),
        ),
        predicts=predicted_kinds(cfg),
    )


def build_evaluators_from_metadata(
    context: EvaluationContext, predicts: Iterable[str] | None = None
) -> DatasetEvaluators:
    """Like :func:`build_evaluators`, for Python and LazyConfig users.

    Args:
        context: dataset and options.
        predicts: kinds that the model predicts (see :func:`register_evaluator`). None: everything
            that the dataset's evaluators measure.
    """
    kinds = None if predicts is None else frozenset(predicts)
    types = _types_of(context)
    entries = [entry for name in types for entry in _entries(name, context.dataset_name)]
    factories = [e.factory for e in entries if kinds is None or e.predicts & kinds]
    if not factories:
        measured = sorted(set().union(*(entry.predicts for entry in entries)))
        raise ValueError(
            f"Nothing to evaluate: the model predicts {sorted(kinds or ())}, the evaluators of "
            f"dataset '{context.dataset_name}' ({', '.join(types)}) measure {measured}. "
            "Choose another DATASETS.TEST or another model."
        )
    # Two types of one dataset may share a factory; each runs once.
    evaluators = [factory(context) for factory in dict.fromkeys(factories)]
    if context.slender and not any(isinstance(e, SlenderCOCOEvaluator) for e in evaluators):
        logger.warning(
            "TEST.SLENDER.ENABLED has no effect on dataset '%s': only COCO metrics are given by "
            "slenderness, and it is evaluated as %s.",
            context.dataset_name,
            ", ".join(types),
        )
    return DatasetEvaluators(evaluators)


def _types_of(context: EvaluationContext) -> list[str]:
    dataset_name = context.dataset_name
    metadata = MetadataCatalog.get(dataset_name)
    several = metadata.get("evaluator_types") or [metadata.get("evaluator_type")]
    types = [name for name in several if name is not None]
    if context.label_free:
        types.append(LABEL_FREE)
    if not types:
        raise KeyError(
            f"Dataset '{dataset_name}' does not say how it is evaluated. Write "
            f"MetadataCatalog.get('{dataset_name}').set(evaluator_type=...) with one of "
            f"{evaluator_types()}, or your own type added by register_evaluator; pictures without "
            "labels need TEST.LABEL_FREE.ENABLED True."
        )
    return types


def _entries(evaluator_type: str, dataset_name: str) -> list[_Entry]:
    try:
        return _TABLE[evaluator_type]
    except KeyError:
        raise KeyError(
            f"Unknown evaluator type '{evaluator_type}' of dataset '{dataset_name}'. "
            f"Known: {evaluator_types()}. Add your own with "
            f"@drfpn_da.evaluation.register_evaluator('{evaluator_type}', predicts=...)."
        ) from None
