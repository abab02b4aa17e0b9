"""The check of COCO files: each kind of fault is found, named and mended, or refused."""

from __future__ import annotations

import copy
import json
import logging
import math
import re

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from drfpn_da.data import register_coco_json
from drfpn_da.data.check import check_data
from drfpn_da.data.coco import RULES, CocoFileError, load_coco, read_coco

RLE = {"size": [24, 32], "counts": [0, 24, 744]}


def box(number, image=7, **more):
    base = {"id": number, "image_id": image, "category_id": 3, "bbox": [2, 3, 10, 8], "area": 80}
    return {**base, "iscrowd": 0, **more}


DATA = {
    "images": [
        {"id": 7, "file_name": "a.png", "width": 32, "height": 24},
        {"id": 9, "file_name": "sub/b.png", "width": 32, "height": 24},
    ],
    "categories": [{"id": 40, "name": "bolt"}, {"id": 3, "name": "nut"}],
    "annotations": [box(1), box(2), box(5, image=9, category_id=40)],
}


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png", "turned.jpg", "wide.png"):
        picture = np.zeros((24, 32), np.uint16 if name == "wide.png" else np.uint8)
        exif = Image.Exif()
        exif[0x0112] = 6 if name == "turned.jpg" else 1
        Image.fromarray(picture).save(folder / name, exif=exif)
    (folder / "broken.png").write_bytes(b"nothing")
    return folder


def changed(key, number, **values):
    """DATA with an entry changed; None removes a field."""
    data = copy.deepcopy(DATA)
    entry = {**data[key][number], **values}
    data[key][number] = {k: v for k, v in entry.items() if v is not ...}
    return data


def first(**values):
    return changed("annotations", 2, **values)


def with_list(key, value):
    return {**copy.deepcopy(DATA), key: value}


# code -> (the file, what its message says beside code and mend)
FAULTS = {
    "not_json": ("{", "Expecting"),
    "not_coco": (with_list("images", 3), "'images' is a int"),
    "encoding": ("\ufeff" + json.dumps(DATA), "utf-8-sig"),
    "annotations_null": (with_list("annotations", None), "null"),
    "no_annotation": (with_list("annotations", []), "--register-images"),
    "all_crowds": (with_list("annotations", [box(1, iscrowd=1)]), "all 1"),
    "image_malformed": (with_list("images", ["a.png"]), r"images\[0\]: 'a.png'"),
    "image_id": (changed("images", 1, id=...), r"images\[1\]: no id"),
    "image_id_repeated": (changed("images", 1, id=7), r"repeat id 7, that of images\[0\]"),
    "image_file_name": (changed("images", 1, file_name=5), "picture 9 .*file_name 5"),
    "image_backslashes": (changed("images", 1, file_name="sub\\b.png"), "picture 9"),
    "image_no_size": (changed("images", 1, width=...), "picture 9"),
    "image_size": (changed("images", 1, width=-32), "picture 9 .*width -32"),
    "image_missing": (changed("images", 1, file_name="c.png"), r"picture 9 .*c\.png"),
    "image_unreadable": (changed("images", 1, file_name="broken.png"), r"broken\.png"),
    "image_size_differs": (changed("images", 1, width=33), "is 32x24, the file says 33x24"),
    "image_turned": (changed("images", 1, file_name="turned.jpg"), "is 24x32, the file says 32x24"),
    "image_twice": (changed("images", 1, file_name="a.png"), r"picture 9 .*a\.png"),
    "image_wide": (changed("images", 1, file_name="wide.png"), r"wide\.png"),
    "class_malformed": (changed("categories", 1, name=...), r"categories\[1\]"),
    "class_id": (changed("categories", 1, id=None), "id None"),
    "class_id_repeated": (changed("categories", 0, id=3), "repeat id 3"),
    "class_name_repeated": (changed("categories", 1, name="bolt"), "class 3 .*'bolt'"),
    "no_class": (with_list("categories", []), "List the classes"),
    "text_ids": (
        {
            **with_list("annotations", [box(n, category_id="c3") for n in (1, 2, 5)]),
            "categories": [{"id": "c40", "name": "bolt"}, {"id": "c3", "name": "nut"}],
        },
        "categories",
    ),
    "annotation_malformed": (with_list("annotations", [box(1), 5]), r"annotations\[1\]: 5"),
    "annotation_id": (first(id=...), r"annotations\[2\]: no id"),
    "annotation_id_repeated": (first(id=1), r"repeat id 1, that of annotations\[0\]"),
    "annotation_image": (first(image_id="9"), r"image_id '9' is a text, .* numbers \(9\)"),
    "annotation_class": (first(category_id=41), "annotation 5 .*category_id 41 is not among"),
    "bbox_absent": (first(bbox=...), r"annotation 5 \(annotations\[2\]\)"),
    "bbox_malformed": (first(bbox=["2", "3", "10", "8"]), r"bbox \['2', '3', '10', '8'\]"),
    "bbox_not_finite": (first(bbox=[2, math.nan, 10, 8]), "annotation 5 .*nan"),
    "bbox_no_size": (first(bbox=[2, 3, 0, 8]), r"annotation 5 .*\[2, 3, 0, 8\]"),
    "bbox_outside": (first(bbox=[32, 3, 10, 8]), "annotation 5 .*in 32x24"),
    "bbox_clipped": (first(bbox=[-2, 3, 10, 8]), "annotation 5"),
    "ignore_set": (first(ignore=1), 'annotation 5 .*ignore 1.*"iscrowd": 1'),
    "crowd_absent": (first(iscrowd=...), "annotation 5"),
    "crowd_malformed": (first(iscrowd="0"), "annotation 5 .*iscrowd '0'"),
    "area_absent": (first(area=...), "annotation 5"),
    "area_malformed": (first(area="80"), "annotation 5 .*area '80'"),
    "polygon_flat": (first(segmentation=[2, 3, 12, 3, 12, 11]), "annotation 5"),
    "polygon_malformed": (first(segmentation=[["2", "3"]]), "annotation 5"),
    "polygon_empty": (first(segmentation=[[]]), "annotation 5"),
    "rle_malformed": (first(segmentation={"counts": 5}), "annotation 5"),
    "rle_size": (first(segmentation={**RLE, "size": [32, 24]}), "mask 24x32, picture 32x24"),
}


