"""DepthMix in training: what is mixed, what is learnt, and that the student stays a plain model."""

from __future__ import annotations

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from drfpn_da import model_zoo
from drfpn_da.layers.photometric import PhotometricAugmentation
from drfpn_da.modeling.meta_arch.adaptive import preprocess
from drfpn_da.modeling.sem_seg_logits import semantic_logits
from drfpn_da.objectives import DepthMix
from tests.tiny_detectors import make_inputs, make_target, tiny_config

SIZE = (64, 96)


def mix_config(*options):
    options = ("MODEL.META_ARCHITECTURE", "DepthMixSegmentor", "MODEL.TEACHER.DECAY", 0.9, *options)
    return tiny_config("sem_seg", *options)


def deeplab(head):
    """Options of a narrow DeepLab head."""
    plus = "Plus" in head
    return (
        *("MODEL.SEM_SEG_HEAD.NAME", head, "MODEL.SEM_SEG_HEAD.NORM", "BN"),
        *("MODEL.SEM_SEG_HEAD.IN_FEATURES", ["p2", "p5"] if plus else ["p5"]),
        *("MODEL.SEM_SEG_HEAD.COMMON_STRIDE", 4 if plus else 32),
        *("MODEL.SEM_SEG_HEAD.PROJECT_FEATURES", ["p2"]),
        *("MODEL.SEM_SEG_HEAD.PROJECT_CHANNELS", [16]),
        *("MODEL.SEM_SEG_HEAD.ASPP_CHANNELS", 16, "MODEL.SEM_SEG_HEAD.CONVS_DIM", 16),
    )


def targets(count=2, size=SIZE):
    generator = torch.Generator().manual_seed(2)
    inputs = make_target(count, size)
    for x in inputs:
        x["disparity"] = torch.rand(size, generator=generator)
    return inputs


def build(*options):
    torch.manual_seed(0)
    return build_model(mix_config(*options)).train()


def step(model, inputs, iteration=0):
    with EventStorage(iteration) as storage:
        losses = model(inputs)
    return losses, storage.latest()


@pytest.fixture(scope="module")
def segmentor():
    torch.manual_seed(0)
    return build_model(tiny_config("sem_seg")).eval()


def mixed(segmentor, inputs, seed=0, **arguments):
    objective = DepthMix(**arguments)
    objective.attach(segmentor, None)
    return objective.mix(inputs, segmentor, torch.Generator().manual_seed(seed))


def test_a_step_trains_the_student_and_not_the_teacher():
    model = build("MODEL.DEPTH_MIX.CONFIDENCE_RULE", "off")
    losses, scalars = step(model, [*make_inputs(), *targets()])
    assert {"loss_sem_seg", "depth_mix/loss_mix"} == set(losses)
    assert scalars["depth_mix/confidence"][0] == 1 and 0 < scalars["depth_mix/own_share"][0] < 1
    losses["depth_mix/loss_mix"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.detector.parameters())
    assert all(p.grad is None for p in model.teacher.parameters())
    assert not any(module.training for module in model.teacher.modules())
    assert model.detector.sem_seg_head.training


def test_a_teacher_as_published_labels_with_batch_statistics():
    options = ("MODEL.TEACHER.TRAIN_MODE", True, "MODEL.TEACHER.AVERAGE_BUFFERS", False)
    plain, published = build(), build(*options)
    inputs = [*make_inputs(), *targets()]
    for model in (plain, published):
        step(model, inputs)
    confidence = [m.objectives["depth_mix"].last.confidence for m in (plain, published)]
    assert not torch.allclose(*confidence)
    # Its statistics are those of the batches that it has seen; the plain teacher's do not move.
    counts = [
        {int(b) for n, b in m.teacher.named_buffers() if n.endswith("num_batches_tracked")}
        for m in (plain, published)
    ]
    assert counts == [{0}, {1}]
    with pytest.raises(ValueError, match=r"TRAIN_MODE is True, but objectives \['pseudo_label'\]"):
        cfg = tiny_config(
            "faster_rcnn",
            *("MODEL.META_ARCHITECTURE", "AdaptiveModel", *options),
            *("MODEL.ADAPT.OBJECTIVES", ["PseudoLabel"]),
        )
        build_model(cfg)


