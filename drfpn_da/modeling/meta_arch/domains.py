"""The two domains of a training batch, and how target pictures enter a detector."""

from __future__ import annotations

from typing import Any

from detectron2.structures import ImageList
from torch import nn

from ...functional import SOURCE, TARGET

Inputs = list[dict[str, Any]]
#: Values of "domain" in a data set dict; source where it is absent.
DOMAINS = {"source": SOURCE, "target": TARGET}


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
    pictures = [(x["image"].to(mean.device) - mean) / std for x in inputs]
    backbone: Any = detector.backbone
    return ImageList.from_tensors(
        pictures, backbone.size_divisibility, padding_constraints=backbone.padding_constraints
    )
