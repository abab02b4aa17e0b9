"""DensePseudoLabel on segmentors: labels, mixup, regularisers, composition, refusals."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from drfpn_da.modeling.meta_arch.adaptive import preprocess
from drfpn_da.modeling.sem_seg_logits import semantic_logits
from tests.tiny_detectors import make_inputs, make_target, tiny_config

SIZE = (64, 96)
NAME = "dense_pseudo_label"
ALL = (
    *("MODEL.PSEUDO_LABEL.SOFT", True, "MODEL.PSEUDO_LABEL.MIXUP_ALPHA", 4.0),
    *("MODEL.PSEUDO_LABEL.PRIOR.WEIGHT", 0.8, "MODEL.PSEUDO_LABEL.ENTROPY_WEIGHT", 0.4),
)


def build(*options, kind="sem_seg", objectives=("DensePseudoLabel",)):
    torch.manual_seed(0)
    architecture = tiny_config(kind).MODEL.META_ARCHITECTURE
    cfg = tiny_config(
        kind,
        *("MODEL.META_ARCHITECTURE", "AdaptiveModel", "MODEL.ADAPT.DETECTOR", architecture),
        *("MODEL.ADAPT.OBJECTIVES", list(objectives), "MODEL.PSEUDO_LABEL.THRESHOLD", 0.0),
        *options,
    )
    return build_model(cfg).train()


def views(sizes=(SIZE, SIZE)):
    samples = [make_target(1, size)[0] for size in sizes]
    for i, sample in enumerate(samples):
        strong = sample["image"] // (2 + i)
        sample["views"] = {"weak": sample["image"], "strong": strong}
    return samples


def step(model, target=None, iteration=1):
    torch.manual_seed(3)
    with EventStorage(iteration) as storage:
        losses = model([*make_inputs(), *(views() if target is None else target)])
    return losses, {key: value for key, (value, _) in storage.latest().items()}


def labelled(model, target, seed=0):
    objective = model.objectives[NAME]
    with EventStorage():
        return objective.label(target, model.teacher.detector, torch.Generator().manual_seed(seed))


def teacher_probabilities(model, target):
    weak = [{"image": x["views"]["weak"]} for x in target]
    with torch.no_grad():
        images = preprocess(model.teacher.detector, weak)
        return semantic_logits(model.teacher.detector, images).softmax(dim=1)


@pytest.mark.parametrize("kind", ["sem_seg", "panoptic_fpn"])
def test_a_step_teaches_the_student_and_leaves_the_teacher(kind):
    model = build(*ALL, kind=kind)
    before = {k: v.clone() for k, v in model.teacher.state_dict().items()}
    losses, scalars = step(model, iteration=0)
    mine = {k.split("/")[1]: v for k, v in losses.items() if k.startswith(NAME)}
    assert set(mine) == {"loss_sem_seg", "loss_prior", "loss_entropy"}
    sum(mine.values()).backward()
    head = [*model.detector.backbone.parameters(), *model.detector.sem_seg_head.parameters()]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head if p.requires_grad)
    assert all(p.grad is None for p in model.teacher.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.teacher.state_dict().items())
    assert scalars[f"{NAME}/labelled_share"] == 1


def test_losses_by_hand():
    """Soft cross-entropy, R_A against the labelled frequencies and R_H, by loops over pixels."""
    model = build(*ALL[:2], *ALL[4:], "MODEL.PSEUDO_LABEL.WEIGHT", 0.5)
    target = views()
    losses, _ = step(model, target, iteration=0)
    p = teacher_probabilities(model, target).double().numpy()
    strong = [{"image": x["views"]["strong"].float()} for x in target]
    with torch.no_grad():  # batch norms of this model use statistics of the batch: same batch again
        logits = semantic_logits(model.detector, preprocess(model.detector, strong))
    q = logits.double().softmax(1).numpy()
    entropy = -(p * np.log(q)).sum(1).mean()
    assert losses[f"{NAME}/loss_sem_seg"].item() == pytest.approx(0.5 * entropy, rel=1e-4)
    classes = p.shape[1]
    # Two labelled pictures: 40 rows of class 0, 24 of class 1; one more of each class.
    counts = np.ones(classes)
    counts[0] += 2 * 40 * 96
    counts[1] += 2 * 24 * 96
    prior = counts / counts.sum()
    mean = q.mean((0, 2, 3))
    divergence = sum(prior[c] * np.log(prior[c] / mean[c]) for c in range(classes))
    assert losses[f"{NAME}/loss_prior"].item() == pytest.approx(0.5 * 0.8 * divergence, rel=1e-4)
    undecided = -(q * np.log(q)).sum(1).mean()
    assert losses[f"{NAME}/loss_entropy"].item() == pytest.approx(0.5 * 0.4 * undecided, rel=1e-4)


@pytest.mark.parametrize("soft", [True, False])
def test_mixup_mixes_pictures_and_labels_alike(soft):
    model = build(*ALL[2:4], "MODEL.PSEUDO_LABEL.SOFT", soft)
    small, large = (48, 64), SIZE
    target = views([small, large])
    p = teacher_probabilities(model, target)
    if not soft:
        p = torch.zeros_like(p).scatter_(1, p.argmax(1, keepdim=True), 1.0)
    for seed in range(9):  # until the permutation swaps the two
        labels = labelled(model, target, seed)
        strong = target[0]["views"]["strong"].float()
        if not torch.equal(labels.pictures[0, :, :48, :64], strong):
            break
    a, b = strong, target[1]["views"]["strong"].float()[:, :48, :64]
    apart = (a - b).abs() > 20
    shares = ((labels.pictures[0, :, :48, :64] - b) / (a - b))[apart]
    share = float(shares.median())
    torch.testing.assert_close(shares, torch.full_like(shares, share))
    assert 0 < share < 1
    torch.testing.assert_close(
        labels.target[0, :, :48, :64],
        share * p[0, :, :48, :64] + (1 - share) * p[1, :, :48, :64],
        atol=1e-4,
        rtol=1e-3,
    )
    # Where the small picture has no pixel, the large one is learnt unmixed.
    torch.testing.assert_close(labels.target[1, :, 48:], p[1, :, 48:])
    torch.testing.assert_close(
        labels.pictures[1, :, :, 64:], target[1]["views"]["strong"].float()[:, :, 64:]
    )


def test_rows_sum_to_one_and_none_trains_on_zero():
    model = build()
    objective = model.objectives[NAME]
    target = views([SIZE, (48, 80), (64, 64)])
    for soft, alpha, threshold in product((True, False), (0.0, 1.0), (0.0, 0.2)):
        objective.soft, objective.mixup_alpha = soft, alpha
        objective.statistics.threshold = threshold
        labels = labelled(model, target, seed=2)
        sums = labels.target.sum(dim=1)
        torch.testing.assert_close(sums[labels.weights > 0], torch.ones(int(labels.weights.sum())))
        assert not labels.weights[~labels.inside].any()
        if not threshold:
            assert torch.equal(labels.weights > 0, labels.inside)


def test_a_pixel_counts_where_both_labels_do():
    model = build("MODEL.PSEUDO_LABEL.MIXUP_ALPHA", 1.0, "MODEL.PSEUDO_LABEL.SOFT", True)
    target = views()
    objective = model.objectives[NAME]
    confidence = teacher_probabilities(model, target).max(dim=1).values
    objective.statistics.threshold = float(confidence.median())
    sure = confidence >= objective.statistics.threshold
    assert 0 < sure.float().mean() < 1
    found = {int(labelled(model, target, seed).weights.sum()) for seed in range(9)}
    assert found == {int(sure.sum()), 2 * int((sure[0] & sure[1]).sum())}


def test_mixing_draws_from_seed_and_iteration_alone():
    model = build("MODEL.PSEUDO_LABEL.MIXUP_ALPHA", 1.0)
    pictures = []
    for iteration in (0, 0, 1):
        step(model, iteration=iteration)
        pictures.append(model.objectives[NAME].last.pictures)
    assert torch.equal(pictures[0], pictures[1]) and not torch.equal(pictures[0], pictures[2])


def test_class_thresholds_adapt():
    model = build(
        *("MODEL.PSEUDO_LABEL.THRESHOLD", 1.0, "MODEL.PSEUDO_LABEL.ADAPTIVE.ENABLED", True),
        *("MODEL.PSEUDO_LABEL.ADAPTIVE.FLOOR", 0.0),
    )
    _, scalars = step(model)
    # The class with the highest mean keeps threshold 1, which no pixel reaches.
    assert scalars[f"{NAME}/threshold_lowest"] < 1
    objective = model.objectives[NAME]
    assert float(objective.statistics.thresholds().max()) == pytest.approx(1.0)


def test_regularisers_act_on_what_depth_mix_mixes():
    model = build(
        *ALL[4:],
        *("MODEL.PSEUDO_LABEL.REGULARISE_ONLY", True, "MODEL.DEPTH_MIX.MASK", "cut"),
        objectives=("DepthMix", "DensePseudoLabel"),
    )
    losses, _ = step(model, make_target(2, SIZE), iteration=0)
    mine = {k for k in losses if "mix" in k or k.startswith(NAME)}
    assert mine == {"depth_mix/loss_mix", f"{NAME}/loss_prior", f"{NAME}/loss_entropy"}
    mixed = model.objectives["depth_mix"].last.inputs
    with torch.no_grad():
        q = semantic_logits(model.detector, preprocess(model.detector, mixed)).softmax(1)
    expected = 0.4 * float(-(q * q.log()).sum(1).mean())
    assert losses[f"{NAME}/loss_entropy"].item() == pytest.approx(expected, rel=1e-4)


def test_a_depth_mix_segmentor_takes_it_too():
    model = build(
        *ALL[4:],
        *("MODEL.META_ARCHITECTURE", "DepthMixSegmentor", "MODEL.DEPTH_MIX.MASK", "none"),
        *("MODEL.PSEUDO_LABEL.REGULARISE_ONLY", True),
    )
    assert list(model.objectives) == ["depth_mix", NAME]
    assert f"{NAME}/loss_prior" in step(model, make_target(2, SIZE))[0]


def test_two_labellers_are_refused():
    with pytest.raises(ValueError, match=r"\['DepthMix', 'DensePseudoLabel'\].*REGULARISE_ONLY"):
        build(objectives=("DepthMix", "DensePseudoLabel"))
    with pytest.raises(ValueError, match=r"\['DepthMix', 'PseudoLabel'\] all label"):
        build(objectives=("DepthMix", "PseudoLabel"))


def test_regularisers_need_somebody_who_labels():
    alone = ("MODEL.PSEUDO_LABEL.REGULARISE_ONLY", True, *ALL[4:])
    with pytest.raises(ValueError, match=r"REGULARISE_ONLY True\), but no objective labels any"):
        build(*alone)
    # Nor before there is one at work.
    with pytest.raises(ValueError, match=r"starts at iteration 0, .* depth_mix labels from .* 80"):
        build(
            *alone,
            *("MODEL.DEPTH_MIX.START_ITER", 80),
            objectives=("DepthMix", "DensePseudoLabel"),
        )


@pytest.mark.parametrize(
    "options, message",
    [
        (("THRESHOLD", 1.1), r"THRESHOLD is 1\.1; it must be in \[0, 1\]"),
        (("THRESHOLD", -0.1), r"THRESHOLD is -0\.1"),
        (("MIXUP_ALPHA", -1.0), "MIXUP_ALPHA is -1"),
        (("PRIOR.FREQUENCIES", [0.5, 0.5]), "has 2 numbers, but the detector has 11 classes"),
        (("BOX_REGRESSION", "all"), "labels pixels; write none"),
        (("REGULARISE_ONLY", True), "nothing to learn"),
    ],
)
def test_bad_values(options, message):
    with pytest.raises(ValueError, match=message):
        build(f"MODEL.PSEUDO_LABEL.{options[0]}", options[1])


def test_bad_pictures_and_detectors():
    model = build("MODEL.PSEUDO_LABEL.MIXUP_ALPHA", 1.0)
    with pytest.raises(ValueError, match="TARGET_VIEWS"):
        step(model, make_target(2, SIZE))
    with pytest.raises(ValueError, match="only one target picture"):
        step(model, views([SIZE]))
    with pytest.raises(ValueError, match="needs a semantic segmentor"):
        build(kind="retinanet")
    with pytest.raises(ValueError, match="MIN_LABELLED_SHARE"):
        step(build("MODEL.PSEUDO_LABEL.MIN_LABELLED_SHARE", 0.6))


def test_state_is_plain_and_complete():
    model = build(*ALL)
    step(model)
    keys = model.state_dict()
    assert f"objectives.{NAME}.statistics.prediction" in keys
    other = build(*ALL)
    other.load_state_dict(keys)
    statistics = other.objectives[NAME].statistics
    assert statistics.prediction_steps == 1 and statistics.source_counts.sum() == 2 * 64 * 96


def test_mixed_precision_and_void_labels_stay_finite():
    model = build(*ALL)
    source = make_inputs()
    for sample in source:
        sample["sem_seg"] = torch.full(SIZE, 255)
    with EventStorage(1), torch.autocast("cpu", dtype=torch.bfloat16):
        losses = model([*source, *views()])
    labels = model.objectives[NAME].last
    assert labels.target.dtype == torch.float32
    torch.testing.assert_close(labels.target.sum(dim=1), torch.ones(2, *SIZE))
    # No labelled pixel yet: all classes are as frequent.
    statistics = model.objectives[NAME].statistics
    torch.testing.assert_close(statistics.prior(), torch.full((11,), 1 / 11))
    mine = [value for key, value in losses.items() if key.startswith(NAME)]
    assert all(value.isfinite() and value.dtype == torch.float32 for value in mine)
