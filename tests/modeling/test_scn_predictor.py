"""The SCN predictor: its parent at importance 1, its losses by hand, its refusals."""

import copy

import pytest
import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import nn

from drfpn_da.modeling import SCNFastRCNNOutputLayers
from drfpn_da.modeling.roi_heads import importance_predictor

K, WIDTH = 5, 16
COMMON = {"box2box_transform": Box2BoxTransform((10, 10, 5, 5)), "num_classes": K}


def build(**kwargs):
    layer = SCNFastRCNNOutputLayers(ShapeSpec(channels=WIDTH), **COMMON, **kwargs)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return layer


def make_proposals(per_image=(6, 5, 0), rows=((0, 0, 1, 1, 2, 2), (3, 3, 4, 4, 4))):
    """Labelled proposals; class K (background) for the last of each picture; one has none."""
    generator = torch.Generator().manual_seed(3)
    proposals = []
    for number, count in enumerate(per_image):
        instances = Instances((100, 100))
        corner = torch.rand(count, 2, generator=generator) * 50
        boxes = torch.cat([corner, corner + 10 + torch.rand(count, 2, generator=generator) * 30], 1)
        instances.proposal_boxes = Boxes(boxes)
        instances.gt_classes = torch.randint(0, K, (count,), generator=generator)
        if count:
            instances.gt_classes[-1] = K
            instances.gt_boxes = Boxes(boxes + torch.rand(count, 4, generator=generator))
            instances.gt_rows = torch.tensor(rows[number])
        proposals.append(instances)
    return proposals


def losses(layer, x, proposals):
    with EventStorage() as storage:
        return layer.losses(layer(x), proposals), storage


@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("alpha_on", ["all", "foreground", "loss"])
def test_importance_one_is_the_parent_bit_for_bit(alpha_on, agnostic):
    layer = build(alpha_on=alpha_on, cls_agnostic_bbox_reg=agnostic)
    parent = FastRCNNOutputLayers(
        ShapeSpec(channels=WIDTH), cls_agnostic_bbox_reg=agnostic, **COMMON
    )
    missing, extra = layer.load_state_dict(parent.state_dict(), strict=False)
    assert sorted(missing) == ["importance.bias", "importance.weight"] and not extra
    with torch.no_grad():
        layer.importance.weight.zero_()
        layer.importance.bias.fill_(40)
    x, proposals = torch.randn(11, WIDTH), make_proposals()
    found, _ = losses(layer, x, proposals)
    expected, _ = losses(parent, x, proposals)
    assert torch.equal(layer(x).alpha, torch.ones(11))
    assert torch.equal(found["loss_box_reg"], expected["loss_box_reg"])
    if alpha_on == "loss":  # the same mean, added up in another order
        torch.testing.assert_close(found["loss_cls"], expected["loss_cls"], rtol=1e-6, atol=0)
    else:
        assert torch.equal(found["loss_cls"], expected["loss_cls"])
        sum(found.values()).backward()
        sum(expected.values()).backward()
        for name, parameter in parent.named_parameters():
            assert torch.equal(layer.get_parameter(name).grad, parameter.grad), name
    for a, b in zip(layer.inference(layer(x), proposals), parent.inference(parent(x), proposals)):
        for one, other in zip(a, b):
            if isinstance(one, Instances):
                assert torch.equal(one.scores, other.scores)
                assert torch.equal(one.pred_boxes.tensor, other.pred_boxes.tensor)
                assert torch.equal(one.pred_classes, other.pred_classes)
            else:
                assert torch.equal(one, other)
    gt_boxes = [m.predict_boxes_for_gt_classes(m(x), proposals) for m in (layer, parent)]
    assert all(torch.equal(a, b) for a, b in zip(*gt_boxes))


def by_hand(layer, x, labels, alpha_on):
    """The classification loss by a loop over proposals."""
    total = 0
    logits = x @ layer.cls_score.weight.T + layer.cls_score.bias
    alpha = torch.sigmoid((x @ layer.importance.weight.T + layer.importance.bias)[:, 0])
    for a, z, label in zip(alpha, logits, labels):
        factor, weight = 1, 1
        if alpha_on == "all" or (alpha_on == "foreground" and label < K):
            factor = a
        if alpha_on == "loss" and label < K:
            weight = (a + 0.01) / (alpha[labels < K].mean() + 0.01)
        total = total + weight * (torch.logsumexp(factor * z, 0) - factor * z[label])
    return total / len(labels)


@pytest.mark.parametrize("alpha_on", ["all", "foreground", "loss"])
def test_classification_loss_equals_a_loop(alpha_on):
    layer, proposals = build(alpha_on=alpha_on).double(), make_proposals()
    x = torch.randn(11, WIDTH, dtype=torch.float64)
    found, _ = losses(layer, x, proposals)
    labels = torch.cat([p.gt_classes for p in proposals])
    torch.testing.assert_close(found["loss_cls"], by_hand(layer, x, labels, alpha_on))
    scores = torch.cat(layer.predict_probs(layer(x), proposals))
    factor = layer(x).alpha[:, None] if alpha_on == "all" else 1
    torch.testing.assert_close(scores, F.softmax(factor * layer.cls_score(x), dim=-1))