def test_the_loss_by_hand():
    """Cross-entropy of the recorded pictures and labels, times the share of confident pixels."""
    model = build("MODEL.DEPTH_MIX.WEIGHT", 0.5)
    objective = model.objectives["depth_mix"]
    step(model, [*make_inputs(), *targets()])
    objective.confidence = float(objective.last.confidence.median())
    losses, _ = step(model, [*make_inputs(), *targets()])
    mix = objective.last
    share = float((mix.confidence >= objective.confidence).float().mean())
    assert 0 < share < 1 and torch.allclose(mix.weights, torch.tensor(share))
    with torch.no_grad():
        logits = semantic_logits(model.detector, preprocess(model.detector, mix.inputs))
        entropy = torch.nn.functional.cross_entropy(logits, mix.labels)
    assert losses["depth_mix/loss_mix"].item() == pytest.approx(
        0.5 * share * entropy.item(), rel=1e-5
    )


def test_everything_is_mixed_by_one_mask(segmentor):
    inputs = targets(3)
    mix = mixed(segmentor, inputs)
    origin = torch.where(
        mix.masks, torch.arange(3).view(3, 1, 1), torch.tensor([1, 2, 0]).view(3, 1, 1)
    )
    with torch.no_grad():
        confidence, labels = (
            semantic_logits(segmentor, preprocess(segmentor, inputs)).softmax(1).max(1)
        )
    for i in range(3):
        for j in range(3):
            here = origin[i] == j
            assert torch.equal(mix.mixed[i][:, here], inputs[j]["image"][:, here])
            assert torch.equal(mix.labels[i][here], labels[j][here])
            assert torch.allclose(mix.confidence[i][here], confidence[j][here])


def test_soft_targets_agree_with_hard_ones(segmentor):
    hard, soft = (mixed(segmentor, targets(), target=target) for target in ("hard", "soft"))
    assert torch.equal(soft.target.argmax(dim=1), hard.target)
    assert torch.allclose(soft.target.sum(dim=1), torch.ones(()))


