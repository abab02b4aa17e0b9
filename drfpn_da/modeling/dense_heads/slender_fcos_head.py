"""The FCOS head with feature adaptation and two-step localisation (arXiv 2011.08529)."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.modeling.meta_arch.fcos import FCOSHead
from torch import Tensor, nn

from ...functional.adaptation import FREE_OFFSETS, box_offsets, scale_gradient
from ...layers.offset_conv import OffsetConv2d

ADAPTATIONS = ("none", "unsupervised", "split", "supervised")
# Distances, in strides, from a point to the sides of its first box.
FIRST_DISTANCE = 1.0


class SlenderFCOSHead(FCOSHead):
    """FCOS head whose last tower convolutions look along the object.

    Adaptation turns the last convolution of both towers into a deformable one. Its offsets come
    from a 1x1 convolution on the localisation feature before it: one for both towers
    ("unsupervised") or one for each ("split"); or two corners of the initial box and seven learnt
    samples ("supervised"). All learnt offsets start at zero, so that training starts as FCOS.

    With two steps, an initial box is predicted from the localisation feature before the last
    convolution, and the final one after it. Both start as a box of two strides around the point;
    with a residual the final box starts as the initial one. Shared parameters have the names of
    ``FCOSHead``.
    """

    def __init__(
        self,
        *,
        adaptation: str = "none",
        two_step: bool = False,
        residual: bool = False,
        offset_gradient: float = 0.1,
        **kwargs: Any,
    ) -> None:
        """Take what ``FCOSHead`` takes, and the slender parts.

        Args:
            adaptation: "none", "unsupervised", "split" or "supervised".
            two_step: predict an initial box; :meth:`forward` then returns four lists.
            residual: predict the final box as a difference to the initial one, which gets no
                gradient by this way.
            offset_gradient: share of the gradient that the initial box gets through the samples
                that it places ("supervised").
            kwargs: see ``FCOSHead``.

        Raises:
            ValueError: options that do not go together.
        """
        if adaptation not in ADAPTATIONS:
            raise ValueError(f"MODEL.FCOS.ADAPTATION {adaptation!r}: use {', '.join(ADAPTATIONS)}")
        if not two_step and (adaptation == "supervised" or residual):
            what = "ADAPTATION 'supervised'" if adaptation == "supervised" else "TWO_STEP.RESIDUAL"
            raise ValueError(
                f"MODEL.FCOS.{what} needs an initial box: set MODEL.FCOS.TWO_STEP.ENABLED True"
            )
        if not kwargs["conv_dims"]:
            raise ValueError(
                "MODEL.FCOS.NUM_CONVS is 0: adaptation and two steps need a tower of at least one "
                "convolution"
            )
        super().__init__(**kwargs)
        self.adaptation = adaptation
        self.residual = residual
        self.offset_gradient = offset_gradient
        self._last = max(i for i, m in enumerate(self.bbox_subnet) if isinstance(m, nn.Conv2d))
        channels = self.bbox_subnet[self._last].in_channels
        if adaptation != "none":
            for tower in (self.cls_subnet, self.bbox_subnet):
                tower[self._last] = _as_offset_conv(tower[self._last])
            free = FREE_OFFSETS if adaptation == "supervised" else 18
            self.offset = _zero(nn.Conv2d(channels, free, 1))
        if adaptation == "split":
            self.cls_offset = _zero(nn.Conv2d(channels, 18, 1))
        self.bbox_init = None
        if two_step:
            self.bbox_init = nn.Conv2d(channels, 4, 3, padding=1)
            nn.init.normal_(self.bbox_init.weight, std=0.01)
            self._start_boxes()

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], ...]:
        """Predict for each level.

        Args:
            features: (N, C, Hi, Wi), from high to low resolution.

        Returns:
            Lists over levels: logits (N, K, Hi, Wi), box deltas l, t, r, b in strides, before ReLU
            (N, 4, Hi, Wi), centerness (N, 1, Hi, Wi); with two steps also the initial deltas.
        """
        results: list[tuple[Tensor, ...]] = []
        for feature in features:
            cls_feature = self.cls_subnet[: self._last](feature)
            loc_feature = self.bbox_subnet[: self._last](feature)
            init = None if self.bbox_init is None else self.bbox_init(loc_feature)
            cls_offset, loc_offset = self._offsets(loc_feature, init)
            cls_feature = self._finish(self.cls_subnet, cls_feature, cls_offset)
            loc_feature = self._finish(self.bbox_subnet, loc_feature, loc_offset)
            deltas = self.bbox_pred(loc_feature)
            if self.residual:
                deltas = deltas + init.detach().relu()
            level = (self.cls_score(cls_feature), deltas, self.ctrness(loc_feature))
            results.append(level if init is None else (*level, init))
        return tuple(map(list, zip(*results)))

    def _start_boxes(self) -> None:
        # With biases of zero the first boxes are all but empty. There the gradient of the overlap
        # vanishes, and past the ReLU it is none: of two localisations, the later one could stay
        # there for hundreds of steps while the earlier one shaped their common features.
        nn.init.constant_(self.bbox_init.bias, FIRST_DISTANCE)
        if self.residual:
            _zero(self.bbox_pred)
        else:
            nn.init.constant_(self.bbox_pred.bias, FIRST_DISTANCE)

    def _offsets(
        self, loc_feature: Tensor, init: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None]:
        if self.adaptation == "none":
            return None, None
        offset = self.offset(loc_feature)
        if self.adaptation == "split":
            return self.cls_offset(loc_feature), offset
        if self.adaptation == "supervised":
            box = scale_gradient(init.relu(), self.offset_gradient)
            offset = box_offsets(box, offset)
        return offset, offset

    def _finish(self, tower: nn.Sequential, feature: Tensor, offset: Tensor | None) -> Tensor:
        conv = tower[self._last]
        feature = conv(feature) if offset is None else conv(feature, offset)
        return tower[self._last + 1 :](feature)


def _as_offset_conv(conv: nn.Conv2d) -> OffsetConv2d:
    new = OffsetConv2d(conv.in_channels, conv.out_channels, 3, padding=1)
    with torch.no_grad():
        new.weight.copy_(conv.weight)
        new.bias.copy_(conv.bias)
    return new


def _zero(conv: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)
    return conv