def test_vanished_importances_weigh_equally():
    """All importances are 0 in float32: their ratio is undefined, the loss is not."""
    layer, proposals = build(alpha_on="loss"), make_proposals()
    with torch.no_grad():
        layer.importance.bias.fill_(-200)
    x = torch.randn(11, WIDTH)
    assert torch.equal(layer(x).alpha, torch.zeros(11))
    found, _ = losses(layer, x, proposals)
    expected = F.cross_entropy(layer.cls_score(x), torch.cat([p.gt_classes for p in proposals]))
    torch.testing.assert_close(found["loss_cls"], expected)
    sum(found.values()).backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_rank_loss_equals_a_loop():
    layer, proposals = build(margin=0.9, min_group=2, rank_weight=2.0), make_proposals()
    x = torch.randn(11, WIDTH)
    found, storage = losses(layer, x, proposals)
    alpha = layer(x).alpha.tolist()
    groups = {}
    labels = torch.cat([p.gt_classes for p in proposals]).tolist()
    rows = torch.cat([p.gt_rows for p in proposals[:2]]).tolist()
    for i, label in enumerate(labels):
        if label == K:
            continue
        groups.setdefault(rows[i], []).append(alpha[i])
    means = sorted((sum(v) / len(v) for v in groups.values()), reverse=True)
    assert len(means) == 5
    high = int(0.7 * len(means))
    low = len(means) - high
    gap = sum(means[:high]) / high - sum(means[high:]) / low
    assert found["scn/loss_rank"].item() == pytest.approx(2 * max(0, 0.9 - gap), rel=1e-5)
    logged = {name: value for name, (value, _) in storage.latest().items()}
    assert logged["scn/alpha_high"] - logged["scn/alpha_low"] == pytest.approx(gap, abs=1e-5)
    assert logged["scn/rr_active_frac"] == 1


def test_gamma_mixes_as_the_paper():
    torch.manual_seed(1)
    mixed, x, proposals = build(gamma=0.25, margin=0.9), torch.randn(11, WIDTH), make_proposals()
    plain = SCNFastRCNNOutputLayers(ShapeSpec(channels=WIDTH), margin=0.9, **COMMON)
    plain.load_state_dict(mixed.state_dict())
    found, expected = losses(mixed, x, proposals)[0], losses(plain, x, proposals)[0]
    torch.testing.assert_close(found["loss_cls"], 0.75 * expected["loss_cls"])
    torch.testing.assert_close(found["scn/loss_rank"], 0.25 * expected["scn/loss_rank"])
    assert torch.equal(found["loss_box_reg"], expected["loss_box_reg"])


@pytest.mark.parametrize("alpha_on", ["all", "foreground", "loss"])
@pytest.mark.parametrize("background_only", [False, True])
def test_every_parameter_is_used_and_finite(alpha_on, background_only):
    layer = build(alpha_on=alpha_on, learnable_margin=True, margin=0.9)
    proposals = make_proposals()
    if background_only:
        for p in proposals:
            p.gt_classes[:] = K
            p.remove("gt_rows") if p.has("gt_rows") else None
    found, _ = losses(layer, torch.randn(11, WIDTH), proposals)
    sum(found.values()).backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    if not background_only:
        assert layer.margin.grad == 1
    else:
        assert found["scn/loss_rank"] == 0


@pytest.mark.parametrize("annotations", [0, 1, 2])
def test_few_annotations_are_not_ranked(annotations):
    layer = build(margin=0.9)
    proposals = make_proposals((4,), rows=([i % max(annotations, 1) for i in range(4)],))
    if not annotations:
        proposals[0].gt_classes[:] = K
    found, _ = losses(layer, torch.randn(4, WIDTH), proposals)
    assert found["scn/loss_rank"] == 0
    assert all(value.isfinite() for value in found.values())


def test_no_proposals_at_all():
    layer = build()
    found, _ = losses(layer, torch.randn(0, WIDTH), make_proposals((0, 0)))
    sum(found.values()).backward()
    assert found["loss_cls"] == 0 and found["scn/loss_rank"] == 0


def test_collapse_is_warned_about_once(monkeypatch, caplog):
    monkeypatch.setattr(importance_predictor, "COLLAPSED_STEPS", 3)
    layer, proposals = build(), make_proposals()
    with torch.no_grad():
        layer.importance.weight.zero_()
    for _ in range(5):
        losses(layer, torch.randn(11, WIDTH), proposals)
    assert sum("tell nothing apart" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha_on": "logits"}, r"ALPHA_ON is 'logits'; write one of all, foreground, loss"),
        ({"scope": "node"}, r"SCN\.SCOPE is 'node'"),
        ({"beta": 1.0}, r"SCN\.BETA is 1\.0"),
        ({"margin": 1.5}, r"SCN\.MARGIN_1 is 1\.5"),
        ({"gamma": 2.0}, r"SCN\.GAMMA is 2\.0"),
        ({"use_sigmoid_ce": True}, r"USE_SIGMOID_CE is True"),
        ({"use_fed_loss": True}, r"USE_FED_LOSS is True"),
    ],
)
def test_impossible_values_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_bias_can_be_left_out():
    layer = build(bias=False)
    assert [n for n, _ in layer.named_parameters() if "importance" in n] == ["importance.weight"]


def test_learnt_margin_is_saved():
    layer = build(learnable_margin=True)
    assert copy.deepcopy(layer).state_dict()["margin"] == layer.margin


def test_importances_under_autocast_differ_as_in_float32():
    """In bfloat16 all would be 0.5: the rank loss its margin, whatever the order."""
    torch.manual_seed(0)
    layer = SCNFastRCNNOutputLayers(ShapeSpec(channels=WIDTH), min_group=2, **COMMON)
    nn.init.normal_(layer.importance.weight, std=1e-3)
    x, proposals = torch.randn(11, WIDTH), make_proposals()
    expected = losses(layer, x, proposals)[0]["scn/loss_rank"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        predictions = layer(x)
        found = losses(layer, x, proposals)[0]["scn/loss_rank"]
    assert predictions.alpha.dtype == torch.float32
    assert predictions.logits.dtype == torch.bfloat16
    assert expected.item() != 0.15
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
