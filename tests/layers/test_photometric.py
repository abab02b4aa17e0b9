"""Colours and sharpness of mixed pictures: the rules, and what is drawn for whom."""

from __future__ import annotations

import colorsys

import pytest
import torch

from drfpn_da.layers.photometric import PhotometricAugmentation, change_as_published


def published(picture, factors, order=(0, 1, 2, 3)):
    return change_as_published(picture, factors, order)


def by_hand(pixel, factors, order):
    """One pixel, with the standard library's HSV."""
    x = [value / 255 for value in pixel]
    for which in order:
        if which == 0:
            x = [value + factors[0] - 1 for value in x]
        elif which == 1:
            x = [value * factors[1] for value in x]
        else:
            hue, saturation, value = colorsys.rgb_to_hsv(*x)
            if which == 2:
                saturation = min(saturation * factors[2], 1.0)
            else:
                hue = (hue + factors[3]) % 1.0
            x = list(colorsys.hsv_to_rgb(hue, saturation, value))
        x = [min(max(value, 0.0), 1.0) for value in x]
    return torch.tensor(x) * 255


def test_brightness_is_added_and_contrast_has_no_mean():
    grey = torch.full((3, 4, 4), 32, dtype=torch.uint8)
    assert (published(grey, (1.25, 1, 1, 0)) == 96).all()
    assert (published(grey, (1, 1.25, 1, 0)) == 40).all()
    # 32 / 255 + 0.25, then doubled; the other way round it is darker.
    assert (published(grey, (1.25, 2, 1, 0)) == 192).all()
    assert (published(grey, (1.25, 2, 1, 0), (1, 0, 2, 3)) == 128).all()


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_published_colours_by_hand(order):
    generator = torch.Generator().manual_seed(0)
    picture = torch.randint(0, 256, (3, 6, 6), generator=generator, dtype=torch.uint8)
    picture[:, 0, :3] = torch.tensor([[0, 255, 7], [0, 255, 7], [0, 255, 7]])
    for factors in ((0.8, 1.2, 1.25, 0.2), (1.2, 0.8, 0.75, -0.25)):
        found = published(picture, factors, order)
        for y in range(6):
            for x in range(6):
                expected = by_hand(picture[:, y, x].tolist(), factors, order)
                torch.testing.assert_close(found[:, y, x].float(), expected, atol=0.51, rtol=0)


def test_one_gate_for_the_batch_and_factors_for_each_picture():
    augmentation = PhotometricAugmentation(gate="batch", color_rule="published")
    draws = [augmentation.draw(3, torch.Generator().manual_seed(i)) for i in range(300)]
    assert all(len(set(d.jittered.tolist())) == 1 for d in draws)
    assert all(len(set(d.blurred.tolist())) == len(set(d.sigma.tolist())) == 1 for d in draws)
    assert all(len(set(d.factors[:, 0].tolist())) == 3 for d in draws)
    assert abs(sum(bool(d.jittered[0]) for d in draws) / 300 - 0.8) < 0.07
    assert len({tuple(d.order) for d in draws}) == 24
    single = PhotometricAugmentation()
    draws = [single.draw(3, torch.Generator().manual_seed(i)) for i in range(50)]
    assert any(len(set(d.jittered.tolist())) == 2 for d in draws)
    assert all(d.order == [0, 1, 2, 3] for d in draws)


def test_unknown_rules_are_named():
    with pytest.raises(ValueError, match=r"STRONG.COLOR_RULE is 'kornia'.*'published'"):
        PhotometricAugmentation(color_rule="kornia")
    with pytest.raises(ValueError, match=r"STRONG.GATE is 'pair'.*'batch'"):
        PhotometricAugmentation(gate="pair")
