"""Few labels: which records are picked, and that the loader uses no others."""

from __future__ import annotations

import json

import pytest

from drfpn_da import model_zoo
from drfpn_da.data import build_train_loader
from drfpn_da.data.subset import labelled_records, pick_named, pick_random, read_names

RECORDS = [{"file_name": f"/data/{i:04d}.png", "height": 4, "width": 4} for i in range(2975)]


def test_published_permutations_and_nesting():
    for seed, first in ((42, 2403), (43, 938), (44, 1436)):
        assert pick_random(RECORDS, 1, seed)[0] is RECORDS[first]
    small, large = pick_random(RECORDS, 100, 7), pick_random(RECORDS, 372, 7)
    assert large[:100] == small and len({r["file_name"] for r in large}) == 372


def test_names_by_path_or_stem(tmp_path):
    lines, listed = tmp_path / "names.txt", tmp_path / "selected.json"
    lines.write_text("0003\n\n/data/0001.png\n")
    listed.write_text(json.dumps({"file_names": ["elsewhere/0005.png", "0002.png"]}))
    assert pick_named(RECORDS, read_names(str(lines)), "f") == [RECORDS[3], RECORDS[1]]
    assert pick_named(RECORDS, read_names(str(listed)), "f", 1) == [RECORDS[5]]


def test_unusable_requests(tmp_path):
    with pytest.raises(ValueError, match=r"COUNT is 3000, but there are 2975"):
        pick_random(RECORDS, 3000, 0)
    with pytest.raises(ValueError, match=r"f.txt .* names 'x', of which DATASETS.TRAIN has 0"):
        pick_named(RECORDS, ["x"], "f.txt")
    with pytest.raises(FileNotFoundError, match=r"LABELLED.FILE"):
        read_names(str(tmp_path / "gone.txt"))
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ValueError, match="names no picture"):
        read_names(str(tmp_path / "empty.txt"))


def test_from_a_config(register):
    cfg = model_zoo.get_config("drfpn/camvid/semseg_mobilenetv2_drfpn.yaml")
    cfg.DATASETS.TRAIN = (register("subset_of_four", [dict(r) for r in RECORDS[:4]]),)
    assert labelled_records(cfg) is None
    cfg.DATASETS.LABELLED.COUNT = 2
    assert labelled_records(cfg) == pick_random(RECORDS[:4], 2, 0)


def test_relabelling_refuses_a_subset():
    cfg = model_zoo.get_config("scn/streets/faster_rcnn_mobilenetv2_fpn_mini.yaml")
    cfg.SCN_RELABEL.ENABLED = True
    cfg.DATASETS.LABELLED.COUNT = 2
    with pytest.raises(ValueError, match=r"DATASETS\.LABELLED.*SCN_RELABEL\.ENABLED"):
        build_train_loader(cfg)
