"""Predictions and ground truth drawn on a picture, by detectron2's ``Visualizer``."""

from __future__ import annotations

from typing import Any

import numpy as np
from detectron2.data import Metadata
from detectron2.data import detection_utils as utils
from detectron2.utils import colormap
from detectron2.utils.visualizer import ColorMode, Visualizer

from ..data.picture_files import read_picture
from .depth import draw_disparity

# Below this a picture is enlarged, so that labels stay readable.
MIN_SIDE = 320
# Drawn of a model that returns only proposals.
PROPOSALS = 50


def draw_predictions(
    image: np.ndarray,
    outputs: dict[str, Any],
    metadata: Metadata,
    score_threshold: float = 0.0,
    scale: float | None = None,
) -> np.ndarray:
    """Draw what a model returned for one picture: panoptic, else instances over semantic labels.

    Disparity is drawn beside the picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        outputs: one element of a detectron2 model's output: "instances", "sem_seg",
            "panoptic_seg", "proposals" or "disparity", on any device, at the size of the picture.
        metadata: class names and colours.
        score_threshold: instances below it are left out.
        scale: enlargement. None: as needed for a shorter side of 320.

    Returns:
        (H * scale, W * scale, 3) uint8 RGB.
    """
    if "disparity" in outputs:
        return draw_disparity(image, outputs["disparity"].cpu().numpy())
    visualizer = _visualizer(image, metadata, scale)
    if "panoptic_seg" in outputs:
        panoptic_map, segments = outputs["panoptic_seg"]
        drawn = visualizer.draw_panoptic_seg(panoptic_map.cpu(), segments)
        return drawn.get_image()
    drawn = visualizer.output
    if "sem_seg" in outputs:
        drawn = visualizer.draw_sem_seg(_labels(outputs["sem_seg"]), alpha=0.6)
    if "instances" in outputs:
        instances = outputs["instances"].to("cpu")
        drawn = visualizer.draw_instance_predictions(instances[instances.scores >= score_threshold])
    elif "proposals" in outputs:
        proposals = outputs["proposals"].to("cpu")
        best = proposals.objectness_logits.argsort(descending=True)[:PROPOSALS]
        drawn = visualizer.overlay_instances(boxes=proposals.proposal_boxes[best])
    return drawn.get_image()


def draw_truth(
    image: np.ndarray, record: dict[str, Any], metadata: Metadata, scale: float | None = None
) -> np.ndarray:
    """Draw the annotations of a dataset record (boxes, masks, semantic labels).

    Args:
        image: (H, W, 3) uint8 RGB.
        record: detectron2's dataset dict.
        metadata: class names and colours.
        scale: enlargement. None: as needed for a shorter side of 320.

    Returns:
        (H * scale, W * scale, 3) uint8 RGB.
    """
    return _visualizer(image, metadata, scale).draw_dataset_dict(record).get_image()


def draw_training_input(
    record: dict[str, Any],
    metadata: Metadata,
    image_format: str = "RGB",
    scale: float | None = None,
) -> np.ndarray:
    """Draw an element of a training batch as the model gets it, after all augmentations.

    Args:
        record: has "image", (C, H, W) in ``image_format``, and "instances" or "sem_seg".
        metadata: class names and colours.
        image_format: ``INPUT.FORMAT`` of the config.
        scale: enlargement. None: as needed for a shorter side of 320.

    Returns:
        (H * scale, W * scale, 3) uint8 RGB.
    """
    image = utils.convert_image_to_rgb(record["image"].permute(1, 2, 0), image_format)
    visualizer = _visualizer(image, metadata, scale)
    if "sem_seg" in record:
        visualizer.draw_sem_seg(record["sem_seg"], alpha=0.6)
    if "instances" in record:
        fields = record["instances"].get_fields()
        visualizer.overlay_instances(
            boxes=fields["gt_boxes"],
            labels=[metadata.thing_classes[i] for i in fields["gt_classes"].tolist()],
            masks=fields.get("gt_masks"),
            keypoints=fields.get("gt_keypoints"),
        )
    return visualizer.output.get_image()


def read_rgb(filename: str) -> np.ndarray:
    """Read a picture as (H, W, 3) uint8 RGB; see ``drfpn_da.data.picture_files.read_picture``."""
    return read_picture(filename, format="RGB")


def _visualizer(image: np.ndarray, metadata: Metadata, scale: float | None) -> Visualizer:
    if scale is None:
        scale = max(1.0, MIN_SIDE / min(image.shape[:2]))
    if not metadata.get("thing_colors") and metadata.get("thing_classes"):
        palette = colormap.colormap(rgb=True)
        colours = [palette[i % len(palette)] for i in range(len(metadata.thing_classes))]
        metadata = Metadata(**{**metadata.as_dict(), "thing_colors": colours})
    # Colours by class, so that pictures can be compared.
    return Visualizer(image, metadata, scale=scale, instance_mode=ColorMode.SEGMENTATION)


def _labels(sem_seg: Any) -> Any:
    """(H, W) class ids from (C, H, W) scores, or unchanged."""
    sem_seg = sem_seg.cpu()
    return sem_seg.argmax(dim=0) if sem_seg.dim() == 3 else sem_seg
