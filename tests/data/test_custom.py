"""A user's own COCO JSON or picture folder: registered as it is, or refused with the reason."""

from __future__ import annotations

import copy
import json
import logging

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from drfpn_da.data import register_coco_json, register_image_folder

DATA = {
    "images": [
        {"id": 7, "file_name": "a.png", "width": 32, "height": 24},
        {"id": 9, "file_name": "sub/b.png", "width": 32, "height": 24},
    ],
    "categories": [{"id": 40, "name": "bolt"}, {"id": 3, "name": "nut"}],
    "annotations": [
        {
            "id": 1,
            "image_id": 7,
            "category_id": 40,
            "bbox": [2, 3, 10, 8],
            "area": 80,
            "iscrowd": 0,
            "segmentation": [[2, 3, 12, 3, 12, 11, 2, 11]],
        }
    ],
}


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(folder / name)
    return folder


def _write(tmp_path, **changes):
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps({**copy.deepcopy(DATA), **changes}))
    return file


def test_registers_and_loads(tmp_path, pictures, fresh_name, caplog):
    file = _write(tmp_path)
    with caplog.at_level(logging.INFO, logger="drfpn_da.data.datasets.custom"):
        classes = register_coco_json(fresh_name, str(file), str(pictures))
    assert classes == ["nut", "bolt"]  # by category id, as the model's outputs are ordered
    assert "nut" in caplog.text
    records = DatasetCatalog.get(fresh_name)
    assert [len(r["annotations"]) for r in records] == [1, 0]
    assert records[0]["annotations"][0]["category_id"] == 1
    meta = MetadataCatalog.get(fresh_name)
    assert (meta.evaluator_type, meta.mask_format) == ("coco", "polygon")


def test_same_files_twice_is_fine_other_files_are_not(tmp_path, pictures, fresh_name, monkeypatch):
    file = _write(tmp_path)
    register_coco_json(fresh_name, str(file), str(pictures))
    monkeypatch.chdir(tmp_path)
    assert register_coco_json(fresh_name, "annotations.json", "pictures") == ["nut", "bolt"]
    other = tmp_path / "other.json"
    other.write_text(file.read_text())
    with pytest.raises(ValueError, match=r"already registered.*other\.json"):
        register_coco_json(fresh_name, str(other), str(pictures))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"annotations": [{**DATA["annotations"][0], "category_id": 41}]}, "category_id 41"),
        ({"annotations": [{**DATA["annotations"][0], "image_id": 8}]}, "image_id 8"),
        ({"annotations": DATA["annotations"] * 2}, "annotation 1 .*annotations repeat id 1"),
        ({"categories": []}, "categories .* empty"),
        ({"images": None}, "images"),
    ],
)
def test_inconsistent_json_is_refused(tmp_path, pictures, fresh_name, changes, reason):
    file = _write(tmp_path, **changes)
    with pytest.raises(ValueError, match=reason):
        register_coco_json(fresh_name, str(file), str(pictures))
    assert fresh_name not in DatasetCatalog.list()


def test_missing_files_are_named(tmp_path, pictures, fresh_name):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        register_coco_json(fresh_name, str(tmp_path / "nowhere.json"), str(pictures))
    file = _write(tmp_path)
    with pytest.raises(FileNotFoundError, match="no_folder"):
        register_coco_json(fresh_name, str(file), str(tmp_path / "no_folder"))
    (pictures / "sub" / "b.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"b\.png"):
        register_coco_json(fresh_name, str(file), str(pictures))


def test_not_json(tmp_path, pictures, fresh_name):
    file = tmp_path / "annotations.json"
    file.write_text("<xml/>")
    with pytest.raises(ValueError, match="not valid JSON"):
        register_coco_json(fresh_name, str(file), str(pictures))


def test_image_folder(pictures, fresh_name):
    (pictures / "notes.txt").write_text("not a picture")
    register_image_folder(fresh_name, str(pictures))
    register_image_folder(fresh_name, str(pictures))
    records = DatasetCatalog.get(fresh_name)
    assert [r["file_name"] for r in records] == [
        str(pictures / "a.png"),
        str(pictures / "sub" / "b.png"),
    ]
    assert all((r["width"], r["height"]) == (32, 24) for r in records)
    assert len({r["image_id"] for r in records}) == 2


def test_image_folder_applies_exif_orientation(tmp_path, fresh_name):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(tmp_path / "turned.jpg", exif=exif)
    register_image_folder(fresh_name, str(tmp_path))
    (record,) = DatasetCatalog.get(fresh_name)
    assert (record["width"], record["height"]) == (24, 32)


def test_corrupt_picture_is_named(pictures, fresh_name):
    (pictures / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    register_image_folder(fresh_name, str(pictures))
    with pytest.raises(ValueError, match=r"broken\.jpg"):
        DatasetCatalog.get(fresh_name)


def test_empty_folder_is_refused(tmp_path, fresh_name):
    with pytest.raises(FileNotFoundError, match="no picture"):
        register_image_folder(fresh_name, str(tmp_path))