def write(tmp_path, data):
    path = tmp_path / "labels.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


# Another fault follows from these.
FOLLOWS = {"no_class": {"annotation_class"}, "class_id": {"annotation_class"}}
FOLLOWS |= {"class_id_repeated": {"annotation_class"}, "image_malformed": {"annotation_image"}}
FOLLOWS |= {"image_id": {"annotation_image"}, "image_id_repeated": {"annotation_image"}}


@pytest.mark.parametrize("code", FAULTS)
def test_each_fault_is_found_and_named(tmp_path, pictures, code):
    data, words = FAULTS[code]
    findings = read_coco(write(tmp_path, data), pictures).findings
    assert {finding.code for finding in findings} - FOLLOWS.get(code, set()) == {code}
    finding = next(finding for finding in findings if finding.code == code)
    assert re.search(words, str(finding))
    assert RULES[code].fix[1:] in str(finding)
    assert code in findings.table()
    report = json.loads(json.dumps(findings.as_dict()))
    assert report["errors"] + report["warnings"] >= 1
    assert report["findings"][0]["places"]


def test_every_rule_has_a_case():
    assert set(RULES) - set(FAULTS) == {"no_picture"}  # of a folder, not of a file


@pytest.mark.parametrize("code", FAULTS)
def test_errors_stop_registration_and_warnings_do_not(
    tmp_path, pictures, fresh_name, private_roots, caplog, code
):
    file, folder = str(write(tmp_path, FAULTS[code][0])), str(pictures)
    if RULES[code].severity == "error":
        kind = FileNotFoundError if code == "image_missing" else CocoFileError
        with pytest.raises(kind, match=rf"'{fresh_name}'.*labels\.json"):
            register_coco_json(fresh_name, file, folder)
        assert fresh_name not in DatasetCatalog.list()
        return
    register_coco_json(fresh_name, file, folder)
    assert RULES[code].what in caplog.text
    records = DatasetCatalog.get(fresh_name)
    assert [(r["width"], r["height"]) for r in records] == [(32, 24)] * 2
    boxes = sum(len(r["annotations"]) for r in records)
    gone = {"bbox_no_size": 2, "bbox_outside": 2, "annotations_null": 0, "no_annotation": 0}
    gone |= {"all_crowds": 1}
    assert boxes == gone.get(code, 3)
    assert MetadataCatalog.get(fresh_name).source_json_file == file


