"""BCCD, CamVid and COCO128: messages without the data, and numbers with it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import SemSegEvaluator
from PIL import Image
from pycocotools import mask as mask_util

from drfpn_da.data.datasets import camvid

NAMES = [
    *(f"bccd_{s}" for s in ("train", "val", "trainval", "test")),
    *(f"{n}_{s}" for n in ("camvid", "camvid_boxes", "coco128") for s in ("train", "val")),
    *(f"{n}_{s}" for n in ("camvid", "camvid_boxes") for s in camvid.PARTS),
]


@pytest.fixture
def need(real_data, tmp_path, monkeypatch):
    """Skip unless a folder of the real data is there; derived files go to a private cache."""
    monkeypatch.setenv("DRFPN_DA_CACHE", str(tmp_path))

    def check(folder):
        if not (real_data / folder).is_dir():
            pytest.skip(f"needs {folder} below DETECTRON2_DATASETS")
        return real_data / folder

    return check


@pytest.mark.parametrize("name", NAMES)
def test_missing_data_says_what_to_do(private_roots, name):
    folder = name.split("_")[0]
    with pytest.raises(FileNotFoundError) as error:
        DatasetCatalog.get(name)
    message = str(error.value)
    for part in (name, "DETECTRON2_DATASETS", str(private_roots[0] / folder), f"{folder}/\n"):
        assert part in message


def test_bccd(need):
    root = need("bccd")
    records = {s: DatasetCatalog.get(f"bccd_{s}") for s in ("train", "val", "trainval", "test")}
    counts = {split: len(found) for split, found in records.items()}
    assert counts == {"train": 205, "val": 87, "trainval": 292, "test": 72}
    files = {split: {r["file_name"] for r in found} for split, found in records.items()}
    assert files["train"] | files["val"] == files["trainval"]
    assert not files["trainval"] & files["test"]
    total = sum(len(r["annotations"]) for s in ("trainval", "test") for r in records[s])
    assert total == len(json.loads((root / "instances.json").read_text())["annotations"])
    # Evaluators read the split's own file: it must hold exactly these pictures.
    split = json.loads(Path(MetadataCatalog.get("bccd_test").json_file).read_text())
    assert len(split["images"]) == 72
    assert MetadataCatalog.get("bccd_test").thing_classes == ["WBC", "RBC", "Platelets"]


def test_camvid_labels(need):
    root = need("camvid")
    before = sorted(str(p) for p in root.rglob("*"))
    records = DatasetCatalog.get("camvid_val")
    assert len(records) == 101 and "annotations" not in records[0]
    for record in records[:5]:
        stored = np.asarray(Image.open(record["sem_seg_file_name"]))
        source = root / "valannot" / Path(record["sem_seg_file_name"]).name
        label = np.asarray(Image.open(source))
        assert stored.shape == (record["height"], record["width"])
        np.testing.assert_array_equal(stored == 255, label == 11)
        np.testing.assert_array_equal(stored[label < 11], label[label < 11])
    assert sorted(str(p) for p in root.rglob("*")) == before, "the user's folder was changed"


def test_camvid_day_and_dusk_share_no_pictures_and_leave_a_gap(need):
    need("camvid")
    frames, boxes = {}, {}
    for part in camvid.PARTS:
        stems = [Path(r["file_name"]).stem for r in DatasetCatalog.get(f"camvid_{part}")]
        frames[part] = {tuple(stem.replace("f", "").split("_")) for stem in stems}
        records = DatasetCatalog.get(f"camvid_boxes_{part}")
        boxes[part] = [0, 0, 0]
        for annotation in (a for r in records for a in r["annotations"]):
            boxes[part][annotation["category_id"]] += 1
        # Evaluators read the part's own file: it must hold exactly these pictures.
        meta = MetadataCatalog.get(f"camvid_boxes_{part}")
        stored = json.loads(Path(meta.json_file).read_text())["images"]
        assert sorted(Path(i["file_name"]).stem for i in stored) == sorted(stems)
    assert {part: len(found) for part, found in frames.items()} == {
        "day_train": 241,
        "day_val": 52,
        "dusk_train": 37,
        "dusk_val": 19,
    }
    assert boxes == {
        "day_train": [698, 418, 69],
        "day_val": [195, 178, 50],
        "dusk_train": [101, 72, 19],
        "dusk_val": [53, 33, 22],
    }
    assert {sequence for sequence, _ in frames["dusk_train"] | frames["dusk_val"]} == {"0001TP"}
    assert "0001TP" not in {sequence for sequence, _ in frames["day_train"] | frames["day_val"]}
    for domain in ("day", "dusk"):
        seconds = [
            abs(int(a) - int(b)) / 30
            for first, a in frames[f"{domain}_train"]
            for second, b in frames[f"{domain}_val"]
            if first == second
        ]
        assert min(seconds) >= 7


def test_camvid_sequence_is_unbroken(need):
    need("camvid")
    records = DatasetCatalog.get("camvid_sequence")
    assert len(records) == 101
    for before, record in zip(records, records[1:]):
        assert record["previous_file_name"] == before["file_name"]
        assert before["next_file_name"] == record["file_name"]
    assert records[0]["previous_file_name"] is records[-1]["next_file_name"] is None
    focal = records[0]["intrinsics"][0][0]
    assert np.isclose(2 * np.arctan(480 / 2 / focal), np.radians(50))
    assert "sem_seg_file_name" not in records[0]


def test_camvid_with_stock_evaluator(need):
    import torch

    need("camvid")
    evaluator = SemSegEvaluator("camvid_val", distributed=False)
    evaluator.reset()
    for record in DatasetCatalog.get("camvid_val")[:10]:
        label = torch.from_numpy(np.array(Image.open(record["sem_seg_file_name"]))).long()
        # Unlabelled pixels are predicted as sky, which must cost nothing.
        scores = torch.nn.functional.one_hot(label * (label < 11), 11).permute(2, 0, 1)
        evaluator.process([record], [{"sem_seg": scores}])
    assert evaluator.evaluate()["sem_seg"]["mIoU"] == pytest.approx(100)


def test_camvid_boxes_match_their_pixels(need):
    root = need("camvid")
    records = DatasetCatalog.get("camvid_boxes_val")
    assert sum(len(r["annotations"]) for r in records) > 300
    for record in records[:10]:
        label = np.asarray(Image.open(root / "valannot" / Path(record["sem_seg_file_name"]).name))
        for annotation in record["annotations"]:
            mask = mask_util.decode(annotation["segmentation"]).astype(bool)
            name = camvid.BOX_CLASSES[annotation["category_id"]]
            assert (label[mask] == camvid.STUFF_CLASSES.index(name)).all()
            x, y, w, h = annotation["bbox"]
            rows, columns = np.where(mask)
            assert (x, y) == (columns.min(), rows.min())
            assert (w, h) == (np.ptp(columns) + 1, np.ptp(rows) + 1)


def test_weak_instances_rule():
    """Two cars (one diagonal step apart: one component), a sliver, a thin line, a person."""
    label = np.full((60, 80), camvid.STUFF_CLASSES.index("road"), np.uint8)
    car, person = (camvid.STUFF_CLASSES.index(n) for n in ("car", "pedestrian"))
    label[5:15, 5:15] = car
    label[15:25, 15:25] = car  # touches the first at a corner
    label[5:14, 40:51] = car  # 99 pixels: one too few
    label[30:35, 5:45] = car  # 5 pixels high: too thin
    label[30:50, 60:66] = person
    found = camvid.weak_instances(label)
    assert [(a["category_id"], a["bbox"], a["area"]) for a in found] == [
        (1, [5, 5, 20, 20], 200),
        (2, [60, 30, 6, 20], 120),
    ]


def test_coco128(need):
    root = need("coco128")
    records = DatasetCatalog.get("coco128_val")
    assert len(records) == 100
    assert sum(len(r["annotations"]) for r in records) == 712
    meta = MetadataCatalog.get("coco128_val")
    assert (len(meta.thing_classes), len(meta.stuff_classes)) == (80, 54)
    panoptic = json.loads((root / "panoptic_val2017.json").read_text())
    names = {c["id"]: c["name"] for c in panoptic["categories"]}
    by_stem = {Path(a["file_name"]).stem: a for a in panoptic["annotations"]}
    for record in records[:10]:
        stem = Path(record["file_name"]).stem
        label = np.asarray(Image.open(record["sem_seg_file_name"]))
        rgb = np.asarray(Image.open(root / "panoptic_val2017" / f"{stem}.png")).astype(int)
        ids = rgb[..., 0] + rgb[..., 1] * 256 + rgb[..., 2] * 65536
        assert ((label == 255) == (ids == 0)).all()
        for segment in by_stem[stem]["segments_info"]:
            (value,) = np.unique(label[ids == segment["id"]])
            category = segment["category_id"]
            thing = category in meta.thing_dataset_id_to_contiguous_id
            # detectron2 shortens "window-other" to "window", and so on.
            plain = re.sub("-(other|merged|stuff)", "", names[category])
            assert meta.stuff_classes[value] == ("things" if thing else plain)
