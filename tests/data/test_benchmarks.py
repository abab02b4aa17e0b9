"""Benchmarks of adaptation, from tiny folders in the layouts of the official downloads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog, transforms
from detectron2.data.dataset_mapper import DatasetMapper
from detectron2.data.datasets import load_voc_instances
from detectron2.data.datasets.pascal_voc import CLASS_NAMES
from detectron2.structures import BoxMode
from pycocotools import mask as mask_util

from drfpn_da.data.datasets import cityscapes, voc_art

from ..tiny_benchmarks import (
    cityscapesscripts,  # noqa: F401
    write_cityscapes,
    write_kitti,
    write_voc,
)

MISSING = {
    "cityscapes_boxes_train": "cityscapes",
    "cityscapes_cars_val": "cityscapes",
    "foggy_cityscapes_beta_0.02_val": "cityscapes",
    "sim10k_cars_train": "sim10k",
    "kitti_cars_train": "kitti",
    "clipart1k_all": "clipart",
    "watercolor2k_test": "watercolor",
    "comic2k_train": "comic",
    "voc_six_2007_trainval": "VOC2007",
}


@pytest.fixture
def root(private_roots):
    return private_roots[0]


def _snapshot(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in sorted(folder.rglob("*"))}


def _boxes(record: dict) -> list[tuple]:
    assert all(a["bbox_mode"] == BoxMode.XYWH_ABS for a in record["annotations"])
    return [(a["category_id"], *a["bbox"], a["iscrowd"]) for a in record["annotations"]]


@pytest.mark.parametrize("name", MISSING)
def test_missing_data_says_what_to_do(root, name):
    with pytest.raises(FileNotFoundError) as error:
        DatasetCatalog.get(name)
    for part in (name, "DETECTRON2_DATASETS", str(root / MISSING[name]), f"{MISSING[name]}/\n"):
        assert part in str(error.value)


@pytest.mark.usefixtures("cityscapesscripts")
def test_cityscapes_boxes_are_those_of_the_pixels(root):
    write_cityscapes(root)
    before = _snapshot(root)
    records = DatasetCatalog.get("cityscapes_boxes_train")
    assert [Path(r["file_name"]).name[:10] for r in records] == ["ulm_000000", "ulm_000001"]
    person, car = (cityscapes.CLASSES.index(n) for n in ("person", "car"))
    # The car's crowd has the category itself as its id; the caravan is no class.
    assert sorted(_boxes(records[0])) == [
        (person, 2, 4, 8, 16, 0),
        (person, 20, 10, 20, 20, 0),
        (car, 26, 12, 8, 16, 0),
        (car, 40, 40, 20, 4, 1),
    ]
    cut = next(a for a in records[0]["annotations"] if a["bbox"][:2] == [20, 10])
    assert mask_util.decode(cut["segmentation"]).sum() == 20 * 20 - 8 * 16
    assert MetadataCatalog.get("cityscapes_boxes_train").thing_classes == cityscapes.CLASSES
    assert _snapshot(root) == before, "the user's folder was changed"


@pytest.mark.usefixtures("cityscapesscripts")
def test_foggy_cityscapes_has_the_annotations_of_the_clear_pictures(root):
    write_cityscapes(root, betas=("0.01", "0.02"))
    clear = DatasetCatalog.get("cityscapes_boxes_val")
    for beta in ("0.01", "0.02"):
        foggy = DatasetCatalog.get(f"foggy_cityscapes_beta_{beta}_val")
        assert [r["annotations"] for r in foggy] == [r["annotations"] for r in clear]
        assert foggy[0]["file_name"].endswith(f"_leftImg8bit_foggy_beta_{beta}.png")
        assert all(Path(r["file_name"]).is_file() for r in foggy)
    with pytest.raises(FileNotFoundError, match=r"foggy_beta_0\.005\.png does not exist"):
        DatasetCatalog.get("foggy_cityscapes_beta_0.005_val")


@pytest.mark.usefixtures("cityscapesscripts")
def test_cityscapes_cars_keep_pictures_without_cars(root):
    write_cityscapes(root)
    records = DatasetCatalog.get("cityscapes_cars_val")
    assert [sorted(_boxes(r)) for r in records] == [[(0, 26, 12, 8, 16, 0), (0, 40, 40, 20, 4, 1)]]
    stored = json.loads(Path(MetadataCatalog.get("cityscapes_cars_val").json_file).read_text())
    assert [c["name"] for c in stored["categories"]] == ["car"]


@pytest.mark.usefixtures("cityscapesscripts")
def test_cityscapes_is_read_by_the_stock_mapper_with_masks(root):
    write_cityscapes(root)
    mapper = DatasetMapper(
        is_train=True,
        augmentations=[transforms.RandomFlip(prob=1.0)],
        image_format="BGR",
        use_instance_mask=True,
        instance_mask_format="bitmask",
    )
    mapped = mapper(DatasetCatalog.get("cityscapes_boxes_train")[0])["instances"]
    assert len(mapped) == 3  # without the crowd
    boxes = mapped.gt_masks.get_bounding_boxes().tensor
    np.testing.assert_array_equal(mapped.gt_boxes.tensor.numpy(), boxes.numpy())


def test_cityscapes_without_its_scripts_says_what_to_install(root, monkeypatch):
    write_cityscapes(root)
    monkeypatch.setattr(cityscapes.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install cityscapesscripts"):
        DatasetCatalog.get("cityscapes_boxes_val")


def test_sim10k(root):
    objects = {
        "3384645": [
            ("car", 0, 11, 6, 30, 25),
            ("motorbike", 0, 1, 1, 9, 9),
            ("car", 0, 0, 0, 9, 9),
            ("car", 0, 60, 40, 90, 60),
        ],
        "3384643": [],
    }
    write_voc(root / "sim10k", objects, {}, size=False)
    records = DatasetCatalog.get("sim10k_cars_train")
    assert [(r["width"], r["height"]) for r in records] == [(64, 48)] * 2
    assert [Path(r["file_name"]).stem for r in records] == ["3384643", "3384645"]
    assert _boxes(records[0]) == []
    # Borders outside the picture are cut.
    assert _boxes(records[1]) == [
        (0, 10, 5, 20, 20, 0),
        (0, 0, 0, 9, 9, 0),
        (0, 59, 39, 5, 9, 0),
    ]


def test_kitti(root):
    write_kitti(root)
    records = DatasetCatalog.get("kitti_cars_train")
    assert [_boxes(r) for r in records] == [
        [(0, 10.5, 5.25, 20, 20, 0), (0, 50, 40, 14, 7, 0)],
        [],
    ]
    label = root / "kitti" / "training" / "label_2" / "000000.txt"
    label.write_text("Car 0.00 0 1.5 10.50\n")
    with pytest.raises(ValueError, match=r"000000\.txt, line 1"):
        DatasetCatalog.get("kitti_cars_train")


def test_clipart_is_read_as_detectron2_reads_voc(root):
    objects = {
        "a": [("person", 1, 3, 4, 20, 30), ("dog", 0, 1, 1, 64, 48)],
        "b": [("tvmonitor", 0, 5, 5, 6, 6)],
        "c": [],
        "d": [("aeroplane", 0, 2, 2, 60, 40)],
    }
    write_voc(root / "clipart", objects, {"train": ["b", "d"], "test": ["a", "c"]})
    for split in ("train", "test"):
        stock = load_voc_instances(str(root / "clipart"), split, CLASS_NAMES)
        for ours, theirs in zip(DatasetCatalog.get(f"clipart1k_{split}"), stock):
            assert {k: ours[k] for k in ("file_name", "width", "height")} == {
                k: theirs[k] for k in ("file_name", "width", "height")
            }
            assert [a["category_id"] for a in ours["annotations"]] == [
                a["category_id"] for a in theirs["annotations"]
            ]
            for a, b in zip(ours["annotations"], theirs["annotations"]):
                assert BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS) == b["bbox"]
    every = DatasetCatalog.get("clipart1k_all")
    assert [Path(r["file_name"]).stem for r in every] == ["b", "d", "a", "c"]
    names = MetadataCatalog.get("voc_2007_trainval").thing_classes
    assert MetadataCatalog.get("clipart1k_all").thing_classes == names


def test_six_classes_of_voc_drop_objects_and_keep_pictures(root):
    objects = {
        "a": [("sheep", 0, 3, 4, 20, 30), ("cat", 0, 1, 1, 9, 9)],
        "b": [("boat", 0, 5, 5, 9, 9)],
    }
    write_voc(root / "VOC2007", objects, {"trainval": ["a", "b"]})
    write_voc(root / "watercolor", {"c": [("person", 0, 1, 1, 9, 9)]}, {"train": ["c"]})
    records = DatasetCatalog.get("voc_six_2007_trainval")
    assert [_boxes(r) for r in records] == [[(3, 0, 0, 9, 9, 0)], []]
    assert _boxes(DatasetCatalog.get("watercolor2k_train")[0]) == [(5, 0, 0, 9, 9, 0)]
    assert voc_art.SIX_CLASSES == sorted(voc_art.SIX_CLASSES)


def test_broken_downloads_are_named(root):
    folder = root / "comic"
    write_voc(folder, {"a": [("cat", 0, 1, 1, 9, 9)]}, {"train": ["a"], "test": ["a", "gone"]})
    with pytest.raises(FileNotFoundError, match=r"comic2k_test.*gone\.jpg"):
        DatasetCatalog.get("comic2k_test")
    xml = folder / "Annotations" / "a.xml"
    xml.write_text(xml.read_text().replace("<xmin>1</xmin>", ""))
    with pytest.raises(ValueError, match=r"a\.xml is not a readable VOC annotation"):
        DatasetCatalog.get("comic2k_train")
    xml.unlink()
    with pytest.raises(FileNotFoundError, match=r"comic2k_train.*a\.xml"):
        DatasetCatalog.get("comic2k_train")
    (folder / "ImageSets" / "Main" / "train.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"train\.txt names no picture"):
        DatasetCatalog.get("comic2k_train")


def test_changed_annotations_are_read_again(root):
    write_voc(root / "comic", {"a": [("cat", 0, 1, 1, 9, 9)]}, {"train": ["a"]})
    assert len(DatasetCatalog.get("comic2k_train")[0]["annotations"]) == 1
    xml = root / "comic" / "Annotations" / "a.xml"
    xml.write_text("<annotation></annotation>")
    assert DatasetCatalog.get("comic2k_train")[0]["annotations"] == []
