"""The two domains of a training batch, and how target pictures enter a detector."""

from __future__ import annotations

from typing import Any, Optional

import torch
from detectron2.structures import BitMasks, Boxes, ImageList, Instances
from torch import Tensor, nn

from ...functional import SOURCE, TARGET

Inputs = list[dict[str, Any]]
#: Values of "domain" in a data set dict; source where it is absent.
DOMAINS = {"source": SOURCE, "target": TARGET}
MOMENTS = ("mean", "std")


def split_domains(batched_inputs: Inputs) -> tuple[Inputs, Inputs]:
    """Return the source and the target pictures of a batch.

    Raises:
        ValueError: an unknown domain, or no source picture.
    """
    domains = [x.get("domain", "source") for x in batched_inputs]
    unknown = sorted({str(domain) for domain in domains if domain not in DOMAINS})
    if unknown:
        raise ValueError(f"a picture's domain is {unknown}; it must be one of {list(DOMAINS)}")
    source = [x for x, domain in zip(batched_inputs, domains) if domain == "source"]
    target = [x for x, domain in zip(batched_inputs, domains) if domain == "target"]
    if not source:
        raise ValueError("the training batch has no source picture (DATASETS.TRAIN)")
    return source, target


def picture_sizes(inputs: Inputs) -> list[tuple[int, int]]:
    """Return (height, width) of each picture as it enters the model."""
    return [(int(x["image"].shape[-2]), int(x["image"].shape[-1])) for x in inputs]


def preprocess(detector: nn.Module, inputs: Inputs) -> ImageList:
    """Normalise, pad and batch pictures as the detector does for itself."""
    if hasattr(detector, "preprocess_image"):
        images: ImageList = detector.preprocess_image(inputs)  # type: ignore[operator]
        return images
    # SemanticSegmentor does it within its forward.
    mean, std = detector.pixel_mean, detector.pixel_std
    pictures = [(x["image"].to(mean.device, non_blocking=True) - mean) / std for x in inputs]
    backbone: Any = detector.backbone
    return ImageList.from_tensors(
        pictures, backbone.size_divisibility, padding_constraints=backbone.padding_constraints
    )


def run_backbone(detector: nn.Module, backbone: nn.Module, inputs: Inputs) -> None:
    """Run a detector on pictures without labels as far as its backbone, to record features.

    A detector whose pictures enter in the way of detectron2's is spared the rest. Another, which
    prepares them in its own way, runs its forward pass on pictures without objects; the recording
    ends it (``FeatureTaps.collect``) before they matter.

    Args:
        detector: in training mode.
        backbone: of the detector.
        inputs: data set dicts.
    """
    images = _images(detector, inputs) if getattr(detector, "backbone", None) is backbone else None
    if images is None:
        detector([{**x, "instances": _no_objects(x["image"])} for x in inputs])
    else:
        backbone(images.tensor)


def _images(detector: nn.Module, inputs: Inputs) -> Optional[ImageList]:
    """Return a batch for the backbone, None if only the detector knows how it is made."""
    normalises = all(isinstance(getattr(detector, f"pixel_{k}", None), Tensor) for k in MOMENTS)
    if not (hasattr(detector, "preprocess_image") or normalises):
        return None
    images = preprocess(detector, inputs)
    return images if isinstance(images, ImageList) else None


def _no_objects(picture: Tensor) -> Instances:
    height, width = picture.shape[-2:]
    return Instances(
        (height, width),
        gt_boxes=Boxes(torch.zeros(0, 4)),
        gt_classes=torch.zeros(0, dtype=torch.long),
        gt_masks=BitMasks(torch.zeros(0, height, width)),
    )
