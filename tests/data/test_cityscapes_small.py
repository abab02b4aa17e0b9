"""Small copies of Cityscapes: labels, neighbours, intrinsics, nested budgets, what is refused."""

import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog
from PIL import Image

from drfpn_da.data.datasets.cityscapes_small import small_intrinsics
from tests.scripts import load_tool

main = load_tool("prepare_cityscapes").main

CAMERA = {"intrinsic": {"fx": 60.0, "fy": 62.0, "u0": 33.0, "v0": 15.0}}


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """Three pictures of training and one of validation, 64 x 32; the first without a successor."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "datasets"))
    rng = np.random.default_rng(0)
    root = tmp_path / "downloads"

    def write(kind, split, name, array):
        path = root / kind / split / "bonn" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)

    for split, numbers in (("train", (0, 1, 2)), ("val", (7,))):
        for number in numbers:
            name = f"bonn_{number:06d}_{{:06d}}_{{}}"
            picture = rng.integers(0, 256, (32, 64, 3), dtype=np.uint8)
            labels = np.full((32, 64), 3, np.uint8)
            labels[:16, :32], labels[16:, 32:] = 7, 33
            write("leftImg8bit", split, name.format(19, "leftImg8bit.png"), picture)
            write("gtFine", split, name.format(19, "gtFine_labelIds.png"), labels)
            for frame in (18, 20) if number else (18,):
                shape = name.format(frame, "leftImg8bit.png")
                write("leftImg8bit_sequence", split, shape, picture)
            camera = root / "camera" / split / "bonn" / name.format(19, "camera.json")
            camera.parent.mkdir(parents=True, exist_ok=True)
            camera.write_text(json.dumps(CAMERA))
    return root


def test_copies_are_registered(downloads, capsys):
    assert main([str(downloads), "--height", "16", "--budgets", "1", "2"]) == 0
    assert "2 with neighbours, 3 with intrinsics" in capsys.readouterr().out
    records = DatasetCatalog.get("cityscapes_small_train")
    assert len(records) == 3
    assert "next_file_name" not in records[0] and "previous_file_name" in records[0]
    first = records[1]
    assert (first["width"], first["height"]) == (32, 16)
    np.testing.assert_allclose(
        first["intrinsics"], [[30, 0, 16.25], [0, 31, 7.25], [0, 0, 1]], rtol=0
    )
    labels = np.asarray(Image.open(first["sem_seg_file_name"]))
    assert labels.shape == (16, 32)
    # Road is 0, bicycle 18, everything that is not evaluated 255.
    assert (labels[:8, :16] == 0).all() and (labels[8:, 16:] == 18).all()
    assert (labels[:8, 16:] == 255).all()
    name = "bonn_000001_000019_leftImg8bit.png"
    source = np.asarray(Image.open(downloads / "leftImg8bit/train/bonn" / name), dtype=float)
    means = source.reshape(16, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(np.asarray(Image.open(first["file_name"])) - means).max() <= 1


def test_budgets_are_nested(downloads, tmp_path):
    assert main([str(downloads), "--height", "16", "--budgets", "1", "3"]) == 0
    folder = tmp_path / "datasets/cityscapes_small/train"
    one, three = ((folder / f"labelled_{n}_seed42.txt").read_text().splitlines() for n in (1, 3))
    assert three[:1] == one and len(set(three)) == 3
    assert all((folder / name).is_file() for name in three)


def test_what_exists_is_kept(downloads, tmp_path, capsys):
    assert main([str(downloads), "--height", "16", "--budgets"]) == 0
    assert main([str(downloads), "--height", "16", "--budgets"]) == 0
    assert "is there already" in capsys.readouterr().out
    assert main([str(downloads), "--height", "8", "--budgets"]) == 1
    assert "keep --height 16" in capsys.readouterr().err


def test_incomplete_downloads_are_named(downloads, capsys):
    labels = downloads / "gtFine/train/bonn/bonn_000001_000019_gtFine_labelIds.png"
    labels.unlink()
    assert main([str(downloads), "--height", "16"]) == 1
    assert str(labels) in capsys.readouterr().err
    assert main([str(downloads / "gtFine"), "--check"]) == 1
    assert "leftImg8bit_trainvaltest.zip" in capsys.readouterr().err


def test_bad_budget_and_height(downloads, capsys):
    assert main([str(downloads), "--height", "64"]) == 1
    assert "height 64 is more than the 32" in capsys.readouterr().err
    assert main([str(downloads), "--height", "16", "--budgets", "9"]) == 1
    assert "--budgets 9" in capsys.readouterr().err


def test_camera_of_another_size_is_refused(tmp_path):
    camera = tmp_path / "camera.json"
    camera.write_text(json.dumps(CAMERA))
    with pytest.raises(ValueError, match=r"principal point \(33\.0, 15\.0\)"):
        small_intrinsics(camera, (32, 16), (32, 16))
