"""Folders of pictures as data sets, by a flag or by a key."""

from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog

from drfpn_da.config import argument_parser, setup_cfg
from drfpn_da.data import get_target_dicts
from tests.tiny_coco import write_tiny_coco


def test_folder_with_an_unreadable_picture(tmp_path, caplog):
    write_tiny_coco(tmp_path / "bad", count=3)
    images = tmp_path / "bad" / "images"
    (images / "picture_1.png").write_bytes(b"nothing")
    options = ["DATASETS.REGISTER_IMAGES", f"[['two_bad_folder', '{images}']]"]
    setup_cfg(argument_parser().parse_args([*options, "INPUT.SKIP_UNREADABLE_TARGET", "True"]))
    names = [Path(r["file_name"]).name for r in get_target_dicts("two_bad_folder")]
    assert names == ["picture_0.png", "picture_2.png"]
    assert "picture_1.png" in caplog.text


def test_command_line_registers_a_folder_of_pictures(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    write_tiny_coco(source)
    write_tiny_coco(target, count=5)
    args = argument_parser().parse_args(
        [
            *("--register-images", "two_by_flag", str(target / "images")),
            *("DATASETS.TARGET", "('two_by_flag',)"),
            *("DATASETS.REGISTER_IMAGES", f"[['two_by_key', '{source / 'images'}']]"),
        ]
    )
    cfg = setup_cfg(args)
    assert len(DatasetCatalog.get("two_by_flag")) == 5
    assert len(DatasetCatalog.get("two_by_key")) == 8
    assert [name for name, _ in cfg.DATASETS.REGISTER_IMAGES] == ["two_by_key", "two_by_flag"]


def test_folder_entries_are_checked(tmp_path):
    parser = argument_parser()
    with pytest.raises(ValueError, match=r"REGISTER_IMAGES is .*\['x'\].*\[name, image folder\]"):
        setup_cfg(parser.parse_args(["DATASETS.REGISTER_IMAGES", "[['x']]"]))
    with pytest.raises(FileNotFoundError, match="no picture"):
        setup_cfg(parser.parse_args(["--register-images", "two_empty", str(tmp_path)]))
