"""Masks, mixes, confidence and losses of DepthMix: published numbers and invariants."""

from __future__ import annotations

import pytest
import torch

from drfpn_da.functional import (
    class_masks,
    confidence_weights,
    confine_masks,
    cut_masks,
    depth_masks,
    mix_with_next,
    next_in_cycle,
    normalize_disparity,
    pixel_cross_entropy,
)
from drfpn_da.modeling.teacher import MeanTeacher
from tests.golden_fill import cosine_sum, published, wave

GOLDEN = published("three_ways_mix")
MASKS = {key: value for key, value in GOLDEN["masks"].items() if key.startswith("B=")}
CASES = 60


def disparity_of(count, quantised):
    i = torch.arange(count * 48, dtype=torch.float64)
    if quantised:
        whole = i.long()
        values = (7 * whole + whole // 5 + 3 * (whole // 11)) % 17
        return (values.double() / 16).view(count, 6, 8)
    raw = 0.3 + 0.1 * torch.sin(0.61 * i + 0.4) + 0.15 * torch.sin(0.13 * (i % 48) + 0.9)
    return normalize_disparity(raw.view(count, 6, 8))


def bits(mask):
    return [["".join(str(int(x)) for x in row) for row in one] for one in mask]


def close(value, expected):
    return value.item() == pytest.approx(expected, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("name", MASKS)
def test_published_masks_and_mixes(name):
    words = dict(word.split("=") for word in name.split() if "=" in word)
    count = int(words["B"])
    disparity = disparity_of(count, "quantised" in name)
    masks = depth_masks(disparity, float(words["m"]), float(words["t"]))
    expected = MASKS[name]
    assert bits(masks) == expected["mask"]
    image = 0.5 + 0.5 * wave((count, 3, 6, 8), 0.2, 0.31)
    probabilities = (4 * wave((count, 5, 6, 8), 0.6, 0.83)).softmax(dim=1)
    assert close(cosine_sum(mix_with_next(image, masks)), expected["image_cosine_sum"])
    mixed = mix_with_next(probabilities, masks)
    assert close(cosine_sum(mixed), expected["prob_cosine_sum"])
    confidence, labels = mixed.max(dim=1)
    assert int(labels.sum()) == expected["label_sum"]
    assert close(confidence.sum(), expected["max_prob_sum"])
    # Mixing the labels instead of the probabilities comes to the same.
    assert torch.equal(labels, mix_with_next(probabilities.argmax(dim=1), masks))


def test_published_normalisation():
    expected = torch.tensor(GOLDEN["masks"]["normalised_disparity_B2"], dtype=torch.float64)
    torch.testing.assert_close(disparity_of(2, False), expected, rtol=1e-9, atol=1e-12)


def test_published_loss_of_pseudo_labels():
    teacher = (9 * wave((2, 5, 6, 8), 0.6, 0.83)).softmax(dim=1)
    flat = teacher[0].view(5, -1)
    flat[:, :10] = 0
    flat[2, 5:10] = 1
    for factor, name in ((1.0, "default"), (0.9, "low_confidence")):
        expected = GOLDEN["unlabelled_loss"][name]
        logits = (2 * wave((2, 5, 6, 8), 0.1, 0.47)).requires_grad_()
        confidence, labels = (teacher * factor).max(dim=1)
        labels[confidence == 0] = 250
        weights = confidence_weights(confidence)
        assert float(weights[0, 0, 0]) == pytest.approx(expected["q"], rel=1e-6)
        loss = pixel_cross_entropy(logits, labels, weights, labels.numel(), ignore=250)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.item() == pytest.approx(expected["loss"], rel=1e-6)
        assert float(gradient.norm()) == pytest.approx(expected["grad_norm"], rel=1e-6)
        for place, value in expected["grad_entries"].items():
            assert float(gradient.view(-1)[int(place)]) == pytest.approx(value, rel=1e-6)
        if factor == 1.0:
            assert labels.tolist() == expected["pseudo_label"]
            ones, valid = torch.ones_like(weights), (labels != 250).sum()
            labelled = pixel_cross_entropy(logits, labels, ones, valid, ignore=250)
            known = GOLDEN["unlabelled_loss"]["labelled_cross_entropy"]["loss"]
            assert labelled.item() == pytest.approx(known, rel=1e-6)


def test_published_teacher():
    """The published average is the teacher's rule with decay 0.99."""
    student = torch.nn.Linear(3, 1, bias=False).double()
    i = torch.arange(3, dtype=torch.float64)

    def student_after(step):
        with torch.no_grad():
            student.weight.copy_(torch.sin(0.7 * i + step)[None])
        return student

    teacher = MeanTeacher(student_after(0), decay=0.99)
    teacher.follow(student, 0)
    for step in range(1, 121):
        teacher.follow(student_after(step), step)
        expected = GOLDEN["ema"]["teacher"].get(str(step))
        if expected:
            assert teacher.detector.weight[0].tolist() == pytest.approx(expected, rel=1e-6)


def random_cases():
    generator = torch.Generator().manual_seed(0)
    for _ in range(CASES):
        count = int(torch.randint(2, 5, (), generator=generator))
        size = tuple(torch.randint(1, 9, (2,), generator=generator).tolist())
        yield torch.rand(count, *size, generator=generator), generator


def test_without_margin_the_nearest_is_shown():
    for disparity, _ in random_cases():
        shown = mix_with_next(disparity, depth_masks(disparity, 0.0))
        assert torch.equal(shown, torch.maximum(disparity, next_in_cycle(disparity)))


def test_the_margin_bounds_what_is_hidden():
    for disparity, generator in random_cases():
        margin = float(torch.rand((), generator=generator)) * 0.2
        shown = mix_with_next(disparity, depth_masks(disparity, margin))
        nearest = torch.maximum(disparity, next_in_cycle(disparity))
        assert (nearest - shown).max() <= margin + 1e-6


def test_everything_of_a_pixel_comes_from_one_picture():
    for disparity, _ in random_cases():
        count, size = len(disparity), disparity.shape[1:]
        tag = torch.arange(count).view(-1, 1, 1).expand(-1, *size)
        masks = depth_masks(disparity)
        origin = mix_with_next(tag, masks)
        pictures = mix_with_next(tag[:, None].expand(-1, 3, *size).float(), masks)
        assert torch.equal(pictures, origin[:, None].expand(-1, 3, *size).float())
        shown = mix_with_next(disparity, masks)
        assert torch.equal(shown, disparity.gather(0, origin))


def test_two_mixes_of_a_pair_differ_only_within_the_margin():
    for disparity, _ in random_cases():
        pair = disparity[:2]
        first, second = mix_with_next(pair, depth_masks(pair))
        band = (pair[0] - pair[1]).abs() <= 0.03 + 1e-6
        assert torch.equal(first[~band], second[~band])


def test_equal_pictures_stay_what_they_are():
    one = torch.rand(1, 3, 5, 7).expand(3, -1, -1, -1)
    assert torch.equal(mix_with_next(one, depth_masks(torch.rand(3, 5, 7))), one)


def test_masks_know_no_unit_after_normalisation_but_do_before():
    for disparity, generator in random_cases():
        pair = disparity[:2].double()
        factor, shift = torch.rand(2, 2, 1, 1, generator=generator).double() + 0.1
        other = pair * factor + shift
        first, second = (depth_masks(normalize_disparity(d), 0.031) for d in (pair, other))
        assert torch.equal(first, second)
    pair = torch.rand(2, 6, 6)
    scaled = pair * torch.tensor([1.0, 10.0]).view(2, 1, 1)
    assert not torch.equal(depth_masks(pair), depth_masks(scaled))


def test_masks_follow_flips_and_crops():
    disparity = torch.rand(3, 8, 10)
    masks = depth_masks(disparity)
    assert torch.equal(depth_masks(disparity.flip(-1)), masks.flip(-1))
    assert torch.equal(depth_masks(disparity[:, 2:6, 1:7]), masks[:, 2:6, 1:7])


def test_constant_disparity_is_far():
    disparity = torch.stack([torch.full((4, 4), 7.0), torch.arange(16.0).view(4, 4)])
    normalised = normalize_disparity(disparity)
    assert torch.equal(normalised[0], torch.zeros(4, 4)) and normalised[1, 3, 3] == 1
    assert torch.isfinite(normalised).all()


def test_padding_counts_nowhere():
    disparity = torch.rand(2, 4, 6) + 1
    inside = torch.ones(2, 4, 6, dtype=torch.bool)
    inside[0, :, 4:] = False
    disparity[0, :, 4:] = -100
    normalised = normalize_disparity(disparity, inside)
    assert torch.equal(normalised[:1, :, :4], normalize_disparity(disparity[:1, :, :4]))
    assert (normalised[0, :, 4:] == 0).all()
    masks = confine_masks(torch.zeros(2, 4, 6, dtype=torch.bool), inside)
    # The first picture has nothing to show at the right of the second.
    assert masks[1, :, 4:].all() and not masks[1, :, :4].any() and not masks[0].any()
    confidence = torch.ones(2, 4, 6) * 0.99
    confidence[1] = 0.5
    weights = confidence_weights(confidence, inside=inside)
    assert weights[0, 0, 0] == 16 / 40 and (weights[0, :, 4:] == 0).all()


def test_half_of_the_classes_stay():
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 7, (3, 16, 16), generator=generator)
    labels[0, :2] = 255
    labels[2] = 4
    masks = class_masks(labels, 255, generator)
    shown = [set(one[mask].tolist()) for one, mask in zip(labels, masks)]
    assert [len(classes) for classes in shown] == [3, 3, 0] and 255 not in shown[0]
    for one, mask, classes in zip(labels, masks, shown):
        assert torch.equal(mask, torch.isin(one, torch.tensor(sorted(classes))))


def test_rectangles_of_half_the_area():
    masks = cut_masks(200, (32, 48), torch.Generator().manual_seed(0))
    shares = (~masks).float().mean(dim=(1, 2))
    assert (shares - 0.5).abs().max() < 0.03 and masks.any(dim=2).any(dim=1).all()
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) > 150


