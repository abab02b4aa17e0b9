"""Suspicious labels of hand-made pictures; review tables; corrected files; cleanlab's form."""

import json

import numpy as np
import pytest
from detectron2.data import MetadataCatalog
from PIL import Image

from drfpn_da.data import load_indexed
from drfpn_da.labels import Decision, RelabelStore
from drfpn_da.labels.audit import AuditThresholds, audit_picture, iou_matrix
from drfpn_da.labels.export import corrected_coco, to_cleanlab
from drfpn_da.labels.review import read_review, write_review
from drfpn_da.visualization.relabels import draw_crop, flow_table, relabel_page
from tests.tiny_coco import register_tiny, write_tiny_coco

NAMES = ("car", "person")


def picture(*annotations):
    return {
        "file_name": "a.png",
        "image_id": 4,
        "annotations": [
            {"bbox": list(box), "category_id": label, "iscrowd": crowd}
            for box, label, crowd in annotations
        ],
    }


def found(*rows):
    """Detections from (x0, y0, x1, y1, score, class)."""
    table = np.array(rows, dtype=float).reshape(-1, 6)
    return {"boxes": table[:, :4], "scores": table[:, 4], "classes": table[:, 5].astype(int)}


def audit(record, detections, **limits):
    ids = [f"a{i}" for i in range(len(record["annotations"]))]
    return audit_picture(record, detections, NAMES, ids, "set", AuditThresholds(**limits))


def test_each_kind_of_fault_is_found_and_nothing_else():
    record = picture(
        ((0, 0, 10, 10), 0, 0),  # right
        ((20, 0, 10, 10), 0, 0),  # a person
        ((40, 0, 10, 10), 0, 0),  # 40 % too far left
        ((60, 0, 10, 10), 1, 1),  # crowd
        ((80, 0, 10, 10), 1, 0),  # not seen at all: not judged
    )
    detections = found(
        (0, 0, 10, 10, 0.9, 0),
        (0, 0, 10, 10, 0.3, 1),
        (20, 0, 30, 10, 0.2, 0),
        (21, 0, 30, 10, 0.8, 1),
        (44, 0, 54, 10, 0.9, 0),
        (60, 0, 70, 10, 0.9, 0),
        (60, 40, 70, 50, 0.7, 1),
        (61, 40, 71, 50, 0.6, 1),
        (90, 60, 99, 70, 0.4, 1),
    )
    result = {(s.kind, s.annotation_id): s for s in audit(record, detections)}
    assert set(result) == {("class", "a1"), ("location", "a2"), ("overlooked", None)}
    swapped = result["class", "a1"]
    assert (swapped.old, swapped.new) == ("car", "person")
    assert (swapped.p_old, swapped.p_new, swapped.score) == pytest.approx((0.2, 0.8, 0.6))
    moved = result["location", "a2"]
    assert moved.score == pytest.approx(0.9 * (1 - 60 / 140)) and moved.found == (44, 0, 10, 10)
    lost = result["overlooked", None]
    assert (lost.new, lost.score, lost.box) == ("person", 0.7, (60, 40, 10, 10))


def test_thresholds_move_the_line():
    record, detections = (
        picture(((20, 0, 10, 10), 0, 0)),
        found((20, 0, 30, 10, 0.4, 0), (20, 0, 30, 10, 0.6, 1)),
    )
    assert not audit(record, detections, margin=0.2 + 1e-9)
    assert audit(record, detections, margin=0.19)
    assert audit(picture(), found((0, 0, 9, 9, 0.5, 0)))[0].kind == "overlooked"
    assert not audit(picture(), found())
    with pytest.raises(ValueError, match=r"threshold margin is 2"):
        AuditThresholds(margin=2)
    with pytest.raises(ValueError, match="apart"):
        AuditThresholds(apart=0.6)


