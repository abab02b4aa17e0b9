"""Disparity files beside pictures: values, geometry, errors that say what to do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectron2.data import DatasetMapper
from detectron2.data import transforms as T
from PIL import Image

from drfpn_da import model_zoo
from drfpn_da.data import build_target_loader
from drfpn_da.data.disparity import (
    DISPARITY_FIELDS,
    DisparityMapper,
    find_disparity,
    read_disparity,
)
from drfpn_da.data.seeding import seeded
from drfpn_da.data.target_mapper import TargetMapper

HEIGHT, WIDTH = 40, 60


@pytest.fixture
def record(tmp_path):
    """A picture whose grey is its disparity."""
    grey = np.add.outer(np.arange(HEIGHT), 2 * np.arange(WIDTH)).astype(np.uint8)
    Image.fromarray(np.stack([grey] * 3, axis=-1)).save(tmp_path / "a.png")
    Image.fromarray(grey.astype(np.uint16) * 256).save(tmp_path / "d.png")
    return {
        "file_name": str(tmp_path / "a.png"),
        "height": HEIGHT,
        "width": WIDTH,
        "disparity_file_name": str(tmp_path / "d.png"),
        "disparity_scale": 256.0,
        "sem_seg_file_name": "never read",
    }


def mapper(augmentations, root="", normalize=False):
    plain = DatasetMapper(is_train=True, augmentations=augmentations, image_format="RGB")
    return TargetMapper(DisparityMapper(plain, root, normalize), keep=DISPARITY_FIELDS)


def test_disparity_follows_geometry_and_nothing_else(record):
    """At each pixel it is the grey of the picture; brightness does not reach it."""
    geometry = [T.RandomFlip(0.5), T.RandomCrop("absolute", (20, 30))]
    for seed in range(8):
        with seeded(seed):
            sample = mapper(geometry)(record)
        assert torch.equal(sample["disparity"], sample["image"][0].float())
        with seeded(seed):
            bright = mapper([*geometry, T.RandomBrightness(0.2, 0.3)])(record)
        assert torch.equal(bright["disparity"], sample["disparity"])
    assert sample["disparity"].shape == (20, 30) and sample["domain"] == "target"


def test_a_crop_has_the_values_of_the_whole_picture_stretched(record):
    """As published: what else a crop shows changes nothing."""
    geometry = [T.RandomCrop("absolute", (20, 30))]
    largest = HEIGHT - 1 + 2 * (WIDTH - 1)
    for seed in range(3):
        with seeded(seed):
            sample = mapper(geometry, normalize=True)(record)
        torch.testing.assert_close(sample["disparity"], sample["image"][0].float() / largest)
        assert sample["disparity"].max() - sample["disparity"].min() < 1


def test_the_loader_stretches_unless_disparity_is_compared_as_stored():
    options = [
        "DATALOADER.NUM_WORKERS",
        0,
        "INPUT.CROP.ENABLED",
        True,
        "INPUT.CROP.SIZE",
        [0.5, 0.5],
    ]
    largest = []
    for compare in ("normalized_disparity", "disparity"):
        cfg = model_zoo.get_config("depth_mix/streets/semseg_mobilenetv2_mini.yaml")
        cfg.merge_from_list([*options, "SEED", 1, "MODEL.DEPTH_MIX.COMPARE", compare])
        batch = next(iter(build_target_loader(cfg)))
        largest.append(max(float(x["disparity"].max()) for x in batch))
    assert largest[0] <= 1 < largest[1]


def test_resizing_keeps_values(record):
    sample = mapper([T.Resize((HEIGHT // 2, WIDTH // 2))])(record)
    assert sample["disparity"].shape == (20, 30)
    known = set(read_disparity(find_disparity(record), 256).flatten().tolist())
    assert set(sample["disparity"].flatten().tolist()) <= known


def test_formats(tmp_path):
    values = np.array([[0, 51], [102, 255]])
    Image.fromarray(values.astype(np.uint8)).save(tmp_path / "8.png")
    Image.fromarray((values * 257).astype(np.uint16)).save(tmp_path / "16.png")
    np.save(tmp_path / "f.npy", values / 255)
    for name in ("8.png", "16.png", "f.npy"):
        read = read_disparity(tmp_path / name)
        assert read.dtype == np.float32 and np.allclose(read, values / 255, atol=1e-7)


def test_files_below_a_folder(tmp_path, record):
    root = tmp_path / "disparity"
    (root / "x").mkdir(parents=True)
    for place, value in ((root / "a.npy", 1.0), (root / "x" / "a.npy", 2.0)):
        np.save(place, np.full((HEIGHT, WIDTH), value, dtype=np.float32))
    assert mapper([], str(root))(record)["disparity"].unique().tolist() == [1.0]
    assert find_disparity({"file_name": "/data/x/a.png"}, str(root)) == root / "x" / "a.npy"
    with pytest.raises(FileNotFoundError, match=r"no b.png or .npy for /data/b.jpg.*predict_depth"):
        find_disparity({"file_name": "/data/b.jpg"}, str(root))


def test_missing_wrong_and_damaged_files(tmp_path, record):
    with pytest.raises(ValueError, match=r"no disparity_file_name.*INPUT.DISPARITY.ROOT"):
        mapper([])({key: record[key] for key in ("file_name", "height", "width")})
    with pytest.raises(FileNotFoundError, match=r"gone.png .*a.png.*predict_depth"):
        mapper([])({**record, "disparity_file_name": str(tmp_path / "gone.png")})
    Image.fromarray(np.zeros((HEIGHT, 7), np.uint16)).save(tmp_path / "d.png")
    with pytest.raises(ValueError, match=r"d.png has 7x40 pixels.*a.png has 60x40"):
        mapper([])(record)
    (tmp_path / "d.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"d.png is no readable disparity"):
        mapper([])(record)
    np.save(tmp_path / "n.npy", np.full((2, 2), np.nan))
    np.save(tmp_path / "c.npy", np.zeros((2, 2, 3)))
    with pytest.raises(ValueError, match=r"n.npy has values that are not finite"):
        read_disparity(tmp_path / "n.npy")
    with pytest.raises(ValueError, match=r"c.npy has shape \(2, 2, 3\)"):
        read_disparity(tmp_path / "c.npy")


def test_a_mapper_without_augmentations():
    with pytest.raises(ValueError, match="AugmentationList"):
        DisparityMapper(lambda record: record)