def test_rules_of_confidence():
    confidence = torch.tensor([[[0.99, 0.5, 0.968, 0.0]]])
    rules = {"batch_share": [0.5] * 4, "per_pixel": [1.0, 0, 1, 0], "off": [1.0] * 4}
    for rule, expected in rules.items():
        assert confidence_weights(confidence, rule).flatten().tolist() == expected
    with pytest.raises(ValueError, match="batch_share, per_pixel, off"):
        confidence_weights(confidence, "half")


def test_soft_targets():
    logits = torch.randn(2, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 4, (2, 3, 3))
    hard = torch.nn.functional.one_hot(labels, 4).permute(0, 3, 1, 2).double()
    weights = torch.rand(2, 3, 3, dtype=torch.float64)
    soft = pixel_cross_entropy(logits, hard, weights, 18)
    assert soft.item() == pytest.approx(pixel_cross_entropy(logits, labels, weights, 18).item())
    target = torch.rand(2, 4, 3, 3, dtype=torch.float64).softmax(dim=1)
    assert torch.autograd.gradcheck(lambda x: pixel_cross_entropy(x, target, weights, 5.0), logits)


def test_nothing_to_learn_is_zero():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    void = torch.full((1, 2, 2), 255)
    loss = pixel_cross_entropy(logits, void, torch.ones(1, 2, 2), (void != 255).sum())
    loss.backward()
    assert loss == 0 and (logits.grad == 0).all()


def test_low_precision_is_summed_in_float32():
    logits = torch.randn(1, 3, 8, 8).bfloat16()
    loss = pixel_cross_entropy(logits, torch.zeros(1, 8, 8).long(), torch.ones(1, 8, 8), 64)
    assert loss.dtype == torch.float32


def test_one_picture_or_other_masks_are_refused():
    with pytest.raises(ValueError, match="at least two pictures"):
        mix_with_next(torch.rand(1, 3, 4, 4), torch.ones(1, 4, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="do not fit"):
        mix_with_next(torch.rand(2, 3, 4, 4), torch.ones(2, 4, 5, dtype=torch.bool))
