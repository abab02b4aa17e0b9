"""Boundary IoU of label maps (Cheng et al., arXiv 2103.16562)."""

from __future__ import annotations

import numpy as np

#: Width of the boundary as a share of the picture's diagonal, as in detectron2.
WIDTH = 0.02


def boundary_pixels(labels: np.ndarray, width: float = WIDTH) -> np.ndarray:
    """Return which pixels of each class are near its edge.

    All classes at once: within a square around a pixel every label is that of the pixel, or the
    pixel is at the boundary of its class. Beyond the picture there is no class, so its frame is
    boundary, as in detectron2.

    Args:
        labels: (H, W) of non-negative ids below 65535.
        width: share of the diagonal; at least one pixel.

    Returns:
        (H, W) bool.
    """
    import cv2  # asked for by compat.has_opencv

    height, columns = labels.shape
    radius = max(1, round(width * float(np.hypot(height, columns))))
    square = np.ones((3, 3), np.uint8)
    # OpenCV's outermost value is that which does not matter to the operation, hence the frame.
    framed = np.pad(labels.astype(np.uint16), 1, constant_values=65535)
    lowest = cv2.erode(framed, square, iterations=radius)
    highest = cv2.dilate(framed, square, iterations=radius)
    edge: np.ndarray = (lowest != highest)[1:-1, 1:-1]
    return edge


def boundary_confusion(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count the boundary pixels of two label maps.

    Args:
        truth: (H, W) class ids; others are ignored.
        predicted: (H, W) class ids.
        classes: number of classes, C.

    Returns:
        (C + 1, C + 1) int64, rows prediction, columns truth; the last of each counts pixels that
        are no boundary there. Ignored pixels count nowhere.
    """
    known = (truth >= 0) & (truth < classes)
    true_edge = np.where(boundary_pixels(truth), truth, classes)[known]
    predicted_edge = np.where(boundary_pixels(predicted), predicted, classes)[known]
    size = classes + 1
    counts = np.bincount(size * predicted_edge + true_edge, minlength=size * size)
    return counts.reshape(size, size)


def iou_of_counts(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return IoU in percent and union of each class but the last of a confusion matrix."""
    hit = counts.diagonal()[:-1].astype(float)
    union = counts.sum(axis=0)[:-1] + counts.sum(axis=1)[:-1] - hit
    return 100 * hit / np.maximum(union, 1), union
