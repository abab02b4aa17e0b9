"""A model that predicts twice, so that its predictions can be compared without labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Callable

from detectron2.structures import Boxes, Instances
from torch import nn

from ..evaluation import OTHER_EVALUATION
from ..modeling import AdaptiveModel, SlidingWindow
from ..renamed import former_names
from .step import unwrap

Batch = list[dict[str, Any]]
KINDS = ("auto", "teacher", "flip", "none")


class WithOtherEvaluation(nn.Module):
    """Returns a model's outputs, each with another prediction under "other_evaluation".

    For evaluation; see :class:`drfpn_da.evaluation.LabelFreeEvaluator`.

    Args:
        model: any detectron2 model, perhaps in ``DistributedDataParallel``.
        kind: "teacher" (of an AdaptiveModel; the student's if the teacher is the one evaluated),
            "flip" (the same model on mirrored pictures) or "auto": "teacher" if there is one.

    Raises:
        ValueError: another kind, or "teacher" without a teacher.
    """

    def __init__(self, model: nn.Module, kind: str = "auto") -> None:
        super().__init__()
        if kind not in ("auto", "teacher", "flip"):
            raise ValueError(
                f"TEST.LABEL_FREE.SECOND_OPINION is '{kind}'; write one of {', '.join(KINDS)}"
            )
        plain = unwrap(model)
        if kind == "auto":
            kind = "teacher" if getattr(plain, "teacher", None) is not None else "flip"
        self.model = model
        self._second: Callable[[Batch], Batch] = (
            other_evaluation(model, "TEST.LABEL_FREE.SECOND_OPINION")[1]
            if kind == "teacher"
            else lambda inputs: unmirror(model(mirror(inputs)))
        )
        # Evaluation puts a model back into the mode in which it was.
        self.training = model.training

    def forward(self, inputs: Batch) -> Batch:
        """Return detectron2 outputs of a batch of test pictures."""
        outputs = self.model(inputs)
        for output, second in zip(outputs, self._second(inputs)):
            output[OTHER_EVALUATION] = second
        return list(outputs)


def other_evaluation(model: nn.Module, key: str) -> tuple[str, Callable[[Batch], Batch]]:
    """Return the one of student and teacher that is not evaluated: its name and what it predicts.

    Args:
        model: an AdaptiveModel with a teacher; in a ``SlidingWindow`` the other gets one as well.
        key: config key that asks for it, for the message.

    Raises:
        ValueError: there is no teacher.
    """
    plain = unwrap(model)
    if not isinstance(plain, AdaptiveModel) or plain.teacher is None:
        raise ValueError(
            f"{key} needs a mean teacher: write MODEL.META_ARCHITECTURE AdaptiveModel and "
            "MODEL.TEACHER.ENABLED True, or do without"
        )
    name = "student" if plain.evaluate == "teacher" else "teacher"
    predict = partial(plain.predict, by=name)
    return name, model.around(predict) if isinstance(model, SlidingWindow) else predict


def mirror(inputs: Sequence[dict[str, Any]]) -> Batch:
    """Return test inputs with pictures mirrored left to right.

    Raises:
        ValueError: inputs come with proposals, which are not mirrored.
    """
    if any("proposals" in one for one in inputs):
        raise ValueError(
            "TEST.LABEL_FREE.SECOND_OPINION flip cannot mirror precomputed proposals "
            "(MODEL.LOAD_PROPOSALS): write none"
        )
    return [{**one, "image": one["image"].flip(-1)} for one in inputs]


def unmirror(outputs: Batch) -> Batch:
    """Return predictions on mirrored pictures as predictions on the pictures themselves.

    Of "instances" boxes, classes and scores are kept, and "sem_seg"; nothing else.
    """
    turned = []
    for output in outputs:
        kept: dict[str, Any] = {}
        if "instances" in output:
            kept["instances"] = _unmirror_instances(output["instances"])
        if "sem_seg" in output:
            kept["sem_seg"] = output["sem_seg"].flip(-1)
        turned.append(kept)
    return turned


def _unmirror_instances(instances: Instances) -> Instances:
    boxes = instances.pred_boxes.tensor.clone()
    boxes[:, [0, 2]] = instances.image_size[1] - boxes[:, [2, 0]]
    return Instances(
        instances.image_size,
        pred_boxes=Boxes(boxes),
        scores=instances.scores,
        pred_classes=instances.pred_classes,
    )


__getattr__ = former_names(
    __name__, SecondOpinion="WithOtherEvaluation", the_other="other_evaluation"
)
