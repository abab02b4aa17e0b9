"""Slenderness of annotations: which shape counts, what is said, what is refused; RLE reading."""

from __future__ import annotations

import json
import logging
import os

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.structures import BoxMode

from drfpn_da.data.slenderness import (
    annotation_slenderness,
    box_aspect,
    file_slenderness,
    rle_slenderness,
)
from drfpn_da.functional import slenderness_from_masks

TALL = [[10, 0, 20, 0, 20, 100, 10, 100]]


def encode(mask):
    return mask_util.encode(np.asfortranarray(mask.astype(np.uint8)))


def uncompressed(mask):
    flat = mask.ravel(order="F").astype(int)
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, len(flat)]).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat[0] else counts}


def test_run_lengths_are_measured_as_the_pixels():
    rng = np.random.default_rng(0)
    masks, rles = [], []
    for i in range(90):
        mask = rng.random((rng.integers(1, 50), rng.integers(1, 50))) < rng.choice(
            [0, 0.02, 0.5, 1]
        )
        if i % 4 == 0:
            mask = np.zeros((300, 200), dtype=bool)  # run lengths of several characters
            mask[rng.integers(250) :, rng.integers(150) :] = True
        rle = encode(mask)
        if i % 3 == 0:
            rle["counts"] = rle["counts"].decode()
        masks.append(mask)
        rles.append(uncompressed(mask) if i % 5 == 0 else rle)
    expected = slenderness_from_masks(map(torch.from_numpy, masks)).numpy()
    np.testing.assert_array_equal(rle_slenderness(rles), expected)
    assert np.isnan(expected).any() and not np.isnan(expected).all()


def test_the_mask_counts_else_the_box(caplog):
    mask = np.zeros((50, 120))
    mask[20:30, 10:110] = 1
    square = [0, 0, 30, 30]
    annotations = [
        {"segmentation": TALL, "bbox": square},
        {"segmentation": encode(mask), "bbox": square},
        {"segmentation": uncompressed(mask), "bbox": square},
        {"segmentation": uncompressed(mask), "bbox": square, "iscrowd": 1},
        {"bbox": [0, 0, 10, 40]},
        {"segmentation": [], "bbox": [0, 0, 10, 40]},
        {"segmentation": [[0, 0, 5, 5], [1, 2, 3, 4, 5, 6, 7]], "bbox": [0, 0, 10, 40]},
        {"segmentation": uncompressed(mask * 0), "bbox": [0, 0, 10, 40]},
        {"bbox": [10, 10, 20, 50], "bbox_mode": BoxMode.XYXY_ABS},
        {"bbox": [50, 50, 10, 40, 30.0], "bbox_mode": BoxMode.XYWHA_ABS},
        {"bbox": [3, 3, 0, 8]},
    ]
    with caplog.at_level(logging.WARNING):
        values = annotation_slenderness(annotations)
    assert values.tolist() == [0.1, 0.1, 0.1, 1, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0]
    assert len(caplog.records) == 1, "said once, not for each annotation"
    assert "7 of 11 annotations have no usable segmentation" in caplog.text


def test_sides_of_boxes_are_not_rounded():
    """0.1 + 20 - 0.1 is not 20, but a fifth is a fifth: the bins' edges are exact."""
    boxes = [{"bbox": [x, 0.1, 20, 100]} for x in (0.1, 7.7, 1e5 + 0.3)]
    assert annotation_slenderness(boxes).tolist() == [0.2] * 3


def test_aspect():
    boxes = np.array([[0, 0, 10, 40], [0, 0, 40, 10], [0, 0, 5, 0], [0, 0, 0, 5], [0, 0, 0, 0.0]])
    assert box_aspect(boxes).tolist() == [0.25, 4, np.inf, 0, 1]


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ({"id": 7, "image_id": 3}, "annotation 7 of image 3.*bbox is None"),
        ({"id": 7, "bbox": [0, 0, float("nan"), 1]}, "annotation 7.*finite box"),
        ({"id": 7, "segmentation": [[0, 0, float("nan"), 1, 2, 2]]}, "annotation 7: a polygon"),
        ({"id": 7, "segmentation": {"size": [4, 4], "counts": [3, 2]}}, "annotation 7.*5 pixels"),
        ({"id": 7, "segmentation": {"size": [4, 4]}}, "annotation 7.*counts"),
    ],
)
def test_malformed_annotations_are_named(annotation, words):
    fine = {"id": 1, "segmentation": uncompressed(np.ones((3, 3))), "bbox": [0, 0, 1, 1]}
    with pytest.raises(ValueError, match=words):
        annotation_slenderness([fine, annotation])


def test_a_file_is_measured_once_until_it_changes(tmp_path, caplog):
    path = tmp_path / "gt.json"
    path.write_text(json.dumps({}))
    annotations = [{"id": 1, "bbox": [0, 0, 1, 4]}, {"id": 2, "bbox": [0, 0, 4, 4]}]
    assert file_slenderness(str(path), annotations).tolist() == [0.25, 1]
    caplog.clear()
    with caplog.at_level(logging.WARNING):  # a second measurement would speak of the boxes again
        assert file_slenderness(str(path), annotations[::-1]).tolist() == [1, 0.25]
    assert not caplog.records
    annotations[0]["bbox"] = [0, 0, 1, 2]
    os.utime(path, ns=(1, 1))
    assert file_slenderness(str(path), annotations).tolist() == [0.5, 1]
