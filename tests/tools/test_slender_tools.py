"""Statistics of slenderness, the sheet of misses, and the merge of two COCO files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from drfpn_da.data.merge_coco import merge_slender
from drfpn_da.evaluation.slender_misses import worst_misses
from tests.scripts import load_tool
from tests.tiny_coco import write_tiny_coco

TALL, WIDE, SQUARE = [10.0, 10.0, 5.0, 50.0], [5.0, 60.0, 60.0, 6.0], [20.0, 20.0, 30.0, 30.0]


def annotation(number, box, image=1, category=1, **more):
    return {"id": number, "image_id": image, "category_id": category, "bbox": box, **more}


def test_stats_count_and_draw(tmp_path, capsys):
    labels, _ = write_tiny_coco(tmp_path)  # eight squares and eight bars of 32 x 10
    (picture,) = load_tool("slender_stats").main([labels, "--output", str(tmp_path / "out")])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = {line[0]: line[1:] for line in lines if line}
    assert rows["bar"][:3] == ["8", "0.312", "0"] and rows["bar"][4] == "8"
    assert rows["square"][0] == "8" and rows["square"][6] == "8"
    assert rows["all"][0] == "16"
    assert np.asarray(Image.open(picture)).std() > 10


def test_sheet_shows_the_misses(tmp_path):
    labels, images = write_tiny_coco(tmp_path)
    data = json.loads((tmp_path / "tiny.json").read_text())
    bars = [a for a in data["annotations"] if a["category_id"] == 2]
    results = [
        {**{k: a[k] for k in ("image_id", "category_id", "bbox")}, "score": 0.9} for a in bars[:6]
    ]
    (tmp_path / "results.json").write_text(json.dumps(results))
    arguments = [labels, "--results", str(tmp_path / "results.json"), "--images", images]
    written = load_tool("slender_stats").main([*arguments, "--output", str(tmp_path / "out")])
    sheet = np.asarray(Image.open(written[1]))
    assert sheet.shape[1] < 3 * 260, "two of the eight bars were missed"
    green = (sheet == (0, 190, 90)).all(axis=2)
    assert green.sum() > 200 and not (sheet == (230, 60, 40)).all(axis=2).any()


def test_bad_files_are_named(tmp_path):
    main = load_tool("slender_stats").main
    bad = tmp_path / "bad.json"
    for text, words in (
        ("{", r"bad\.json: "),
        ("[]", "is not a COCO file"),
        ("{}", "is not a COCO"),
    ):
        bad.write_text(text)
        with pytest.raises(SystemExit, match=words):
            main([str(bad)])
    labels, _ = write_tiny_coco(tmp_path)
    with pytest.raises(SystemExit, match="--results needs --images"):
        main([labels, "--results", labels])
    with pytest.raises(SystemExit, match="ascending"):
        main([labels, "--edges", "0.5", "0.2"])


def test_worst_misses_first():
    truth = [
        annotation(1, TALL),
        annotation(2, WIDE),
        annotation(3, SQUARE),
        annotation(4, TALL, image=2),
        annotation(5, TALL, image=3, iscrowd=1),
        annotation(6, [0.0, 0.0, 4.0, 40.0], image=3),
    ]
    shifted = [WIDE[0] + 30, *WIDE[1:]]
    results = [
        {**annotation(0, TALL), "score": 0.9},
        {**annotation(0, shifted), "score": 0.9},  # overlaps by a third
        {**annotation(0, TALL, image=2, category=2), "score": 0.9},  # of another class
        {**annotation(0, TALL, image=2), "score": 0.01},  # not sure enough
    ]
    misses = worst_misses(truth, results)
    assert [miss.annotation["id"] for miss in misses] == [4, 6, 2], "of equals the larger first"
    assert misses[0].nearest is None and misses[0].overlap == 0
    assert misses[2].overlap == pytest.approx(1 / 3) and misses[2].nearest["bbox"] == shifted
    assert [m.annotation["id"] for m in worst_misses(truth, results, number=1)] == [4]


def coco(names, annotations, images=2, prefix=""):
    return {
        "images": [{"id": i, "file_name": f"{prefix}{i}.png"} for i in range(1, images + 1)],
        "annotations": annotations,
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(names)],
    }


def test_merge_keeps_the_slender_and_ignores_the_others(tmp_path):
    first = coco(["person", "tie"], [annotation(5, SQUARE), annotation(9, TALL, category=2)])
    second = coco(
        ["tie", "banana", "person"],
        [
            annotation(1, TALL, image=2, category=1, segmentation=[]),
            annotation(2, SQUARE, image=2, category=3),
            annotation(3, TALL, image=2, category=2),  # a class the first does not have
            annotation(4, SQUARE, image=1, category=1),  # of an image without slender objects
        ],
    )
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file, data in zip(files, (first, second)):
        file.write_text(json.dumps(data))
    arguments = [*map(str, files), "--prefixes", "a/", "b/", "--output", str(tmp_path / "c.json")]
    path = load_tool("merge_slender").main(arguments)
    merged = json.loads(path.read_text())
    assert [i["file_name"] for i in merged["images"]] == ["a/1.png", "a/2.png", "b/2.png"]
    assert merged["annotations"][:2] == first["annotations"]
    new = [
        (a["id"], a["image_id"], a["category_id"], a["iscrowd"]) for a in merged["annotations"][2:]
    ]
    assert new == [(10, 3, 2, 0), (11, 3, 1, 1)]
    assert merged["categories"] == first["categories"] and merged["info"]["slender_added"] == 1
    again = load_tool("merge_slender").main(arguments)
    assert again != path and path.exists(), "nothing is overwritten"


def test_merge_refuses_what_cannot_be():
    with pytest.raises(ValueError, match=r"'1\.png' is in both files: give prefixes"):
        merge_slender(coco(["a"], [annotation(1, SQUARE)]), coco(["a"], [annotation(1, TALL)]))
    with pytest.raises(ValueError, match=r"no class of the second file \(b\).*\(a\)"):
        merge_slender(coco(["a"], []), coco(["b"], []))
    with pytest.raises(ValueError, match=r"second file is no COCO.*'categories'"):
        merge_slender(coco(["a"], []), {"images": [], "annotations": []})
