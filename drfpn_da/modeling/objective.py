"""Objectives: losses beside a plain detector that need more than one labelled picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

import torch
from detectron2.utils.registry import Registry
from torch import Tensor, nn

from .feature_taps import FeatureTaps, Recording
from .teacher import MeanTeacher

OBJECTIVE_REGISTRY = Registry("OBJECTIVE")
OBJECTIVE_REGISTRY.__doc__ = """
Losses that train beside a detector's own, subclasses of :class:`Objective`.

Called with the config and the :class:`FeatureTaps` of the detector, for shapes of features.
"""


#: Fields of a target picture that go with what is made of it; nothing that could be a label.
KEPT = ("file_name", "image_id", "height", "width", "domain")


def replaced(sample: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a target picture's dict with nothing but the fields of ``KEPT`` and those given."""
    return {**{key: sample[key] for key in KEPT if key in sample}, **fields}


@dataclass
class DomainPass:
    """Inputs, features and losses of one domain's images in a step.

    Attributes:
        inputs: data set dicts of the pictures.
        features: required features, with masks of their padding.
        losses: the detector's own losses; empty for a target without pseudo-labels.
    """

    inputs: list[dict[str, Any]]
    features: Recording
    losses: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class AdaptationStep:
    """One training step, as an objective sees it.

    Attributes:
        iteration: of the training.
        detector: the student.
        teacher: its moving average, or None.
        target_inputs: data set dicts of the target pictures; labelled by the objective that may.
        source: after the source pass.
        target: after the target pass; None if no active objective asked for one.
        cache: what several objectives use, computed once per step.
    """

    iteration: int
    detector: nn.Module
    teacher: Optional[MeanTeacher]
    target_inputs: list[dict[str, Any]]
    source: Optional[DomainPass] = None
    target: Optional[DomainPass] = None
    cache: dict[str, Any] = field(default_factory=dict)


class Objective(nn.Module):
    """Base class of objectives; :class:`AdaptiveModel` calls the methods in the order below.

    Attributes:
        name: key in checkpoints (``objectives.<name>.*``) and prefix of its losses.
        needs_target: target pictures must pass the backbone.
        needs_teacher: a :class:`MeanTeacher` must exist.
        labels_target: :meth:`label_target` returns labels; one objective of a model at most does.
        needs_labeller: acts on the pass of target pictures that another objective labels.
        teacher_may_train: the teacher labels in training mode, too (MODEL.TEACHER.TRAIN_MODE).
        at_inference: features are recorded in evaluation too, and a teacher has an averaged copy of
            this objective, which is attached to it in place of this one.
        start_iter: before this iteration the objective is idle.
    """

    name = "objective"
    needs_target = True
    needs_teacher = False
    labels_target = False
    needs_labeller = False
    teacher_may_train = False
    at_inference = False
    start_iter = 0

    def attach(self, detector: nn.Module, taps: FeatureTaps) -> None:
        """Prepare for a detector: require features, check that everything fits, install hooks.

        Called while the model is built, for the student, and then for its teacher if there is one.
        """

    def label_target(self, step: AdaptationStep) -> Optional[Sequence[dict[str, Any]]]:
        """Return target inputs with labels, or None.

        With labels, the target passes the whole detector, whose losses are in
        ``step.target.losses``; they are not trained on unless this objective returns them. Whoever
        does so declares :attr:`labels_target`, and runs networks within
        :func:`drfpn_da.functional.no_grad.without_gradients`.
        """
        return None

    def target_losses(self, detector: nn.Module, inputs: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Run the student on what :meth:`label_target` returned, within the recorded target pass.

        Returns:
            ``step.target.losses``; here the detector's own losses.
        """
        return dict(detector(inputs))

    def forward(self, step: AdaptationStep) -> dict[str, Tensor]:
        """Return named losses, all parameters of this objective taking part in them."""
        raise NotImplementedError

    def idle(self) -> dict[str, Tensor]:
        """Return losses before ``start_iter``: a zero in which every parameter takes part.

        ``DistributedDataParallel`` then needs no search for unused parameters.
        """
        trained = [p for p in self.parameters() if p.requires_grad]
        return {"loss_idle": zero_of(trained)} if trained else {}


def zero_of(parameters: Iterable[Tensor]) -> Tensor:
    """Return a zero in which every parameter takes part."""
    return torch.stack([(p * 0.0).sum() for p in parameters]).sum()