def test_overlaps_equal_detectron2():
    import torch
    from detectron2.structures import Boxes, pairwise_iou

    rng = np.random.default_rng(0)
    first, second = (np.concatenate([c, c + rng.random((7, 2))], 1) for c in rng.random((2, 7, 2)))
    expected = pairwise_iou(Boxes(torch.tensor(first)), Boxes(torch.tensor(second)))
    np.testing.assert_allclose(iou_matrix(first, second), expected.numpy(), atol=1e-6)
    assert iou_matrix(np.zeros((1, 4)), np.zeros((1, 4))).tolist() == [[0.0]]


@pytest.fixture
def corrected(tmp_path):
    """A data set, and a store with one correction applied and one proposed."""
    write_tiny_coco(tmp_path)
    register_tiny("tiny_audit", tmp_path)
    records, annotations = load_indexed(["tiny_audit"])
    store = RelabelStore(annotations.datasets, {"margin": 0.2})
    store.record([Decision(0, 0, 1, 0.1, 0.8, 0.5, 9, 0.9)], annotations, 10)
    store.record([Decision(3, 1, 0, 0.2, 0.6, 0.5, 9, 0.9)], annotations, 20, dry_run=True)
    return tmp_path, records, annotations, store


def test_ids_come_from_the_annotation_file(corrected):
    folder, records, annotations, _ = corrected
    data = json.loads((folder / "tiny.json").read_text())
    by_id = {a["id"]: a for a in data["annotations"]}
    assert len(annotations) == len(by_id) == 16
    for i, identifier in enumerate(annotations.annotation_ids):
        assert by_id[identifier]["bbox"] == annotations.boxes[i].tolist()
        assert by_id[identifier]["category_id"] - 1 == annotations.classes[i]
    numbered = [a["annotation_index"] for record in records for a in record["annotations"]]
    assert numbered == list(range(16))


def test_data_sets_without_ids_are_numbered_by_picture_and_place(corrected):
    _, records, _, _ = corrected
    from detectron2.data import DatasetCatalog

    from drfpn_da.labels import index_annotations

    if "no_ids" not in DatasetCatalog.list():
        MetadataCatalog.get("no_ids").set(thing_classes=["square", "bar"])
    first = index_annotations([("no_ids", records)])
    assert first.annotation_ids[:3] == ("picture_0.png#0", "picture_0.png#1", "picture_1.png#0")
    records[0]["annotations"][0]["category_id"] = 1
    assert index_annotations([("no_ids", records)]).datasets[0].sha256 != first.datasets[0].sha256
    MetadataCatalog.get("twins").set(thing_classes=["bar", "bar"])
    with pytest.raises(ValueError, match="two classes named 'bar'"):
        index_annotations([("twins", records)])


def test_records_of_another_file_are_refused(corrected):
    folder, _, _, _ = corrected
    data = json.loads((folder / "tiny.json").read_text())
    data["annotations"][0]["bbox"][0] += 1
    (folder / "moved.json").write_text(json.dumps(data))
    MetadataCatalog.get("tiny_audit").json_file = str(folder / "tiny.json")
    meta = MetadataCatalog.get("tiny_audit")
    vars(meta)["json_file"] = str(folder / "moved.json")
    with pytest.raises(ValueError, match="which its metadata names as json_file"):
        load_indexed(["tiny_audit"])


def test_corrected_file_differs_by_the_corrections_alone(corrected):
    folder, _, _, store = corrected
    source = (folder / "tiny.json").read_bytes()
    given = {a["id"]: a for a in json.loads(source)["annotations"]}
    for proposed, expected in ((False, {1}), (True, {1, 4})):
        data = corrected_coco(store, "tiny_audit", proposed)
        changed = {a["id"] for a in data["annotations"] if a != given[a["id"]]}
        assert changed == expected
        assert data["info"]["relabelled"]["annotations"] == len(expected)
        for annotation in data["annotations"]:
            assert {**annotation, "category_id": 0} == {**given[annotation["id"]], "category_id": 0}
    assert (folder / "tiny.json").read_bytes() == source
    with pytest.raises(KeyError, match="not of 'other'"):
        corrected_coco(store, "other")
    (folder / "tiny.json").write_bytes(source + b" ")
    with pytest.raises(ValueError, match="has changed since"):
        corrected_coco(store, "tiny_audit")


