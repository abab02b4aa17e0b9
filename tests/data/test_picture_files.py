"""Pictures of any depth become 8 bits with their contrast; links are followed, once."""

from __future__ import annotations

import numpy as np
import pytest
from detectron2.data import DatasetMapper, detection_utils
from PIL import Image

from drfpn_da.data.checked_mapper import CheckedMapper, DamagedFileError
from drfpn_da.data.picture_files import (
    UnreadablePictureError,
    list_pictures,
    picture_header,
    read_picture,
    to_8_bits,
)
from drfpn_da.visualization import read_rgb

RAMP = np.linspace(12200, 23600, 24 * 32).reshape(24, 32)


@pytest.mark.parametrize(
    ("dtype", "suffix"),
    [(np.uint16, "png"), (np.uint16, "tif"), (np.int32, "tif"), (np.float32, "tif")],
)
def test_more_than_8_bits_are_stretched(tmp_path, dtype, suffix):
    path = str(tmp_path / f"wide.{suffix}")
    values = RAMP.astype(dtype)
    Image.fromarray(values).save(path)
    assert picture_header(path).wide
    low, high = float(values.min()), float(values.max())
    wanted = np.rint((values.astype(float) - low) * 255 / (high - low))
    for picture in (read_picture(path, "BGR"), read_rgb(path)):
        assert picture.shape == (24, 32, 3) and picture.dtype == np.uint8
        np.testing.assert_array_equal(picture, np.stack([wanted] * 3, axis=2))


def test_odd_values():
    values = np.array([[np.nan, 2.0], [np.inf, 4.0]])
    assert to_8_bits(values).tolist() == [[0, 0], [0, 255]]
    assert to_8_bits(np.full((2, 2), 700, np.uint16)).tolist() == [[0, 0], [0, 0]]
    assert to_8_bits(np.full((1, 1), np.nan)).tolist() == [[0]]


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "LA", "RGBA", "1"])
def test_8_bits_are_read_as_by_detectron2(tmp_path, mode):
    rng = np.random.default_rng(0)
    path = str(tmp_path / "a.png")
    Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)).convert(mode).save(path)
    for name in ("RGB", "BGR", "L", None):
        wanted = detection_utils.read_image(path, name)
        np.testing.assert_array_equal(read_picture(path, name), wanted)


def test_mappers_read_wide_pictures_but_label_maps_as_they_are(tmp_path):
    picture, labels = str(tmp_path / "wide.png"), str(tmp_path / "labels.png")
    Image.fromarray(RAMP.astype(np.uint16)).save(picture)
    Image.fromarray((np.arange(24 * 32).reshape(24, 32) % 7).astype(np.uint16)).save(labels)
    mapper = DatasetMapper(True, augmentations=[], image_format="BGR")
    record = {"file_name": picture, "sem_seg_file_name": labels, "width": 32, "height": 24}
    before = detection_utils.read_image
    sample = CheckedMapper(mapper)(record)
    assert detection_utils.read_image is before
    assert sample["image"].min() == 0 and sample["image"].max() == 255
    assert sample["sem_seg"].unique().tolist() == list(range(7))


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_header_of_a_turned_picture_has_the_size_that_is_read(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 8
    path = tmp_path / f"a.{suffix}"
    Image.new("L", (8, 6)).save(path, exif=exif)
    header = picture_header(path)
    assert read_picture(str(path)).shape[:2] == (header.height, header.width)
    assert header.turned and (suffix == "tif" or header[:2] == (6, 8))


def test_too_many_pixels_are_named(tmp_path, monkeypatch):
    path = tmp_path / "huge.png"
    Image.new("L", (50, 50)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for read in (picture_header, read_picture, read_rgb):
        with pytest.raises(UnreadablePictureError, match=r"huge\.png .*2500 pixels"):
            read(str(path))
    mapper = CheckedMapper(DatasetMapper(False, augmentations=[], image_format="RGB"))
    with pytest.raises(DamagedFileError, match=r"huge\.png .*2500 pixels"):
        mapper({"file_name": str(path)})


def test_damaged_pictures_are_named_and_missing_ones_stay_missing(tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 50), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:400])
    for kind in (OSError, ValueError):
        with pytest.raises(kind, match=r"cut\.png is not a readable picture"):
            read_rgb(str(path))
    with pytest.raises(FileNotFoundError):
        read_rgb(str(tmp_path / "gone.png"))


def test_links_are_followed_and_loops_end(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    (root / "day").mkdir(parents=True)
    elsewhere.mkdir()
    for path in (root / "day" / "b.PNG", root / "a.jpg", elsewhere / "c.png"):
        Image.new("L", (4, 4)).save(path)
    (root / "rain").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root)
    (root / "gone.png").symlink_to(tmp_path / "nothing.png")
    found = [path.relative_to(root).as_posix() for path in list_pictures(root)]
    assert found == ["a.jpg", "day/b.PNG", "rain/c.png"]
    assert list_pictures(tmp_path / "nowhere") == []
