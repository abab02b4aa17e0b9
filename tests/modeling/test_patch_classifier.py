"""Classifiers: published losses and label updates, safeguards, refusals, plain keys."""

from __future__ import annotations

import math

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.modeling.backbone import Backbone
from detectron2.utils.events import EventStorage
from torch import nn

from drfpn_da.functional import mixup
from drfpn_da.labels import SoftLabelStore
from drfpn_da.modeling import PatchClassifier, SoftLabelClassifier
from drfpn_da.modeling.feature_taps import evaluating
from tests.golden_fill import assert_close, published, wave
from tests.tiny_patches import tiny_patch_cfg

GOLDEN = published("pseudo_label")


class Identity(Backbone):
    """The picture itself as the feature: the classifier is linear."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self._channels = channels

    def output_shape(self):
        return {"picture": ShapeSpec(channels=self._channels, stride=1)}

    def forward(self, x):
        return {"picture": x}


def linear(kind, channels, classes, **kwargs):
    return kind(
        backbone=Identity(channels),
        num_classes=classes,
        pixel_mean=[0.0] * channels,
        pixel_std=[1.0] * channels,
        **kwargs,
    ).double()


def golden_logits():
    logits = wave((10, 6), 0.2, 0.61) * 3
    targets = (wave((10, 6), 0.4, 0.9) * 3).softmax(dim=1)
    return logits.requires_grad_(), targets, (3 * torch.arange(10) + 4) % 10


@pytest.mark.parametrize("share", [1.0, 0.7, 0.0])
def test_published_loss(share):
    logits, targets, partner = golden_logits()
    model = linear(SoftLabelClassifier, 6, 6)
    losses = model._losses(logits, mixup(targets, partner, share))
    terms, golden = GOLDEN["terms"], GOLDEN[f"lam={share}"]
    assert_close(losses["loss_cls"], share * terms["CE_a"] + (1 - share) * terms["CE_b"])
    assert_close(losses["loss_prior"] / 0.8, terms["KL(uniform||mean) = R_A - log C"])
    assert_close(losses["loss_entropy"] / 0.4, terms["R_H"])
    total = sum(losses.values())
    assert_close(total + 0.8 * math.log(6), golden["loss"])
    total.backward()
    assert_close(logits.grad, golden["grad"])


class FixedMix(SoftLabelClassifier):
    """Mixes each picture with the next one, as the published numbers do."""

    def _mixed(self, images, targets, samples):
        partner = torch.arange(1, len(images) + 1) % len(images)
        return mixup(images, partner, 0.3), mixup(targets, partner, 0.3)


def test_two_published_epochs_of_labels():
    golden = GOLDEN["label_update"]
    weak = wave((12, 4), 0.3, 0.77)
    model = linear(FixedMix, 4, 3, labelled_per_batch=2)
    with torch.no_grad():
        model.classifier.weight.copy_(wave((3, 4), 0.1, 0.7))
        model.classifier.bias.copy_(0.1 * wave((3,), 1.0, 0.7))
    start = torch.arange(12) % 3
    store = SoftLabelStore([0, 1, 2, 0, *[-1] * 8], "abc", "")
    store.assign(torch.arange(4, 12), torch.eye(3)[start[4:]])
    model.soft_targets = store
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for epoch in ("epoch 1", "epoch 2"):
        found = []
        for batch in golden["batches"][int(epoch[-1]) - 1]:
            samples = []
            for i in batch:
                picture = weak[i].view(4, 1, 1)
                sample = {"sample_index": i, "image": 0.9 * picture + 0.05}
                sample.update({"class_id": i % 3} if i < 4 else {"clean_image": picture})
                samples.append(sample)
            loss = sum(model(samples).values())
            found.append(loss.item() + 0.8 * math.log(3))
            store.visit(*model.relabelled)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        store.end_epoch(zero_unvisited=True)
        expected = golden[epoch]
        assert found == pytest.approx(expected["step_losses"], rel=1e-6)
        assert_close(store.table, expected["soft_labels_after"], atol=1e-6)
        assert_close(model.classifier.weight, expected["weight_after"], atol=1e-6)
        assert_close(model.classifier.bias, expected["bias_after"], atol=1e-6)


@pytest.fixture
def cfg(tmp_path):
    return tiny_patch_cfg(tmp_path, "unused")


def batch(classes=(0, 1), others=4, size=8):
    samples = []
    for i, number in enumerate([*classes, *[None] * others]):
        sample = {"image": torch.randint(256, (3, size, size), dtype=torch.uint8)}
        sample.update({"clean_image": sample["image"]} if number is None else {"class_id": number})
        samples.append({**sample, "sample_index": i})
    return samples


def with_labels(model, classes=(0, 1), others=4):
    store = SoftLabelStore([*classes, *[-1] * others], range(4), "")
    store.assign(torch.arange(len(classes), len(store)), torch.full((others, 4), 0.25))
    model.soft_targets = store
    return model


def step(model, samples, iteration=0):
    with EventStorage(iteration):
        return model(samples)


def test_plain_classifier_learns_and_predicts(cfg):
    cfg.MODEL.META_ARCHITECTURE = "PatchClassifier"
    model = build_model(cfg)
    samples = batch(classes=(0, 1, 2, 3), others=0)
    assert set(model(samples)) == {"loss_cls"}
    model.eval()
    scores = [x["scores"] for x in model(batch())]
    assert len(scores) == 6 and all(s.shape == (4,) and abs(s.sum() - 1) < 1e-5 for s in scores)
    model.train()
    with pytest.raises(ValueError, match="has no class_id"):
        model(batch())


def test_state_is_that_of_the_plain_classifier(cfg):
    soft = build_model(cfg)
    cfg.MODEL.META_ARCHITECTURE = "PatchClassifier"
    plain = build_model(cfg)
    plain.load_state_dict(soft.state_dict())
    assert soft.state_dict().keys() == plain.state_dict().keys()


def test_labelling_leaves_the_step_as_it_is(cfg):
    model = with_labels(build_model(cfg))
    samples = batch()
    expected = [m.training for m in model.modules()]
    mean = model.backbone.stem.conv1.norm.running_mean
    for statistics in (False, True):
        model.batch_statistics = statistics
        before = mean.clone()
        index, probabilities = model._relabel(samples[2:])
        assert index.tolist() == [2, 3, 4, 5] and not probabilities.requires_grad
        assert [m.training for m in model.modules()] == expected
        assert torch.equal(before, mean) != statistics
    with evaluating(model):
        torch.testing.assert_close(
            model.probabilities([x["clean_image"] for x in samples[2:]]),
            model._relabel(samples[2:])[1],
        )


def test_batch_statistics_are_those_of_the_whole_batch(cfg):
    """The labelled pictures' clean views take part, as in the released code."""
    cfg.MODEL.PATCH_CLASSIFIER.DROPOUT = 0.0
    model = build_model(cfg)
    model.batch_statistics = True
    samples = batch()
    with pytest.raises(ValueError, match=r"no clean_image.*clean_labelled"):
        model._relabel(samples)
    samples = [{**x, "clean_image": x["image"]} for x in samples]
    index, found = model._relabel(samples)
    with torch.no_grad():
        expected = model.probabilities([x["clean_image"] for x in samples])
        alone = model.probabilities([x["clean_image"] for x in samples[2:]])
    assert index.tolist() == [2, 3, 4, 5]
    torch.testing.assert_close(found, expected[2:])
    assert not torch.allclose(found, alone)
    assert model._relabel(samples[:2]) is None