def test_review_is_read_back(corrected, tmp_path):
    _, _, _, store = corrected
    path = tmp_path / "review.csv"
    write_review(store.entries, path)
    lines = path.read_text().splitlines()
    assert lines[1].startswith(",tiny_audit,1,") and ",square,bar,0.7000," in lines[1]
    assert read_review(path, store.entries) == {}
    path.write_text("\n".join([lines[0], "reject" + lines[1], "Accept " + lines[2]]) + "\n")
    verdicts = read_review(path, store.entries)
    assert verdicts == {("tiny_audit", 1): False, ("tiny_audit", 4): True}
    store.review(verdicts)
    assert store.corrections() == {("tiny_audit", 4): "square"}
    path.write_text("\n".join([lines[0], "perhaps" + lines[1]]))
    with pytest.raises(ValueError, match=r"line 2: verdict 'perhaps'"):
        read_review(path, store.entries)
    path.write_text("\n".join([lines[0], "accept" + lines[1].replace(",1,", ",99,", 1)]))
    with pytest.raises(ValueError, match=r"line 2: annotation 99"):
        read_review(path, store.entries)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no column 'annotation_id'"):
        read_review(path, store.entries)


def test_page_shows_counts_flow_and_crops(corrected, tmp_path):
    _, _, _, store = corrected
    assert flow_table(store.entries) == (
        ["from \\ to", "bar", "square"],
        [["bar", 0, 1], ["square", 1, 0]],
    )
    page = relabel_page("Labels", store.entries, {"margin": 0.2}).save(tmp_path / "report.html")
    text = page.read_text()
    assert text.count("<img") == 2
    assert "annotation 1, picture_0.png, applied: margin 0.70" in text
    assert "class: proposed" in text and "margin</td><td>0.2" in text
    assert "The first" not in text
    short = relabel_page("Labels", store.entries, {}, limit=1).save(tmp_path / "short.html")
    assert short.read_text().count("<img") == 1 and "The first 1 of 2" in short.read_text()


def test_crops_outline_the_box():
    image = np.zeros((40, 60, 3), dtype=np.uint8)
    crop = draw_crop(image, (20, 10, 20, 10), (255, 0, 0))
    assert max(crop.shape[:2]) == 220
    red = np.argwhere(crop[..., 0] == 255)
    share = (red.max(0) - red.min(0)) / np.array(crop.shape[:2])
    # The box and 12 pixels around it: 20 of 45 and 10 of 35 pixels.
    assert share == pytest.approx([10 / 35, 20 / 45], abs=0.02)
    assert draw_crop(image, (58, 38, 2, 2), (255, 0, 0)).size, "at the border"


def test_cleanlab_form(corrected):
    _, records, _, _ = corrected
    detections = [found((1, 2, 3, 4, 0.5, 1)) for _ in records]
    labels, predictions = to_cleanlab(records, detections, 2)
    assert len(labels) == len(predictions) == 8
    x, y, w, h = records[0]["annotations"][0]["bbox"]
    assert labels[0]["bboxes"][0].tolist() == [x, y, x + w, y + h]
    assert labels[0]["labels"].tolist() == [0, 1]
    assert predictions[0].shape == (2,) and predictions[0][0].shape == (0, 5)
    assert predictions[0][1].tolist() == [[1, 2, 3, 4, 0.5]]


def test_missing_pictures_are_named(corrected, tmp_path):
    folder, _, _, store = corrected
    (folder / "images" / "picture_0.png").unlink()
    text = relabel_page("Labels", store.entries, {}).save(tmp_path / "report.html").read_text()
    assert "picture_0.png is missing" in text
    Image.new("RGB", (4, 4)).save(folder / "images" / "picture_0.png")
