"""Context vectors for the box heads of R-CNN detectors (arXiv 1812.04798, section 3.3).

The published heads concatenate [global context, local context, ROI feature] and classify with wider
linear layers. Here the ROI columns stay where they are, in the detector's own ``cls_score`` and
``bbox_pred``, and the context columns are layers of their own whose outputs are added: the same
function, but checkpoints of the plain detector keep their shapes, and the product with the context
is computed once per picture in place of once per ROI.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Optional

import torch
from torch import Tensor, nn

from .feature_taps import FeatureTaps, Recording

_LAYERS = ("cls_score", "bbox_pred")
_COUNTS = "rois_per_picture"


class ContextColumns(nn.Module):
    """The columns of the box predictors that act on the context; zero at the start.

    Args:
        detector: R-CNN detector; see :func:`find_box_heads`.
        channels: length of the context vector.

    Raises:
        ValueError: the detector has no such box heads.
    """

    def __init__(self, detector: nn.Module, channels: int) -> None:
        super().__init__()
        _, predictors = find_box_heads(detector)
        self.stages = nn.ModuleList(
            nn.ModuleDict(
                {
                    name: nn.Linear(channels, getattr(predictor, name).out_features, bias=False)
                    for name in _LAYERS
                }
            )
            for predictor in predictors
        )
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def install(
        self,
        detector: nn.Module,
        taps: FeatureTaps,
        contexts: Callable[[Recording], Optional[Tensor]],
    ) -> None:
        """Add the columns' outputs in the box predictors of a detector.

        Args:
            detector: the one given before, or a copy of it.
            taps: of this detector.
            contexts: returns the (N, channels) contexts of the pictures of a pass, or None to leave
                the pass alone.
        """
        pooler, predictors = find_box_heads(detector)
        pooler.register_forward_pre_hook(_Counter(taps))
        for stage, predictor in zip(self.stages, predictors):
            for name in _LAYERS:
                layer = stage[name]  # type: ignore[index]
                getattr(predictor, name).register_forward_hook(_Adder(taps, layer, contexts))


def find_box_heads(detector: nn.Module) -> tuple[nn.Module, Sequence[nn.Module]]:
    """Return the ROI pooler of the boxes and the box predictors, one per cascade stage.

    Raises:
        ValueError: a one-stage detector, or predictors without linear cls_score and bbox_pred.
    """
    heads: Any = getattr(detector, "roi_heads", None)
    pooler = getattr(heads, "box_pooler", None) or getattr(heads, "pooler", None)
    predictors = getattr(heads, "box_predictor", None)
    if pooler is None or predictors is None:
        raise ValueError(
            "MODEL.STRONG_WEAK.CONTEXT.ENABLED needs ROI box heads, which "
            f"{type(detector).__name__} does not have: context vectors go to the boxes of R-CNN "
            "detectors (MODEL.ADAPT.DETECTOR GeneralizedRCNN or PanopticFPN); switch it off"
        )
    predictors = list(predictors) if isinstance(predictors, nn.ModuleList) else [predictors]
    for predictor in predictors:
        for name in _LAYERS:
            if not isinstance(getattr(predictor, name, None), nn.Linear):
                raise ValueError(
                    f"MODEL.STRONG_WEAK.CONTEXT.ENABLED: {type(predictor).__name__}.{name} is not "
                    "a linear layer to which context columns could be added; switch it off"
                )
    return pooler, predictors


class _Counter:
    """Pre-hook of the pooler: remembers how many ROIs each picture has."""

    def __init__(self, taps: FeatureTaps) -> None:
        self._taps = taps

    def __call__(self, module: nn.Module, inputs: Any) -> None:
        if self._taps.current is not None:
            self._taps.current.cache[_COUNTS] = [len(boxes) for boxes in inputs[1]]


class _Adder:
    """Forward hook of a linear layer: adds the context columns' part to each ROI's output."""

    def __init__(
        self,
        taps: FeatureTaps,
        columns: nn.Module,
        contexts: Callable[[Recording], Optional[Tensor]],
    ) -> None:
        self._taps, self._columns, self._contexts = taps, columns, contexts

    def __call__(self, module: nn.Module, inputs: Any, output: Tensor) -> Optional[Tensor]:
        recording = self._taps.current
        if recording is None:
            raise RuntimeError(
                "this detector's box heads use context vectors, which AdaptiveModel gives them: "
                "call the AdaptiveModel, not its .detector"
            )
        contexts = self._contexts(recording)
        if contexts is None:
            return None
        counts = torch.tensor(recording.cache[_COUNTS], device=output.device)
        added = self._columns(contexts).to(output.dtype)
        return output + added.repeat_interleave(counts, dim=0)
