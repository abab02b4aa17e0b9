"""Injected label noise: rates, reproducibility, truth, refusals; the tool."""

import copy
import json

import numpy as np
import pytest

from drfpn_da.data.noise import pairwise_noise, symmetric_noise
from tests.scripts import load_tool

NAMES = ["car", "truck", "person", "sign"]


def make_data(count=4000):
    rng = np.random.default_rng(0)
    return {
        "images": [{"id": 1, "file_name": "a.png", "width": 9, "height": 9}],
        "categories": [{"id": 3 * i + 5, "name": name} for i, name in enumerate(NAMES)],
        "annotations": [
            {
                "id": 7 * i,
                "image_id": 1,
                "category_id": 3 * int(rng.integers(4)) + 5,
                "bbox": [0, 0, 1, 1],
                "iscrowd": int(i % 100 == 0),
            }
            for i in range(count)
        ],
    }


def changed(data, noisy):
    pairs = zip(data["annotations"], noisy["annotations"])
    return {
        a["id"]: (a["category_id"], b["category_id"])
        for a, b in pairs
        if a["category_id"] != b["category_id"]
    }


def test_symmetric_noise_has_its_rate_and_no_favourite():
    data = make_data()
    before = copy.deepcopy(data)
    noisy, truth = symmetric_noise(data, 0.2, seed=3)
    assert data == before
    found = changed(data, noisy)
    assert truth["annotations"] == 3960 and truth["changed"] == len(found)
    assert len(found) / 3960 == pytest.approx(0.2, abs=0.02)
    assert {f["id"]: (f["true"], f["noisy"]) for f in truth["flips"]} == found
    assert not any(i % 700 == 0 for i in found), "crowds stay"
    into = np.array(
        [[sum(v == (a, b) for v in found.values()) for b in (5, 8, 11, 14)] for a in (5, 8, 11, 14)]
    )
    assert (into.diagonal() == 0).all()
    off = into[~np.eye(4, dtype=bool)]
    assert off.min() > 0.6 * off.mean() and off.max() < 1.4 * off.mean()


def test_equal_seeds_give_equal_noise_whatever_the_order():
    data = make_data(300)
    shuffled = {**data, "annotations": data["annotations"][::-1]}
    first, again = symmetric_noise(data, 0.3, 1)[1], symmetric_noise(shuffled, 0.3, 1)[1]
    assert first == again
    assert first["flips"] != symmetric_noise(data, 0.3, 2)[1]["flips"]
    # A larger rate only adds: the same draws decide.
    more = {f["id"] for f in symmetric_noise(data, 0.5, 1)[1]["flips"]}
    assert {f["id"] for f in first["flips"]} < more


def test_rates_of_single_classes():
    _, truth = symmetric_noise(make_data(), 0.0, 0, {"sign": 1.0})
    by_class = truth["by_class"]
    assert by_class["sign"]["changed"] == by_class["sign"]["annotations"] > 0
    assert truth["changed"] == by_class["sign"]["changed"]


def test_pairwise_noise_confuses_only_what_it_says():
    data = make_data()
    noisy, truth = pairwise_noise(data, 0.5, {"car": "truck"}, 0)
    assert set(changed(data, noisy).values()) == {(5, 8)}
    share = truth["changed"] / truth["by_class"]["car"]["annotations"]
    assert share == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: symmetric_noise(d, 1.2, 0), "the rate is 1.2"),
        (lambda d: symmetric_noise(d, 0.1, 0, {"car": 2}), "the rate of 'car' is 2"),
        (lambda d: symmetric_noise(d, 0.1, 0, {"bus": 0.2}), "no class 'bus'; classes are: car"),
        (lambda d: pairwise_noise(d, 0.1, {"car": "bus"}, 0), "no class 'bus'"),
        (lambda d: pairwise_noise(d, 0.1, {"car": "car"}, 0), "with itself"),
        (lambda d: pairwise_noise(d, -0.1, {"car": "truck"}, 0), "the rate is -0.1"),
        (lambda d: symmetric_noise({"images": []}, 0.1, 0), "there is no 'annotations'"),
        (
            lambda d: symmetric_noise({**d, "annotations": [{"category_id": 5}]}, 0.1, 0),
            "has no 'id'",
        ),
        (
            lambda d: symmetric_noise({**d, "categories": d["categories"][:1]}, 0.1, 0),
            "two classes",
        ),
    ],
)
def test_impossible_noise_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(make_data(4))


def test_the_tool_writes_both_files_and_overwrites_none(tmp_path):
    tool = load_tool("inject_label_noise")
    source = tmp_path / "clean.json"
    source.write_text(json.dumps(make_data(200)))
    before = source.read_bytes()
    words = [str(source), "--output", str(tmp_path / "noisy.json"), "--rate", "0.5"]
    noisy, truth = tool.main(words)
    again, _ = tool.main([*words, "--confuse", "car=truck"])
    assert (noisy.name, truth.name) == ("noisy.json", "noisy.truth.json")
    assert again.name == "noisy-2.json"
    flips = json.loads(truth.read_text())["flips"]
    labels = {a["id"]: a["category_id"] for a in json.loads(noisy.read_text())["annotations"]}
    assert flips and all(labels[f["id"]] == f["noisy"] for f in flips)
    assert source.read_bytes() == before
    with pytest.raises(ValueError, match="--class-rate car: write NAME=RATE"):
        tool.main([*words, "--class-rate", "car"])
    with pytest.raises(ValueError, match=r"--class-rate car=often: write NAME=RATE"):
        tool.main([*words, "--class-rate", "car=often"])
    with pytest.raises(SystemExit, match=r"nowhere\.json"):
        tool.main([str(tmp_path / "nowhere.json"), *words[1:]])
