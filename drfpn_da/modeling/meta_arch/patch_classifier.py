"""``PatchClassifier``: one class for each picture or crop, over any detectron2 backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from detectron2.modeling.backbone import Backbone
from detectron2.structures import ImageList
from torch import Tensor, nn

from ...compat import register_if_free
from ...functional import at_least_float32
from ...node_arguments import arguments


@register_if_free(META_ARCH_REGISTRY)
class PatchClassifier(nn.Module):
    """Averages one feature of the backbone over the picture; dropout and a linear layer classify.

    In training a sample has "image", (3, H, W), and "class_id"; returned is ``{"loss_cls"}``, the
    mean cross-entropy in float32. In evaluation a sample has "image"; returned is for each
    ``{"scores": (C,)}``, the softmax in float32. Pictures of a batch should have one size: those
    that are smaller are padded, and the padding is averaged along.

    Args:
        backbone: any detectron2 backbone.
        num_classes: C.
        pixel_mean: of ``INPUT.FORMAT``'s channels.
        pixel_std: of ``INPUT.FORMAT``'s channels.
        in_feature: output of the backbone; "": the one of the largest stride.
        dropout: probability before the linear layer.

    Raises:
        ValueError: the backbone has no such feature; an argument out of range.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        num_classes: int,
        pixel_mean: Sequence[float],
        pixel_std: Sequence[float],
        in_feature: str = "",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        shapes = backbone.output_shape()
        in_feature = in_feature or max(shapes, key=lambda name: shapes[name].stride)
        if in_feature not in shapes:
            raise ValueError(
                f"in_feature is '{in_feature}', but the backbone gives {', '.join(sorted(shapes))}"
            )
        if num_classes < 2:
            raise ValueError(
                f"MODEL.PATCH_CLASSIFIER.NUM_CLASSES is {num_classes}; write 2 or more"
            )
        if not 0 <= dropout < 1:
            raise ValueError(
                f"MODEL.PATCH_CLASSIFIER.DROPOUT is {dropout}; write 0 or more, below 1"
            )
        self.backbone = backbone
        self.head_in_features = [in_feature]
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(shapes[in_feature].channels, num_classes)
        self.num_classes = num_classes
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read ``MODEL.PATCH_CLASSIFIER``, the backbone and the pixel statistics."""
        return {
            "backbone": build_backbone(cfg),
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            **arguments(cfg.MODEL.PATCH_CLASSIFIER),
        }

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.pixel_mean.device

    def forward(self, batched_inputs: list[dict[str, Any]]) -> Any:
        """Return losses in training, else scores; see the class."""
        if self.training:
            return self.losses(batched_inputs)
        scores = self.probabilities([x["image"] for x in batched_inputs])
        return [{"scores": row} for row in scores]

    def losses(self, samples: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Return the losses of a batch.

        Raises:
            ValueError: a sample has no class.
        """
        nameless = [str(x.get("file_name", "?")) for x in samples if "class_id" not in x]
        if nameless:
            raise ValueError(
                f"{nameless[0]} has no class_id: {type(self).__name__} trains on labelled pictures"
            )
        classes = torch.tensor([x["class_id"] for x in samples], device=self.device)
        logits = self.logits(self.preprocess([x["image"] for x in samples]))
        return {"loss_cls": F.cross_entropy(at_least_float32(logits), classes)}

    def probabilities(self, pictures: Sequence[Tensor]) -> Tensor:
        """Return the (N, C) softmax, float32 or better, of pictures (3, H, W)."""
        return at_least_float32(self.logits(self.preprocess(pictures))).softmax(dim=1)

    def logits(self, images: Tensor) -> Tensor:
        """Return (N, C) for normalised pictures (N, 3, H, W)."""
        feature = self.backbone(images)[self.head_in_features[0]]
        logits: Tensor = self.classifier(self.dropout(feature.mean(dim=(-2, -1))))
        return logits

    def preprocess(self, pictures: Sequence[Tensor]) -> Tensor:
        """Normalise pictures (3, H, W) and stack them, padded to one size: (N, 3, H, W)."""
        normalized = [(x.to(self.device) - self.pixel_mean) / self.pixel_std for x in pictures]
        return ImageList.from_tensors(
            normalized,
            self.backbone.size_divisibility,
            padding_constraints=self.backbone.padding_constraints,
        ).tensor