def test_mixup_follows_iteration_and_leaves_global_random_numbers(cfg):
    cfg.MODEL.PATCH_CLASSIFIER.DROPOUT = 0.0
    model, samples = with_labels(build_model(cfg)), batch()
    state = torch.get_rng_state()
    values = [step(model, samples, i)["loss_cls"].item() for i in (0, 1, 0)]
    assert torch.equal(state, torch.get_rng_state())
    assert values[0] == pytest.approx(values[2]) and values[0] != pytest.approx(values[1])


@pytest.mark.parametrize("alpha", [1.0, 4.0])
def test_shares_follow_the_beta_distribution(alpha):
    model = linear(SoftLabelClassifier, 1, 2, mixup_alpha=alpha)
    images = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1)
    samples = [{"image": images[0]}] * 2
    shares = []
    for i in range(1500):
        with EventStorage(i):
            mixed = model._mixed(images, images.flatten(1), samples)[0].flatten()
        shares.append(float(mixed.min()))
        assert sum(mixed) == pytest.approx(1) or mixed[0] == mixed[1]
    # min(lambda, 1 - lambda), where the partner is the other picture: half of the steps.
    apart = [s for s in shares if s > 0]
    assert sum(apart) / len(apart) == pytest.approx({1.0: 0.25, 4.0: 0.363}[alpha], abs=0.015)


