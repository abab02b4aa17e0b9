"""tools/prepare_benchmarks.py on tiny downloads: what it finds, converts and leaves alone."""

from __future__ import annotations

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from drfpn_da.data.datasets.benchmarks import BENCHMARKS, count_files

from ..scripts import load_tool
from ..tiny_benchmarks import (
    cityscapesscripts,  # noqa: F401
    write_cityscapes,
    write_kitti,
    write_voc,
)


@pytest.fixture
def tool(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "data"))
    monkeypatch.setenv("DRFPN_DA_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    return load_tool("prepare_benchmarks")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_set_of_a_benchmark_is_registered_with_equal_classes(name):
    benchmark = BENCHMARKS[name]
    classes = [list(MetadataCatalog.get(n).thing_classes) for n in benchmark.datasets]
    assert set(benchmark.datasets) <= set(DatasetCatalog.list())
    assert all(one == classes[0] for one in classes)
    for dataset in benchmark.test:
        assert set(MetadataCatalog.get(dataset).evaluator_types) == {"coco", "voc_of_coco"}


def test_check_tells_what_is_missing_and_from_where(tool, tmp_path, capsys):
    write_cityscapes(tmp_path / "data")
    assert tool.main(["--check", "foggy_cityscapes"]) == 1
    lines = capsys.readouterr().out.splitlines()
    pattern = "cityscapes/leftImg8bit_foggy/train/*/*_foggy_beta_0.02.png"
    assert f"  partial  {pattern}: 2 of 2,975" in lines
    assert (
        "leftImg8bit_trainvaltest_foggy.zip"
        in lines[lines.index(f"  partial  {pattern}: 2 of 2,975") + 1]
    )
    assert tool.main(["--check", "kitti"]) == 1
    assert "  missing  kitti/training/label_2/*.txt: 0 of 7,481" in capsys.readouterr().out
    assert not (tmp_path / "cache").exists()


def test_check_passes_when_all_files_are_there(tool, tmp_path, monkeypatch, capsys):
    write_cityscapes(tmp_path / "data")
    for part, found in count_files("foggy_cityscapes"):
        assert found == (2 if "/train/" in part.pattern else 1)
        monkeypatch.setitem(vars(part), "count", found)
    assert tool.main(["--check", "foggy_cityscapes"]) == 0
    assert "missing" not in capsys.readouterr().out


@pytest.mark.usefixtures("cityscapesscripts")
def test_conversion_counts_boxes_and_changes_no_download(tool, tmp_path, capsys):
    data = tmp_path / "data"
    write_cityscapes(data)
    write_kitti(data)
    before = {p: p.stat().st_mtime_ns for p in data.rglob("*")}
    for _ in range(2):  # the second time from the cache
        assert tool.main(["kitti"]) == 0
        output = capsys.readouterr().out
        assert "kitti_cars_train: 2 pictures; 2 car\n" in output
        assert "cityscapes_cars_train: 2 pictures; 4 car\n" in output
    assert {p: p.stat().st_mtime_ns for p in data.rglob("*")} == before


def test_conversion_names_what_fails(tool, tmp_path, capsys):
    write_voc(tmp_path / "data" / "comic", {"a": []}, {"train": ["a"], "test": ["a"]})
    assert tool.main(["comic2k"]) == 1
    assert "failed   voc_six_2007_trainval" in capsys.readouterr().out


def test_unknown_benchmarks_are_refused(tool, capsys):
    with pytest.raises(SystemExit):
        tool.main(["cityscape"])
    assert "unknown benchmark 'cityscape'; there are foggy_cityscapes" in capsys.readouterr().err
