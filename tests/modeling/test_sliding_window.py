"""Sliding windows: what they cover, how they are averaged, and that one window is no window."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling import build_model

from drfpn_da.engine.model_selection import with_other_evaluation, with_sliding_window
from drfpn_da.modeling import SlidingWindow
from drfpn_da.modeling.sliding_window import window_starts
from tests.tiny_detectors import make_target, tiny_config


def by_position(inputs):
    """A "segmentor" whose one class says the pixel's place in its window, by row and column."""
    outputs = []
    for x in inputs:
        height, width = x["image"].shape[-2:]
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        outputs.append({"sem_seg": torch.stack([rows, columns]).float()})
    return outputs


@pytest.mark.parametrize("length, window, overlap", [(97, 32, 0.33), (64, 32, 0.5), (41, 40, 0.9)])
def test_windows_cover_everything_and_overlap_enough(length, window, overlap):
    starts = window_starts(length, window, overlap)
    assert starts[0] == 0 and starts[-1] == length - window
    steps = [b - a for a, b in zip(starts, starts[1:])]
    assert all(0 < step <= max(1, int(window * (1 - overlap))) for step in steps)


def test_windows_without_overlap_tile_the_picture():
    assert window_starts(96, 32, 0.0) == [0, 32, 64] and window_starts(20, 32, 0.5) == [0]


def test_overlaps_are_averaged_by_their_number():
    """A row of 10 in windows of 6 from 0 and 4: between, the mean of both."""
    model = SlidingWindow(by_position, (3, 6), overlap=0.3)
    (output,) = model([{"image": torch.zeros(3, 3, 10)}])
    columns = [0, 1, 2, 3, (4 + 0) / 2, (5 + 1) / 2, 2, 3, 4, 5]
    assert output["sem_seg"].shape == (2, 3, 10)
    assert torch.equal(output["sem_seg"][1], torch.tensor(columns).float().expand(3, 10))


@pytest.mark.parametrize("size", [(37, 53), (16, 16)])
def test_constant_logits_stay_exact(size):
    constants = torch.tensor([0.1, -3.7, 12.3])

    def constant(inputs):
        return [
            {"sem_seg": constants.view(3, 1, 1).expand(3, x["height"], x["width"])} for x in inputs
        ]

    (output,) = SlidingWindow(constant, (16, 20), 0.6)([{"image": torch.zeros(3, *size)}])
    expected = constants.view(3, 1, 1).expand(3, *size)
    assert torch.allclose(output["sem_seg"], expected, atol=0, rtol=1e-6)


@pytest.mark.parametrize("window", [(64, 96), (100, 1000)])
def test_a_window_as_large_as_the_picture_changes_nothing(window):
    torch.manual_seed(0)
    model = build_model(tiny_config("sem_seg")).eval()
    inputs = [{**make_target(1)[0], "height": 90, "width": 131}]
    with torch.no_grad():
        whole, windowed = model(inputs)[0], SlidingWindow(model, window)(inputs)[0]
    assert torch.equal(whole["sem_seg"], windowed["sem_seg"])


def test_teacher_and_student_get_the_same_windows():
    torch.manual_seed(0)
    options = ("MODEL.META_ARCHITECTURE", "DepthMixSegmentor", "TEST.SLIDING_WINDOW.SIZE", [32, 48])
    cfg = tiny_config("sem_seg", *options, "TEST.LABEL_FREE.ENABLED", True)
    adapted = build_model(cfg).eval()
    inputs = make_target(1)
    with torch.no_grad():
        model = with_other_evaluation(cfg, with_sliding_window(cfg, adapted))
        (output,) = model(inputs)
        assert torch.equal(output["sem_seg"], output["other_evaluation"]["sem_seg"])
        assert not torch.equal(output["sem_seg"], adapted(inputs)[0]["sem_seg"])


def test_what_cannot_be_windows():
    for size, overlap, message in (
        ((0, 5), 0.3, "SIZE"),
        ((5,), 0.3, "SIZE"),
        ((5, 5), 1.0, "OVER"),
    ):
        with pytest.raises(ValueError, match=f"TEST.SLIDING_WINDOW.{message}"):
            SlidingWindow(by_position, size, overlap)
    boxes = SlidingWindow(lambda inputs: [{"instances": None}], (8, 8))
    with pytest.raises(ValueError, match="instances"):
        boxes([{"image": torch.zeros(3, 8, 8)}])