def test_without_safeguards_only_the_cross_entropy_is_left(cfg):
    node = cfg.MODEL.SOFT_LABELS
    node.MIXUP_ALPHA = node.PRIOR_WEIGHT = node.ENTROPY_WEIGHT = 0.0
    cfg.MODEL.PATCH_CLASSIFIER.DROPOUT = 0.0
    model, samples = with_labels(build_model(cfg)), batch()
    losses = step(model, samples)
    assert set(losses) == {"loss_cls"}
    logits = model.logits(model.preprocess([x["image"] for x in samples]))
    expected = -(model.soft_targets.table * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(losses["loss_cls"], expected)


def test_losses_are_float32_under_bfloat16(cfg):
    model = with_labels(build_model(cfg))
    with torch.autocast("cpu", torch.bfloat16):
        losses = step(model, batch())
    assert {x.dtype for x in losses.values()} == {torch.float32}
    assert all(x.isfinite() for x in losses.values())
    assert model.relabelled[1].dtype == torch.float32
    model.soft_targets.visit(*model.relabelled)


def test_wrong_batches_are_refused(cfg):
    model = build_model(cfg)
    with pytest.raises(RuntimeError, match="SoftLabelHook"):
        step(model, batch())
    with_labels(model)
    with pytest.raises(ValueError, match=r"1 labelled pictures, fewer than .*LABELLED_PER_BATCH 2"):
        step(model, batch(classes=(0,)))
    samples = batch()
    samples[0]["image"] = samples[0]["image"][:, :6]
    with pytest.raises(ValueError, match="mixup needs pictures of one size"):
        step(model, samples)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("SOFT_LABELS.MIXUP_ALPHA", -1.0, "MIXUP_ALPHA is -1.0"),
        ("SOFT_LABELS.PRIOR_WEIGHT", -0.1, "PRIOR_WEIGHT is -0.1"),
        ("SOFT_LABELS.ENTROPY_WEIGHT", float("nan"), "ENTROPY_WEIGHT is nan"),
        ("SOFT_LABELS.PRIOR", [0.5, 0.5], "2 frequencies, but .*NUM_CLASSES is 4"),
        ("SOFT_LABELS.PRIOR", [0.4, 0.4, 0.2, 0.2], "sum to 1"),
        ("SOFT_LABELS.PRIOR", [0.5, 0.5, 0.0, 0.0], "above 0"),
        ("PATCH_CLASSIFIER.NUM_CLASSES", 1, "NUM_CLASSES is 1"),
        ("PATCH_CLASSIFIER.DROPOUT", 1.0, "DROPOUT is 1.0"),
        ("SMALL_RESNET.CHANNELS", [], "SMALL_RESNET.CHANNELS"),
        ("SMALL_RESNET.BLOCKS", 0, "SMALL_RESNET.BLOCKS is 0"),
    ],
)
def test_keys_out_of_range_are_named(cfg, key, value, message):
    node = cfg.MODEL
    *parents, last = key.split(".")
    for parent in parents:
        node = node[parent]
    node[last] = value
    with pytest.raises(ValueError, match=message):
        build_model(cfg)


def test_a_feature_that_is_not_there_is_named(cfg):
    with pytest.raises(ValueError, match="'res9', but the backbone gives res2, res3"):
        PatchClassifier(**{**PatchClassifier.from_config(cfg), "in_feature": "res9"})


def test_any_backbone_of_the_project_will_do(cfg):
    cfg.MODEL.META_ARCHITECTURE = "PatchClassifier"
    cfg.MODEL.BACKBONE.NAME = "build_mobilenetv2_backbone"
    model = build_model(cfg).eval()
    assert isinstance(model, PatchClassifier) and model.head_in_features == ["res5"]
    assert isinstance(model.dropout, nn.Dropout)
    assert model(batch(size=32))[0]["scores"].shape == (4,)