def test_sound_files_are_used_as_they_are(tmp_path, pictures, fresh_name, caplog):
    masks = [box(1, segmentation=[[2, 3, 12, 3, 12, 11]]), box(2, segmentation=RLE, iscrowd=1)]
    file = write(tmp_path, with_list("annotations", masks))
    register_coco_json(fresh_name, str(file), str(pictures))
    assert not [r for r in caplog.records if r.levelno > logging.INFO]
    meta = MetadataCatalog.get(fresh_name)
    assert meta.json_file == str(file) and meta.mask_format == "polygon"
    assert [a["id"] for a in DatasetCatalog.get(fresh_name)[0]["annotations"]] == [1, 2]


def test_a_repaired_copy_is_read_and_the_file_stays(tmp_path, pictures, fresh_name, private_roots):
    data = changed("images", 1, file_name="sub\\b.png", width=...)
    data["annotations"][2]["segmentation"] = [[1, 2]]
    text = "\ufeff" + json.dumps(data)
    file = write(tmp_path, text)
    register_coco_json(fresh_name, str(file), str(pictures))
    assert file.read_text(encoding="utf-8") == text
    copy_ = json.loads(open(MetadataCatalog.get(fresh_name).json_file, encoding="utf-8").read())
    assert copy_["images"][1] == {**DATA["images"][1], "file_name": "sub/b.png"}
    assert copy_["annotations"] == DATA["annotations"]
    assert register_coco_json(fresh_name, str(file), str(pictures)) == ["nut", "bolt"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_other_encodings_are_read(tmp_path, pictures, fresh_name, private_roots, encoding):
    file = tmp_path / "labels.json"
    text = json.dumps(changed("categories", 1, name="Mutter ö"), ensure_ascii=False)
    file.write_text(text, encoding=encoding)
    assert register_coco_json(fresh_name, str(file), str(pictures)) == ["Mutter ö", "bolt"]
    assert len(DatasetCatalog.get(fresh_name)) == 2


@pytest.mark.parametrize(
    ("masks", "wanted"),
    [
        ([[[2, 3, 12, 3, 12, 11]], None], "polygon"),
        ([[[2, 3, 12, 3, 12, 11]], RLE], "bitmask"),
        ([RLE, None], "bitmask"),
        ([[[]], []], "none"),
    ],
)
def test_mask_format(tmp_path, pictures, masks, wanted):
    data = with_list("annotations", [box(i + 1, segmentation=m) for i, m in enumerate(masks)])
    counts = read_coco(write(tmp_path, data), pictures).counts
    assert counts.mask_format == wanted
    assert counts.bare == [i + 1 for i, m in enumerate(masks) if m in (None, [[]], [])]


def test_message_is_short_however_many_places(tmp_path):
    data = with_list("annotations", [box(i, ignore=1) for i in range(1, 3001)])
    with pytest.raises(CocoFileError, match=r"annotation 3 \(annotations\[2\]\).* 2997 more") as e:
        load_coco(write(tmp_path, data))
    assert len(str(e.value)) < 500
    (finding,) = read_coco(tmp_path / "labels.json").findings
    assert finding.count == 3000 and len(finding.places) == 1000


def test_overhang_of_a_pixel_is_no_finding(tmp_path, pictures):
    data = first(bbox=[-1, -0.5, 34, 25])
    assert not list(read_coco(write(tmp_path, data), pictures).findings)


def test_a_folder_is_checked_by_listing_it(tmp_path):
    """Many pictures: one is gone, one has another size, both are found."""
    entries = []
    for i in range(80):
        Image.new("L", (8, 6)).save(tmp_path / f"{i}.png")
        entries.append({"id": i, "file_name": f"{i}.png", "width": 8, "height": 6})
    (tmp_path / "70.png").unlink()
    entries[11]["width"] = 9
    path = write(tmp_path, {"images": entries, "categories": [], "annotations": []})
    findings = check_data(path, tmp_path, labels=False)
    assert {f.code: f.places[0].id for f in findings} == {
        "image_missing": 70,
        "image_size_differs": 11,
    }
