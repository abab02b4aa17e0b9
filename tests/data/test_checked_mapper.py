"""An error of a mapper names the picture, and the annotation if it is one's fault."""

from __future__ import annotations

import numpy as np
import pytest
from detectron2.data import DatasetMapper
from detectron2.data import transforms as T
from detectron2.structures import BoxMode
from PIL import Image

from drfpn_da.data.checked_mapper import CheckedMapper


@pytest.fixture
def record(tmp_path):
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(tmp_path / "a.png")
    annotations = [
        {"id": number, "bbox": [2, 3, 10, 8], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0}
        for number in (11, 12, 13)
    ]
    return {
        "file_name": str(tmp_path / "a.png"),
        "width": 32,
        "height": 24,
        "annotations": annotations,
    }


def mapper(augmentations=()):
    return CheckedMapper(
        CheckedMapper(DatasetMapper(True, augmentations=list(augmentations), image_format="RGB"))
    )


def test_annotation_is_named_by_id_and_place(record):
    record["annotations"][1]["bbox"] = None
    words = r"a\.png \(32x24 pixels\), annotation 12 \(number 2"
    with pytest.raises(AttributeError, match=words) as e:
        mapper()(record)
    assert str(e.value).count("cannot be made a sample") == 1
    del record["annotations"][1]["id"], record["annotations"][1]["bbox"]
    with pytest.raises(KeyError, match=r"a\.png .*, annotation \(number 2 of its picture\).*bbox"):
        mapper()(record)
    assert len(record["annotations"]) == 3


def test_picture_is_named_where_no_annotation_is_at_fault(tmp_path, record):
    Image.fromarray(np.zeros((1, 4000, 3), np.uint8)).save(tmp_path / "a.png")
    record.update(width=4000, height=1)
    with pytest.raises(ValueError, match=r"a\.png \(4000x1 pixels\) cannot .*must be > 0") as error:
        mapper([T.ResizeShortestEdge(96, 160)])(record)
    assert "annotation" not in str(error.value)


def test_an_error_without_words_is_named_too(record):
    def refuse(record):
        raise AssertionError

    with pytest.raises(AssertionError, match=r"a\.png .* no reason is given"):
        CheckedMapper(refuse)(record)
