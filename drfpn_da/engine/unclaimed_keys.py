"""Keys that are set, but that nothing in a trainer of somebody else acts on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Callable

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase, hooks
from detectron2.utils import comm

from ..config.combinations import lookup
from ..config.tree import RULES
from ..data.loader import TrainLoader
from ..data.two_stream import TwoStreamLoader
from ..modeling import AdaptiveModel
from .dense_label_hook import DenseLabelHook
from .hooks import PredictionPictures
from .pseudo_label_monitor import PseudoLabelMonitor
from .relabel_hook import SCNRelabelHook
from .step import unwrap

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claim:
    """Who acts on a key that is set.

    Attributes:
        keys: full names.
        claimed: whether somebody in a trainer does, given the config.
        mend: what to write.
    """

    keys: tuple[str, ...]
    claimed: Callable[[Any, CfgNode], bool]
    mend: str


def _step_trainer(trainer: Any) -> Any:
    return getattr(trainer, "_trainer", trainer)


def _adapted(trainer: Any, cfg: CfgNode) -> bool:
    return isinstance(unwrap(trainer.model), AdaptiveModel)


def _loader(trainer: Any) -> Any:
    return getattr(_step_trainer(trainer), "data_loader", None)


def _two_streams(trainer: Any, cfg: CfgNode) -> bool:
    return isinstance(_loader(trainer), TwoStreamLoader) or bool(cfg.MODEL.ADAPT.BASELINE)


def _own_source(trainer: Any, cfg: CfgNode) -> bool:
    """Return whether the labelled pictures come from the loader of drfpn_da."""
    loader = _loader(trainer)
    return isinstance(getattr(loader, "source", loader), TrainLoader)


def _baseline(trainer: Any, cfg: CfgNode) -> bool:
    targets = set(cfg.DATASETS.TRAIN) == set(cfg.DATASETS.TARGET)
    if cfg.MODEL.ADAPT.BASELINE == "oracle" and not (targets or _own_source(trainer, cfg)):
        return False
    return _adapted(trainer, cfg) and not isinstance(_loader(trainer), TwoStreamLoader)


def _has_hook(kind: type) -> Callable[[Any, CfgNode], bool]:
    return lambda trainer, cfg: any(isinstance(hook, kind) for hook in trainer._hooks)


def _optimizer(trainer: Any, cfg: CfgNode) -> bool:
    """Return whether the optimiser, perhaps with clipping, is the one that is named."""
    kinds = type(_step_trainer(trainer).optimizer).__mro__
    return cfg.SOLVER.OPTIMIZER.lower() == next(
        (k.__name__.lower() for k in kinds if k.__module__.startswith("torch.optim")), ""
    )


def _rates(trainer: Any, cfg: CfgNode) -> bool:
    return len({group["lr"] for group in _step_trainer(trainer).optimizer.param_groups}) > 1


def _precision(trainer: Any, cfg: CfgNode) -> bool:
    precision = getattr(_step_trainer(trainer), "precision", None)
    return not cfg.SOLVER.AMP.ENABLED or precision is torch.bfloat16


def _nobody(trainer: Any, cfg: CfgNode) -> bool:
    return False


_ADAPT = "wrap the model: drfpn_da.adapt(model, cfg) in build_model"
_EVALUATORS = (
    "it acts where build_evaluator returns drfpn_da.evaluation.build_evaluators(cfg, name, folder)"
)
_SOURCE = "it acts where build_train_loader starts from drfpn_da.data.build_train_loader(cfg)"
_OPTIMIZER = "it acts where build_optimizer returns drfpn_da.engine.build_optimizer(cfg, model)"
CLAIMS = (
    Claim(
        ("MODEL.ADAPT.OBJECTIVES", "MODEL.TEACHER.ENABLED", "MODEL.TEACHER.EVAL"), _adapted, _ADAPT
    ),
    Claim(
        ("MODEL.ADAPT.BASELINE",),
        _baseline,
        f"{_ADAPT}, leave the target out of the batch, and for oracle name the data sets of "
        "DATASETS.TARGET in DATASETS.TRAIN",
    ),
    Claim(
        ("DATASETS.TARGET", "SOLVER.TARGET_IMS_PER_BATCH", "INPUT.TARGET_VIEWS"),
        _two_streams,
        "name an objective in MODEL.ADAPT.OBJECTIVES, and add the target: "
        "drfpn_da.add_target(loader, cfg) in build_train_loader",
    ),
    Claim(
        (
            "DATASETS.LABELLED.COUNT",
            "DATASETS.LABELLED.FILE",
            "INPUT.SOURCE_VIEW",
            "MODEL.DEPTH.ON_LABELLED",
        ),
        _own_source,
        _SOURCE,
    ),
    Claim(
        ("SOLVER.ACCUMULATION_STEPS",),
        lambda trainer, cfg: "run_step" in vars(_step_trainer(trainer)),
        "call drfpn_da.engine.accumulate_gradients(self._trainer, steps) once the trainer is built",
    ),
    Claim(("SOLVER.OPTIMIZER",), _optimizer, _OPTIMIZER),
    Claim(("SOLVER.LR_FACTORS",), _rates, _OPTIMIZER),
    Claim(("SOLVER.AMP.PRECISION",), _precision, "write float16"),
    Claim(("SCN_RELABEL.ENABLED",), _has_hook(SCNRelabelHook), "add the hooks: drfpn_da.add_hooks"),
    Claim(
        ("MODEL.PSEUDO_LABEL.STORE.ENABLED",),
        _has_hook(DenseLabelHook),
        "add the hooks: drfpn_da.add_hooks",
    ),
    Claim(
        ("MODEL.PSEUDO_LABEL.MONITOR.DATASET",),
        _has_hook(PseudoLabelMonitor),
        "add the hooks: drfpn_da.add_hooks",
    ),
    Claim(
        ("TEST.BEST_METRIC",),
        _has_hook(hooks.BestCheckpointer),
        "give add_hooks a list with detectron2's PeriodicCheckpointer, and name DATASETS.TEST",
    ),
    Claim(("TEST.VIS_IMAGES",), _has_hook(PredictionPictures), "add the hook PredictionPictures"),
    Claim(("TEST.SLENDER.ENABLED", "TEST.LABEL_FREE.ENABLED"), _nobody, _EVALUATORS),
    Claim(("TEST.EVAL_BOTH", "TEST.SLIDING_WINDOW.SIZE"), _nobody, "Trainer.test alone reads it"),
)


class UnclaimedKeys(HookBase):
    """Warns at the first step of keys of drfpn_da that are set and that nobody acts on.

    Args:
        cfg: with the keys of drfpn_da.
    """

    def __init__(self, cfg: CfgNode) -> None:
        self._cfg = cfg
        self._looked = False

    def before_step(self) -> None:
        """Look once, when everything that a trainer consists of is there."""
        if self._looked:
            return
        self._looked = True
        lines = list(self._unclaimed())
        if lines and comm.is_main_process():
            logger.warning(
                "%d keys of drfpn_da are set, but nothing in this trainer acts on them "
                "(drfpn_da.engine.Trainer does):\n%s",
                len(lines),
                "\n".join(lines),
            )

    def _unclaimed(self) -> Iterator[str]:
        for claim in CLAIMS:
            for key in claim.keys:
                value = lookup(self._cfg, key)
                set_here = value != RULES[key].default
                if set_here and not claim.claimed(self.trainer, self._cfg):
                    yield f"  {key} {value!r}: {claim.mend}"
