"""Soft labels of pixels on disk: rounds, identity, damage; and their replay on samples."""

import json

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T

from drfpn_da.data.view_geometry import view_to_picture
from drfpn_da.functional.replay import replay_map
from drfpn_da.labels import DenseLabelStore

FILES = ["b/1.png", "a/1.png", "a/2.png"]
CLASSES = ["road", "sky"]


def store(folder, files=FILES, classes=CLASSES, stride=2):
    return DenseLabelStore(folder, files, classes, stride)


def fill(target, iteration, share=0.25, files=FILES, **options):
    for name in files:
        row = torch.full((1, 6, 9), share)
        target.write(iteration, name, torch.cat([row, 1 - row]))
    target.finish(iteration, **options)


def test_a_round_replaces_the_one_before(tmp_path):
    labels = store(tmp_path / "s")
    with pytest.raises(RuntimeError, match="no round is finished"):
        labels.read(FILES[0])
    fill(labels, 0, 0.25)
    assert labels.read(FILES[0]).shape == (2, 3, 5)
    fill(labels, 10, 0.75)
    for name in FILES:
        torch.testing.assert_close(labels.read(name)[0], torch.full((3, 5), 0.75))
    assert [p.name for p in sorted((tmp_path / "s").glob("round_*"))] == ["round_0000010"]


def test_pixels_of_a_cell_are_averaged_and_sum_to_one(tmp_path):
    rows = torch.rand(2, 4, 6, generator=torch.Generator().manual_seed(0)).softmax(0)
    labels = store(tmp_path, files=["a"])
    labels.write(3, "a", rows)
    labels.finish(3)
    cells = rows.reshape(2, 2, 2, 3, 2).mean((2, 4))
    torch.testing.assert_close(labels.read("a"), cells, atol=1e-3, rtol=0)
    torch.testing.assert_close(labels.read("a").sum(0), torch.ones(2, 3))


def test_rounds_of_checkpoints_stay_and_can_be_opened(tmp_path):
    fill(store(tmp_path), 0)
    labels = store(tmp_path)
    fill(labels, 5, 0.5, keep=[0])
    again = store(tmp_path)
    assert again.rounds == [0, 5] and again.current is None
    assert again.open(0) and float(again.read(FILES[0])[0, 0, 0]) == 0.25
    assert not again.open(7)


def test_half_a_round_is_none(tmp_path):
    labels = store(tmp_path)
    fill(labels, 0)
    labels.write(5, FILES[0], torch.full((2, 4, 4), 0.5))
    with pytest.raises(RuntimeError, match=r"no label of a/1\.png"):
        labels.finish(5)
    assert store(tmp_path).rounds == [0]


@pytest.mark.parametrize(
    "other, message",
    [
        ({"classes": ["road", "car"]}, r"with classes \['road', 'sky'\], but this run has"),
        ({"files": FILES[:2]}, "with pictures 3, but this run has 2"),
        ({"files": [*FILES[:2], "c"]}, "with sha256"),
        ({"stride": 4}, "with stride 2"),
    ],
)
def test_a_store_of_something_else_is_refused_and_left(tmp_path, other, message):
    fill(store(tmp_path), 0)
    before = (tmp_path / "index.json").read_bytes()
    with pytest.raises(ValueError, match=message):
        store(tmp_path, **other)
    assert (tmp_path / "index.json").read_bytes() == before


def test_damage_names_the_file(tmp_path):
    labels = store(tmp_path)
    fill(labels, 0)
    path = next((tmp_path / "round_0000000").iterdir())
    path.write_bytes(path.read_bytes()[:90])
    bad = sorted(FILES)[int(path.stem)]
    with pytest.raises(ValueError, match=f"{path.name}.*{bad}.*made anew"):
        labels.read(bad)
    (tmp_path / "index.json").write_text(json.dumps([1]))
    with pytest.raises(ValueError, match="no index of soft labels"):
        store(tmp_path)
    with pytest.raises(KeyError, match="not among the 3 pictures"):
        labels.read("z.png")
    with pytest.raises(ValueError, match="3 classes"):
        labels.write(1, FILES[0], torch.ones(3, 4, 4))
    with pytest.raises(ValueError, match="STRIDE is 0"):
        store(tmp_path / "t", stride=0)


@pytest.mark.parametrize("name", ["flip", "crop", "resize", "all"])
def test_a_map_is_seen_as_the_picture_is(name):
    """A smooth map, moved by detectron2's transforms and replayed from its matrix."""
    height, width = 48, 80
    parts = {
        "resize": [T.ResizeTransform(height, width, 72, 100)],
        "flip": [T.HFlipTransform(width)],
        "crop": [T.CropTransform(10, 6, 50, 30, width, height)],
    }
    steps = parts.get(name) or [
        *parts["resize"],
        T.HFlipTransform(100),
        T.CropTransform(20, 9, 61, 45, 100, 72),
    ]
    transforms = T.TransformList(steps)
    y, x = np.mgrid[:height, :width].astype(np.float32) + 0.5
    picture = np.stack([x / width, y / height], axis=-1)
    moved = np.stack([transforms.apply_image(picture[..., c].copy()) for c in range(2)])
    size = moved.shape[-2:]
    matrix = view_to_picture(transforms, (height, width), size)
    seen = replay_map(torch.from_numpy(picture).permute(2, 0, 1), matrix, size).numpy()
    inner = (slice(None), slice(2, -2), slice(2, -2))  # beyond the edge the two differ
    np.testing.assert_allclose(seen[inner], moved[inner], atol=2e-3)


def test_other_transforms_are_refused():
    class Bend(T.Transform):
        def apply_image(self, image):
            return image

        def apply_coords(self, coords):
            return coords * coords

    with pytest.raises(ValueError, match="STORE cannot follow the transforms Bend"):
        view_to_picture(T.TransformList([Bend()]), (4, 4), (4, 4), "STORE")