def test_strong_augmentation_changes_pictures_only():
    """Also with as many classes as a picture has channels."""
    strong = PhotometricAugmentation(color_jitter_prob=1.0, blur_prob=1.0)
    segmentor = build_model(tiny_config("sem_seg", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", 3)).eval()
    plain, changed = (
        mixed(segmentor, targets(), augmentation=a, target="soft") for a in (None, strong)
    )
    assert torch.equal(plain.target, changed.target) and torch.equal(plain.masks, changed.masks)
    for i in range(2):
        assert torch.equal(plain.inputs[i]["image"], plain.mixed[i])
        assert changed.inputs[i]["image"].dtype == torch.uint8
        assert not torch.equal(changed.inputs[i]["image"], changed.mixed[i])


def test_probabilities_of_the_augmentation():
    drawn = PhotometricAugmentation().draw(10000, torch.Generator().manual_seed(0))
    assert abs(drawn.jittered.float().mean() - 0.8) < 0.015
    assert abs(drawn.blurred.float().mean() - 0.5) < 0.015
    assert 0.15 <= drawn.sigma.min() < 0.16 and 1.14 < drawn.sigma.max() <= 1.15
    low, high = drawn.factors.amin(dim=0), drawn.factors.amax(dim=0)
    assert torch.allclose(low, torch.tensor([0.75, 0.75, 0.75, -0.25]), atol=0.001)
    assert torch.allclose(high, torch.tensor([1.25, 1.25, 1.25, 0.25]), atol=0.001)


def test_channel_order_matters_to_colours():
    picture = torch.randint(0, 255, (3, 8, 8), dtype=torch.uint8)
    rgb, bgr = (
        PhotometricAugmentation(color_jitter_prob=1.0, image_format=order)
        for order in ("RGB", "BGR")
    )
    (one,), (other,) = (
        view([p], torch.Generator().manual_seed(1))
        for view, p in ((rgb, picture), (bgr, picture.flip(0)))
    )
    assert torch.equal(one, other.flip(0))


def test_unequal_sizes_and_padding(segmentor):
    inputs = [*targets(1, (48, 96)), *targets(1, (64, 70))]
    mix = mixed(segmentor, inputs, confidence_rule="off")
    assert [tuple(x["image"].shape[1:]) for x in mix.inputs] == [(48, 96), (64, 70)]
    assert mix.masks[0, :48, 70:].all() and mix.masks[1, 48:, :70].all()
    assert (mix.weights[0, 48:] == 0).all() and (mix.weights[1, :, 70:] == 0).all()
    assert (mix.labels[1, :, 70:] == segmentor.sem_seg_head.ignore_value).all()
    assert int(mix.weights.sum()) == 48 * 96 + 64 * 70


@pytest.mark.parametrize("mask", ["class", "cut", "none"])
def test_other_masks_need_no_depth_and_repeat(segmentor, mask):
    inputs = make_target(2)
    first, again = (mixed(segmentor, inputs, mask=mask) for _ in range(2))
    assert torch.equal(first.masks, again.masks) and first.disparity is None
    assert first.masks.all() == (mask == "none")


def test_disparity_of_files_is_compared_as_it_was_stretched(segmentor):
    """A crop of a picture is not stretched anew; what nobody has stretched is refused."""
    inputs = targets()
    inputs[0]["disparity"].mul_(0.1)
    assert torch.equal(mixed(segmentor, inputs).disparity[0], inputs[0]["disparity"])
    inputs[0]["disparity"].fill_(3.0)
    with pytest.raises(ValueError, match=r"runs from \S+ to 3: .*normalize=True.*COMPARE disp"):
        mixed(segmentor, inputs)
    assert mixed(segmentor, inputs, compare="disparity").masks[0].all()


def given(inputs, seed=5):
    """The first picture brings labels, a fifth of which are void."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 11, SIZE, generator=generator)
    void = torch.rand(SIZE, generator=generator) < 0.2
    labels[void] = 255
    return [{**inputs[0], "given_labels": labels}, *inputs[1:]], labels


@pytest.mark.parametrize("target", ["hard", "soft"])
def test_given_labels_are_mixed_in_the_teachers_place(segmentor, target):
    plain = mixed(segmentor, targets(), target=target, confidence_rule="per_pixel")
    inputs, labels = given(targets())
    mix = mixed(segmentor, inputs, target=target, confidence_rule="per_pixel")
    assert torch.equal(mix.masks, plain.masks) and torch.equal(mix.mixed, plain.mixed)
    known = labels != 255
    for i, from_first in ((0, mix.masks[0]), (1, ~mix.masks[1])):
        assert torch.equal(mix.labels[i][from_first], labels[from_first])
        assert torch.equal(mix.confidence[i][from_first], known[from_first].float())
        assert torch.equal(mix.labels[i][~from_first], plain.labels[i][~from_first])
        assert torch.equal(mix.confidence[i][~from_first], plain.confidence[i][~from_first])
    if target == "soft":
        rows = mix.target[0][:, mix.masks[0]]
        assert torch.equal(rows.sum(dim=0), known[mix.masks[0]].float())
        assert not mix.target[0][:, mix.masks[0] & ~known].any()


def test_given_labels_in_the_published_loss():
    """Void pixels count in both denominators, and in no numerator."""
    model = build()
    inputs, _ = given(targets())
    losses, _ = step(model, [*make_inputs(), *inputs])
    mix = model.objectives["depth_mix"].last
    share = float((mix.confidence >= 0.968).float().mean())
    assert share > 0.1
    with torch.no_grad():
        logits = semantic_logits(model.detector, preprocess(model.detector, mix.inputs))
        entropy = torch.nn.functional.cross_entropy(
            logits, mix.labels, ignore_index=255, reduction="sum"
        )
    expected = share * entropy.item() / mix.labels.numel()
    assert losses["depth_mix/loss_mix"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "inputs, message",
    [
        (targets(1), "TARGET_IMS_PER_BATCH"),
        (make_target(2), "INPUT.DISPARITY.ENABLED"),
        ([{**x, "disparity": torch.rand(5, 7)} for x in make_target(2)], r"\(5, 7\)"),
    ],
)
def test_inputs_that_cannot_be_mixed(segmentor, inputs, message):
    with pytest.raises(ValueError, match=message):
        mixed(segmentor, inputs)


def test_unusable_settings():
    with pytest.raises(ValueError, match=r"DEPTH_MIX.MASK is 'deep'.*'cut'"):
        DepthMix(mask="deep")
    with pytest.raises(ValueError, match="CONFIDENCE"):
        DepthMix(confidence=1.2)
    with pytest.raises(ValueError, match=r"MODEL.ADAPT.DETECTOR SemanticSegmentor"):
        options = ("MODEL.META_ARCHITECTURE", "AdaptiveModel", "MODEL.ADAPT.DETECTOR", "RetinaNet")
        build_model(tiny_config("retinanet", *options, "MODEL.ADAPT.OBJECTIVES", ["DepthMix"]))


def test_a_labelled_picture_without_a_label_does_no_harm():
    model = build("MODEL.DEPTH_MIX.CONFIDENCE", 1.0)
    losses, _ = step(model, [*make_inputs(), *targets()])
    assert losses["depth_mix/loss_mix"].item() == 0


def test_pixels_that_are_all_void_or_unsure_give_a_loss_of_zero_not_nan():
    """Also with the mean over weighted pixels, of which there is none."""
    model = build(
        *("MODEL.DEPTH_MIX.CONFIDENCE", 1.0),
        *("MODEL.DEPTH_MIX.CONFIDENCE_RULE", "per_pixel"),
        *("MODEL.DEPTH_MIX.DENOMINATOR", "weighted"),
    )
    losses, _ = step(model, [*make_inputs(), *targets()])
    assert losses["depth_mix/loss_mix"].item() == 0
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.detector.parameters())


def test_one_labelled_picture_with_a_pooling_head_and_batch_norm():
    """The pooled branch of ASPP has one value per channel and picture."""
    losses, _ = step(build(*deeplab("DeepLabV3Head")), [*make_inputs(1), *targets()])
    assert all(loss.isfinite() for loss in losses.values())


def test_evaluation_is_that_of_a_plain_segmentor(segmentor):
    """The checkpoint loads there; neither depth nor teacher is asked for."""
    model = build()
    step(model, [*make_inputs(), *targets()])
    state = model.state_dict()
    student = {k: v for k, v in state.items() if not k.startswith(("teacher.", "objectives."))}
    plain = build_model(tiny_config("sem_seg")).eval()
    plain.load_state_dict(student)
    model.teacher = None
    inputs = make_target(1)
    with torch.no_grad():
        assert torch.equal(model.eval()(inputs)[0]["sem_seg"], plain(inputs)[0]["sem_seg"])


def test_random_numbers_and_source_losses_stay_those_of_a_plain_segmentor():
    """With no weight, a step leaves the detector's losses and the global generator alone."""
    model = build("MODEL.DEPTH_MIX.MASK", "class", "MODEL.DEPTH_MIX.WEIGHT", 0.0)
    baseline = build("MODEL.ADAPT.BASELINE", "source_only")
    baseline.load_state_dict(model.detector.state_dict(), strict=False)
    after = []
    for one, inputs in ((baseline, make_inputs()), (model, [*make_inputs(), *make_target()])):
        torch.manual_seed(4)
        losses, _ = step(one, inputs)
        after.append((losses["loss_sem_seg"], torch.get_rng_state()))
    assert torch.equal(after[0][0], after[1][0]) and torch.equal(after[0][1], after[1][1])


def test_composes_with_alignment():
    model = build(
        *("MODEL.ADAPT.OBJECTIVES", ["StrongWeakAlignment"]),
        *("MODEL.STRONG_WEAK.GLOBAL.NORM", "GN"),
        *("MODEL.STRONG_WEAK.GLOBAL.CHANNELS", [64, 64, 64]),
        *("MODEL.STRONG_WEAK.LOCAL.CHANNELS", [64, 32]),
    )
    losses, _ = step(model, [*make_inputs(), *targets()])
    assert "depth_mix/loss_mix" in losses and "strong_weak/loss_global_res4_target" in losses
    sum(losses.values()).backward()


def test_bfloat16_is_finite_with_teacher_and_confidence_in_float32():
    model = build("MODEL.DEPTH_MIX.CONFIDENCE_RULE", "off")
    with torch.autocast("cpu", torch.bfloat16):
        losses, _ = step(model, [*make_inputs(), *targets()])
    assert (
        losses["depth_mix/loss_mix"].isfinite()
        and losses["depth_mix/loss_mix"].dtype == torch.float32
    )
    assert model.objectives["depth_mix"].last.confidence.dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in model.teacher.parameters())


@pytest.mark.parametrize("head", ["DeepLabV3Head", "DeepLabV3PlusHead"])
def test_logits_of_other_heads(head):
    model = build_model(tiny_config("sem_seg", *deeplab(head))).train()
    inputs = make_target(2)
    logits = semantic_logits(model, preprocess(model, inputs))
    assert logits.shape == (2, 11, *SIZE) and logits.requires_grad and model.sem_seg_head.training


def test_recipes_of_cityscapes_mix_as_published():
    for name in ("semseg_R_50_372", "deeplabv3plus_R_103_100", "multi_task_R_101_372"):
        model = model_zoo.get_config(f"depth_mix/cityscapes/{name}.yaml").MODEL
        assert model.DEPTH_MIX.USE_LABELS
        assert model.DEPTH_MIX.STRONG.COLOR_RULE == "published"
        assert model.DEPTH_MIX.STRONG.GATE == "batch"
    assert model.DEPTH.ON_LABELLED and model.DEPTH.PADDING == "reflect"
    depth = model_zoo.get_config("depth/cityscapes/phase2_R_101.yaml").MODEL.DEPTH
    for key in ("IN_FEATURES", "CHANNELS", "NORM", "PADDING", "ASPP"):  # as transfer needs them
        assert depth[key] == model.DEPTH[key], key
