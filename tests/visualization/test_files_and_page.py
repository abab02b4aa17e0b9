"""Nothing is overwritten, nothing is half written, pages stand alone."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from drfpn_da.visualization import Page, save_new, save_picture


def test_existing_files_are_kept(tmp_path):
    first = np.zeros((4, 5, 3), np.uint8)
    paths = [save_picture(first + i, tmp_path / "new" / "a.png") for i in range(3)]
    assert [p.name for p in paths] == ["a.png", "a-2.png", "a-3.png"]
    for i, path in enumerate(paths):
        assert (np.asarray(Image.open(path)) == i).all()


def test_failed_write_leaves_nothing(tmp_path):
    def write(name):
        with open(name, "w") as file:
            file.write("half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        save_new(tmp_path / "a.txt", write)
    assert list(tmp_path.iterdir()) == []


def test_page_is_escaped_and_self_contained(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (6, 7, 3)).astype(np.uint8)
    page = Page("A & B", "less < more").table(["x", "AP"], [["<b>", 31.24], ["n", float("nan")]])
    text = page.picture(image, 'say "hi"').save(tmp_path / "p.html").read_text()
    assert "A &amp; B" in text and "less &lt; more" in text and "&lt;b&gt;" in text
    assert "<td>31.2</td>" in text and "<td>-</td>" in text
    assert "http" not in text.replace("http-equiv", "")
    (data,) = re.findall(r"base64,([^\"]+)", text)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), image)
