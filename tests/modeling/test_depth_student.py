"""A depth network that learns another's disparity."""

from __future__ import annotations

import math

import pytest
import torch
from detectron2.modeling import build_model

from drfpn_da import model_zoo
from drfpn_da.labels import student_error


def build(*options):
    torch.manual_seed(0)
    cfg = model_zoo.get_config("depth/streets/student_mobilenetv2_mini.yaml")
    cfg.merge_from_list(["MODEL.DEPTH.CHANNELS", [4, 6, 8], "MODEL.DEVICE", "cpu", *options])
    return build_model(cfg).train()


def samples(*sizes):
    generator = torch.Generator().manual_seed(1)
    return [
        {
            "image": torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8),
            "disparity": torch.rand(size, generator=generator),
        }
        for size in sizes
    ]


def test_loss_by_hand():
    """Reversed Huber with c a fifth of the largest error; no error from row int(0.9 H) on."""
    model = build()
    inputs = samples((44, 64), (64, 32))
    loss = model(inputs)["depth/loss_berhu"]
    with torch.no_grad():
        images = model.preprocess_image(inputs)
        predicted = model.decoder(model.backbone(images.tensor))[0]
    errors = []
    for one, x in zip(predicted, inputs):
        height, width = x["disparity"].shape
        error = (one[0, :height, :width] - x["disparity"]).abs()
        error[int(0.9 * height) :] = 0
        errors += error.flatten().tolist()
    c = 0.2 * max(errors)
    expected = sum(e if e <= c else (e * e + c * c) / (2 * c) for e in errors) / len(errors)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_prediction_and_refusal():
    model = build()
    with pytest.raises(ValueError, match=r"a\.png has no disparity to learn.*DISPARITY.ROOT"):
        model([{"image": samples((32, 64))[0]["image"], "file_name": "a.png"}])
    with torch.no_grad():
        found = model.eval()([{"image": samples((50, 70))[0]["image"]}])[0]
    assert found["disparity"].shape == found["depth"].shape == (50, 70)


def test_error_by_a_loop():
    generator = torch.Generator().manual_seed(0)
    teacher = 0.1 + 0.9 * torch.rand(2, 20, 30, generator=generator)
    teacher[:, 2:5, 15:] = 0.01  # far, and so is what lies within three pixels of it
    student = torch.rand(2, 20, 30, generator=generator)
    for n, found in enumerate(student_error(teacher, student)):
        total = 0.0
        for y in range(20):
            for x in range(30):
                window = teacher[n, max(0, y - 3) : y + 4, max(0, x - 3) : x + 4]
                if window.min() >= 0.07 and y < int(0.87 * 20):
                    total += abs(
                        torch.log1p(student[n, y, x]) - torch.log1p(teacher[n, y, x])
                    ).item()
        assert found.item() == pytest.approx(total / 600, rel=1e-5)


def test_error_of_the_published_code():
    """49 of 13 x 16 pixels lie around the far one, and 3 of 16 rows below int(0.87 * 16)."""
    teacher = torch.full((1, 16, 16), 0.5)
    teacher[0, 7, 8] = 0.0
    found = student_error(teacher, torch.full((1, 16, 16), 0.2))
    assert found.item() == pytest.approx(0.1386, abs=5e-5)
    expected = (13 * 16 - 49) / 256 * (math.log(1.5) - math.log(1.2))
    assert found.item() == pytest.approx(expected, rel=1e-5)
