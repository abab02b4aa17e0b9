"""SCN's ROI heads in whole detectors: training, corrections, checkpoints, refusals."""

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage

from drfpn_da.modeling import SCNFastRCNNOutputLayers, find_scn_heads
from tests.tiny_detectors import make_inputs, tiny_config

HEADS = {
    "faster_rcnn": ("SCNROIHeads", "StandardROIHeads"),
    "faster_rcnn_fpn": ("SCNROIHeads", "StandardROIHeads"),
    "mask_rcnn": ("SCNROIHeads", "StandardROIHeads"),
    "cascade_mask_rcnn": ("SCNCascadeROIHeads", "CascadeROIHeads"),
    "faster_rcnn_c4": ("SCNRes5ROIHeads", "Res5ROIHeads"),
}


def scn_config(kind, *options):
    return tiny_config(kind, "MODEL.ROI_HEADS.NAME", HEADS[kind][0], *options)


@pytest.mark.parametrize("kind", HEADS)
def test_detectors_train_and_predict(kind):
    model = build_model(scn_config(kind))
    inputs = make_inputs(objects=2)
    with EventStorage() as storage:
        losses = model(inputs)
        sum(losses.values()).backward()
        logged = storage.latest()
    ranks = [name for name in losses if "scn/loss_rank" in name]
    assert len(ranks) == (3 if "cascade" in kind else 1)
    assert any("scn/alpha_mean" in name for name in logged)
    used = [p.grad is not None for p in model.roi_heads.parameters()]
    assert all(used)
    model.eval()
    with torch.no_grad():
        assert len(model(inputs)) == len(inputs)


@pytest.mark.parametrize("kind", ["mask_rcnn", "cascade_mask_rcnn", "faster_rcnn_c4"])
def test_plain_checkpoints_load_and_importance_one_is_the_plain_detector(kind):
    plain, scn = build_model(tiny_config(kind)), build_model(scn_config(kind))
    missing, extra = scn.load_state_dict(plain.state_dict(), strict=False)
    assert not extra and missing and all(".importance." in name for name in missing)
    for module in scn.modules():
        if isinstance(module, SCNFastRCNNOutputLayers):
            torch.nn.init.zeros_(module.importance.weight)
            torch.nn.init.constant_(module.importance.bias, 40)
    found, expected = [], []
    for model, results in ((scn, found), (plain, expected)):
        torch.manual_seed(0)
        with EventStorage():
            results.append(model(make_inputs()))
    for name, loss in expected[0].items():
        assert torch.equal(found[0][name], loss), name
    scn.eval(), plain.eval()
    with torch.no_grad():
        for a, b in zip(scn(make_inputs()), plain(make_inputs())):
            assert torch.equal(a["instances"].scores, b["instances"].scores)
            assert torch.equal(a["instances"].pred_boxes.tensor, b["instances"].pred_boxes.tensor)


def indexed_inputs():
    inputs = make_inputs(count=3, objects=2)
    for i, sample in enumerate(inputs):
        sample["instances"].gt_annotation_index = torch.tensor([2 * i, 2 * i + 1])
    inputs[2]["instances"].remove("gt_annotation_index")
    return inputs


@pytest.mark.parametrize("kind", ["faster_rcnn_fpn", "cascade_mask_rcnn", "faster_rcnn_c4"])
def test_training_sees_corrected_classes(kind):
    model, inputs = build_model(scn_config(kind)), indexed_inputs()
    seen = []
    heads = find_scn_heads(model)
    heads.voting_predictor().recorder = lambda predictions, proposals: seen.append(proposals)
    heads.corrected_classes = torch.tensor([5, 1, 0, 4, 3, 3])
    given = [sample["instances"].gt_classes.clone() for sample in inputs]
    with EventStorage():
        model(inputs)
    expected = {0: 5, 1: 1, 2: 0, 3: 4}
    found = {}
    for proposals in seen[0][:2]:
        for index, label in zip(proposals.gt_annotation_index, proposals.gt_classes):
            if label < 6:
                found.setdefault(int(index), set()).add(int(label))
    # Ground truth boxes are among the proposals, so that every annotation is matched.
    assert found == {index: {label} for index, label in expected.items()}
    assert set(seen[0][2].gt_classes.tolist()) <= {0, 1, 6}, "not indexed: as given"
    for sample, classes in zip(inputs, given):
        assert torch.equal(sample["instances"].gt_classes, classes), "inputs are left alone"


def test_later_stages_keep_the_annotation_of_each_proposal():
    model = build_model(scn_config("cascade_mask_rcnn"))
    seen = []
    heads = find_scn_heads(model)
    heads.voting_predictor().recorder = lambda predictions, proposals: seen.append(proposals)
    inputs = indexed_inputs()
    with EventStorage():
        model(inputs)
    for number, proposals in enumerate(seen[0][:2]):
        truth = inputs[number]["instances"]
        for index, box in zip(proposals.gt_annotation_index, proposals.gt_boxes):
            assert torch.equal(truth.gt_boxes.tensor[int(index) - 2 * number], box)


def test_pictures_without_annotations():
    model, inputs = build_model(scn_config("faster_rcnn_fpn")), make_inputs(objects=0)
    find_scn_heads(model).corrected_classes = torch.zeros(4, dtype=torch.int64)
    for sample in inputs:
        sample["instances"].gt_annotation_index = torch.zeros(0, dtype=torch.int64)
    with EventStorage():
        losses = model(inputs)
    assert all(value.isfinite() for value in losses.values())


def test_other_classification_losses_are_refused_by_name():
    with pytest.raises(ValueError, match=r"MODEL\.ROI_BOX_HEAD\.USE_SIGMOID_CE is True"):
        build_model(scn_config("faster_rcnn_fpn", "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE", True))


def test_a_plain_or_frozen_model_has_no_heads_of_scn():
    assert find_scn_heads(build_model(tiny_config("faster_rcnn_fpn"))) is None
    model = build_model(scn_config("faster_rcnn_fpn"))
    assert find_scn_heads(torch.nn.ModuleDict({"wrapped": model})) is model.roi_heads
    assert find_scn_heads(model.requires_grad_(False)) is None
