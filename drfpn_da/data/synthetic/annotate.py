"""From a rendered frame to COCO annotations and label maps."""

from __future__ import annotations

import cv2
import numpy as np
from pycocotools import mask as mask_util

from .camera import Camera
from .classes import NUM_STUFF
from .render import Frame
from .scene import Scene

# An object is annotated when its visible part has at least this many pixels, and this share of what
# it would show without occlusion. Smaller fragments keep their class in the label map only.
MIN_AREA = 24
MIN_VISIBLE = 0.15


def annotate(scene: Scene, camera: Camera, frame: Frame, time: float = 0.0) -> list[dict]:
    """Return COCO annotations (without ids) of the visible parts of all objects.

    Boxes are the tight XYWH boxes of the masks, masks are compressed RLE. Beside COCO's fields:
    ``depth`` (z of the foot point, metres), ``visible_fraction`` (of the part inside the picture)
    and ``size_m`` (width, height, length).

    Args:
        scene: the street.
        camera: the view of the frame.
        frame: the rendered frame.
        time: frames since the start.
    """
    annotations = []
    for instance in np.flatnonzero(np.bincount(frame.instance.ravel()))[1:].tolist():
        mask = (frame.instance == instance).view(np.uint8)
        area = int(np.count_nonzero(mask))
        visible = area / max(frame.drawn_area.get(instance, area), 1)
        if area < MIN_AREA or visible < MIN_VISIBLE:
            continue
        thing = scene.objects[instance]
        rle = mask_util.encode(np.asfortranarray(mask))
        rle["counts"] = rle["counts"].decode()
        place = thing.position + thing.velocity * time - camera.position
        annotations.append(
            {
                "category_id": thing.semantic - NUM_STUFF + 1,
                "bbox": [float(v) for v in cv2.boundingRect(mask)],
                "area": area,
                "segmentation": rle,
                "iscrowd": 0,
                "depth": round(float(camera.rotation[2] @ place), 3),
                "visible_fraction": round(min(visible, 1.0), 3),
                "size_m": [round(float(v), 3) for v in thing.size],
            }
        )
    return annotations


def separated_labels(semantic: np.ndarray) -> np.ndarray:
    """Return labels for panoptic training: things 0, stuff classes 1 to 5 (uint8)."""
    return np.where(semantic < NUM_STUFF, semantic + 1, 0).astype(np.uint8)
