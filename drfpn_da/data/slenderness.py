"""Slenderness of COCO annotations and detectron2's records, however their shape is stored."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.structures import BoxMode

from ..functional.slenderness import (
    is_polygon,
    slenderness_from_masks,
    slenderness_from_polygons,
    slenderness_from_sides,
)

logger = logging.getLogger(__name__)

Annotation = Mapping[str, Any]

# Shapes measured at a time: bounds the memory, and is faster than all at once.
BATCH = 2000

# (path, time of change, size) -> annotation id -> slenderness.
_FILES: dict[tuple[str, int, int], dict[int, float]] = {}


def annotation_slenderness(annotations: Sequence[Annotation]) -> np.ndarray:
    """Return the slenderness of annotations, by their masks where they have them.

    Polygons and run-length encoded masks are measured by their smallest rectangle; crowds and
    annotations without a usable segmentation by the sides of their box (arXiv 2011.08529).

    Args:
        annotations: dicts with "segmentation" (polygons or RLE) or "bbox": [x, y, w, h], or as its
            "bbox_mode" says, rotated boxes included.

    Returns:
        (N,) float64 in [0, 1].

    Raises:
        ValueError: a mask or box is malformed or not finite; the message names the annotation.
    """
    values = np.full(len(annotations), np.nan)
    polygons, masks = [], []
    for i, annotation in enumerate(annotations):
        segmentation = annotation.get("segmentation")
        if annotation.get("iscrowd", 0) or not segmentation:
            continue
        if isinstance(segmentation, Mapping):
            masks.append(i)
        elif any(is_polygon(part) for part in segmentation):
            polygons.append(i)
    for part in _batches(polygons):
        instances = [annotations[i]["segmentation"] for i in part]
        measured = slenderness_from_polygons(instances).numpy()
        if np.isnan(measured).any():
            at = part[int(np.flatnonzero(np.isnan(measured))[0])]
            raise ValueError(
                f"{_name(annotations[at])}: a polygon has a coordinate that is no number"
            )
        values[part] = measured
    for part in _batches(masks):
        values[part] = _of_rles([annotations[i] for i in part])
    boxed = np.flatnonzero(np.isnan(values)).tolist()
    if boxed:
        values[boxed] = _of_boxes([annotations[i] for i in boxed])
    plain = sum(1 for i in boxed if not annotations[i].get("iscrowd", 0))
    if plain:
        logger.warning(
            "%d of %d annotations have no usable segmentation: their slenderness is that of their "
            "axis-aligned box, so that diagonal objects are not seen as slender.",
            plain,
            len(annotations),
        )
    return values


def rle_slenderness(rles: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return the slenderness of run-length encoded masks; NaN where a mask is empty.

    Args:
        rles: COCO's dicts of "size" and "counts" (list, str or bytes).

    Returns:
        (N,) float64 in [0, 1].

    Raises:
        ValueError: runs that do not add up to the size.
    """
    parts = [np.empty(0)]
    for part in _batches(rles):
        parts.append(slenderness_from_masks(map(_occupied, part)).numpy())
    return np.concatenate(parts)


def _occupied(rle: Mapping[str, Any]) -> torch.Tensor:
    """Decode a mask and cut it to its box: slenderness does not depend on the place."""
    height, width = rle["size"]
    if not isinstance(rle["counts"], (str, bytes)):
        covered = sum(rle["counts"])
        if covered != height * width:
            raise ValueError(
                f"its runs cover {covered} pixels, its size {rle['size']} has {height * width}"
            )
        rle = mask_util.frPyObjects(rle, height, width)
    x, y, w, h = mask_util.toBbox(rle).astype(int)
    return torch.from_numpy(mask_util.decode(rle)[y : y + h, x : x + w])


def box_aspect(boxes: np.ndarray) -> np.ndarray:
    """Return width over height of (N, 4) boxes x, y, w, h; 0/0 is 1."""
    width, height = boxes[:, 2].astype(float), boxes[:, 3].astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(width == height, 1.0, width / height)


def file_slenderness(path: str, annotations: Sequence[Annotation]) -> np.ndarray:
    """Like :func:`annotation_slenderness`, measured once per process and state of the file.

    Args:
        path: the COCO file that the annotations were read from.
        annotations: any of its annotations, with their "id".
    """
    try:
        stat = os.stat(path)
    except OSError:
        return annotation_slenderness(annotations)
    known = _FILES.setdefault((os.path.abspath(path), stat.st_mtime_ns, stat.st_size), {})
    new = [annotation for annotation in annotations if annotation["id"] not in known]
    if new:
        known.update(zip((a["id"] for a in new), annotation_slenderness(new).tolist()))
    return np.array([known[annotation["id"]] for annotation in annotations], dtype=float)


def _of_rles(annotations: Sequence[Annotation]) -> np.ndarray:
    try:
        return rle_slenderness([annotation["segmentation"] for annotation in annotations])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        if len(annotations) > 1:  # one by one, to name it
            return np.concatenate([_of_rles([annotation]) for annotation in annotations])
        raise ValueError(
            f"{_name(annotations[0])}: its segmentation is no COCO run-length encoding ({error})"
        ) from error


def _of_boxes(annotations: Sequence[Annotation]) -> np.ndarray:
    sides = []
    for annotation in annotations:
        box = annotation.get("bbox")
        if box is None or len(box) not in (4, 5) or not np.isfinite(box).all():
            raise ValueError(
                f"{_name(annotation)}: its slenderness needs a segmentation or a finite box, its "
                f"bbox is {box}"
            )
        corners = annotation.get("bbox_mode") == BoxMode.XYXY_ABS
        # The sides as they are written: differences of corners are rounded.
        sides.append([box[2] - box[0], box[3] - box[1]] if corners else [box[2], box[3]])
    return slenderness_from_sides(torch.tensor(sides, dtype=torch.float64)).numpy()


def _name(annotation: Annotation) -> str:
    picture = annotation.get("image_id")
    return f"annotation {annotation.get('id', '?')}" + (
        f" of image {picture}" if picture is not None else ""
    )


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for begin in range(0, len(items), BATCH):
        yield items[begin : begin + BATCH]
