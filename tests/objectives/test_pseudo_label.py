"""PseudoLabel on detectors of every kind: labels, losses, gradients, keys, refusals."""

import copy

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import RetinaNet, build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from tests.tiny_detectors import ALIGN, make_inputs, make_target, tiny_config

# Untrained detectors are sure of nothing: every detection becomes a label.
SURE = (
    *("MODEL.PSEUDO_LABEL.THRESHOLD", 0.0, "MODEL.PSEUDO_LABEL.ADAPTIVE.FLOOR", 0.0),
    *("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0, "MODEL.RETINANET.SCORE_THRESH_TEST", 0.0),
    *("MODEL.FCOS.SCORE_THRESH_TEST", 0.0, "TEST.DETECTIONS_PER_IMAGE", 6),
    *("MODEL.MASK_ON", False),
    # Small.
    *("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 16, "MODEL.RPN.POST_NMS_TOPK_TRAIN", 30),
    *("MODEL.RPN.POST_NMS_TOPK_TEST", 16, "MODEL.PSEUDO_LABEL.JITTER.COUNT", 3),
)
RCNN = ["faster_rcnn", "faster_rcnn_fpn", "faster_rcnn_c4", "cascade_mask_rcnn"]
DENSE = ["retinanet", "fcos"]
SAFEGUARDS = (
    *("MODEL.PSEUDO_LABEL.SOFT", True, "MODEL.PSEUDO_LABEL.BOX_REGRESSION", "reliable"),
    *("MODEL.PSEUDO_LABEL.PRIOR.WEIGHT", 0.8, "MODEL.PSEUDO_LABEL.ENTROPY_WEIGHT", 0.4),
    *("MODEL.PSEUDO_LABEL.ADAPTIVE.ENABLED", True),
)


def teaching_model(kind, *options, objectives=("PseudoLabel",)):
    torch.manual_seed(0)
    cfg = tiny_config(
        kind,
        *ALIGN,
        *("MODEL.ADAPT.DETECTOR", tiny_config(kind).MODEL.META_ARCHITECTURE),
        *("MODEL.ADAPT.OBJECTIVES", list(objectives)),
        *SURE,
        *options,
    )
    return build_model(cfg).train()


def make_views(count=2):
    """Target pictures with a weak view and a darker strong one."""
    samples = make_target(count)
    for sample in samples:
        sample["views"] = {"weak": sample["image"], "strong": sample["image"] // 2}
    return samples


def step(model, target=None, iteration=1, seed=3):
    torch.manual_seed(seed)
    with EventStorage(iteration) as storage:
        losses = model([*make_inputs(), *(make_views() if target is None else target)])
    return losses, {key: value for key, (value, _) in storage.latest().items()}


def of_objective(losses):
    return {k.split("/", 1)[1] for k in losses if k.startswith("pseudo_label/")}


@pytest.mark.parametrize("kind", [*RCNN, *DENSE])
def test_one_step_teaches_the_student_and_leaves_the_teacher(kind):
    safeguards = SAFEGUARDS if kind in RCNN else ("MODEL.PSEUDO_LABEL.BOX_REGRESSION", "all")
    model = teaching_model(kind, *safeguards, "MODEL.PSEUDO_LABEL.JITTER.MAX_SPREAD", 1e6)
    before = copy.deepcopy(model.detector.state_dict())
    losses, scalars = step(model, iteration=0)
    assert all(value.isfinite() for value in losses.values())
    mine = [value for key, value in losses.items() if key.startswith("pseudo_label/")]
    sum(mine).backward()
    trained = [(n, p) for n, p in model.detector.named_parameters() if p.requires_grad]
    without = [name for name, parameter in trained if parameter.grad is None]
    # With "reliable", the RPN learns no boxes from pseudo-labels.
    assert all("anchor_deltas" in name for name in without), without
    assert not any(p.requires_grad or p.grad is not None for p in model.teacher.parameters())
    after = model.teacher.detector.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert scalars["pseudo_label/boxes_per_picture"] > 0


LOSSES = {
    "faster_rcnn_fpn": ({"loss_cls", "loss_rpn_cls"}, {"loss_box_reg", "loss_rpn_loc"}),
    "retinanet": ({"loss_cls"}, {"loss_box_reg"}),
    "fcos": ({"loss_fcos_cls"}, {"loss_fcos_loc", "loss_fcos_ctr"}),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_localisation_is_learnt_only_when_asked_for(kind):
    classes, boxes = LOSSES[kind]
    none, _ = step(teaching_model(kind))
    every, _ = step(teaching_model(kind, "MODEL.PSEUDO_LABEL.BOX_REGRESSION", "all"))
    assert of_objective(none) == classes
    assert of_objective(every) == classes | boxes


def detections(*rows):
    """Instances of (box, score, class)."""
    boxes, scores, classes = zip(*rows)
    return Instances(
        (64, 96),
        pred_boxes=Boxes(torch.tensor(boxes)),
        scores=torch.tensor(scores),
        pred_classes=torch.tensor(classes),
    )


def test_the_threshold_chooses_and_empty_boxes_go():
    model = teaching_model("retinanet", "MODEL.PSEUDO_LABEL.THRESHOLD", 0.8)
    found = detections(
        ([0.0, 0, 10, 10], 0.9, 2),
        ([0.0, 0, 20, 20], 0.8, 5),
        ([5.0, 5, 30, 30], 0.79, 1),
        ([5.0, 5, 5, 30], 0.99, 1),
    )
    with EventStorage() as storage:
        (labels,) = model.objectives["pseudo_label"]._choose([found])
    assert labels.gt_classes.tolist() == [2, 5]
    assert labels.gt_boxes.tensor.tolist() == [[0, 0, 10, 10], [0, 0, 20, 20]]
    assert storage.latest()["pseudo_label/boxes_per_picture"][0] == 2


def test_the_student_gets_the_strong_view_and_no_label_of_the_target():
    """Labels that stray into target dicts change nothing, and are not handed on."""
    model = teaching_model("faster_rcnn_fpn")
    clean, _ = step(model)
    strayed = make_views()
    for sample, labelled in zip(strayed, make_inputs()):
        sample.update(instances=labelled["instances"], sem_seg=labelled["sem_seg"], proposals=1)
    dirty, _ = step(teaching_model("faster_rcnn_fpn"), strayed)
    assert all(torch.equal(value, dirty[key]) for key, value in clean.items())

    seen = []
    model.detector.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    step(model, strayed)
    for given, sample in zip(seen[1], strayed):
        assert torch.equal(given["image"], sample["views"]["strong"])
        assert set(given) <= {"image", "instances", "height", "width", "domain"}
        assert given["instances"] is not sample["instances"]
        assert given["instances"].image_size == tuple(given["image"].shape[-2:])


def test_burn_in_and_ramp():
    options = ("MODEL.PSEUDO_LABEL.START_ITER", 10, "MODEL.PSEUDO_LABEL.RAMP_ITERS", 4)
    model = teaching_model("faster_rcnn_fpn", *options, "MODEL.PSEUDO_LABEL.WEIGHT", 2.0)
    losses, _ = step(model, make_target(), iteration=9)  # views are not needed yet
    assert not of_objective(losses)
    weights = [model.objectives["pseudo_label"].current_weight(i) for i in (10, 11, 14, 99)]
    assert weights == [0.0, 0.5, 2.0, 2.0]
    _, scalars = step(model, iteration=11)
    assert scalars["pseudo_label/weight"] == 0.5


@pytest.mark.parametrize("kind", ["faster_rcnn_fpn", "retinanet"])
def test_weight_zero_trains_as_on_source_alone(kind):
    frozen = ("MODEL.MOBILENETV2.NORM", "FrozenBN", "MODEL.FCOS.NORM", "")
    plain = teaching_model(kind, *frozen, objectives=())
    model = teaching_model(kind, *frozen, "MODEL.PSEUDO_LABEL.WEIGHT", 0.0)
    for iteration in (1, 2):  # RetinaNet's running number of positives would differ in the second
        losses, _ = step(plain, [], iteration)
        ours, _ = step(model, iteration=iteration)
        assert all(torch.equal(ours[key], value) for key, value in losses.items())
    sum(losses.values()).backward()
    sum(ours.values()).backward()
    theirs = dict(plain.detector.named_parameters())
    for name, parameter in model.detector.named_parameters():
        if parameter.requires_grad:
            assert torch.equal(parameter.grad, theirs[name].grad), name


@pytest.mark.parametrize("context", [False, True])
def test_with_strong_weak_alignment(context):
    """Alignment taps the labelled target pass; context vectors reach the teacher's heads too."""
    model = teaching_model(
        "faster_rcnn_fpn",
        *SAFEGUARDS,
        *("MODEL.STRONG_WEAK.CONTEXT.ENABLED", context),
        objectives=["StrongWeakAlignment", "PseudoLabel"],
    )
    losses, _ = step(model)
    assert {"strong_weak/loss_local_res2_target", "pseudo_label/loss_cls"} < set(losses)
    total = sum(losses.values())
    total.backward()
    assert total.isfinite()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_a_resumed_run_goes_on_exactly(tmp_path):
    model = teaching_model("faster_rcnn_fpn", *SAFEGUARDS)
    for iteration in (1, 2):
        step(model, iteration=iteration)
    statistics = "objectives.pseudo_label.statistics."
    state = model.state_dict()
    names = {key[len(statistics) :] for key in state if key.startswith("objectives.")}
    assert names == {
        *("confidence", "confidence_steps", "source_counts", "prediction", "prediction_steps")
    }
    assert state[f"{statistics}source_counts"].sum() == 8  # two steps of two pictures of two
    assert state[f"{statistics}prediction_steps"] == 2
    DetectionCheckpointer(model, str(tmp_path)).save("both")
    again = teaching_model("faster_rcnn_fpn", *SAFEGUARDS)
    DetectionCheckpointer(again).load(str(tmp_path / "both.pth"))
    (a, _), (b, _) = step(model, iteration=3), step(again, iteration=3)
    assert all(torch.equal(a[key], value) for key, value in b.items())


@pytest.mark.parametrize("kind", ["faster_rcnn_fpn", "retinanet"])
def test_bfloat16(kind):
    model = teaching_model(kind, *(SAFEGUARDS if kind == "faster_rcnn_fpn" else ()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses, _ = step(model)
    assert all(value.isfinite() for value in losses.values())
    if kind == "faster_rcnn_fpn":
        for key in ("loss_cls", "loss_prior", "loss_entropy", "loss_box_reg"):
            assert losses[f"pseudo_label/{key}"].dtype == torch.float32
    sum(losses.values()).backward()


def test_without_any_label_every_loss_is_finite():
    model = teaching_model("faster_rcnn_fpn", *SAFEGUARDS, "MODEL.PSEUDO_LABEL.THRESHOLD", 1.0)
    losses, scalars = step(model)
    assert all(value.isfinite() for value in losses.values())
    assert scalars["pseudo_label/boxes_per_picture"] == 0
    sum(losses.values()).backward()
    assert losses["pseudo_label/loss_prior"] == 0


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("retinanet", ["THRESHOLD", 1.2], r"THRESHOLD is 1\.2; it must be in \[0, 1\]"),
        ("retinanet", ["THRESHOLD", -0.1], r"THRESHOLD is -0\.1"),
        ("retinanet", ["ADAPTIVE.ENABLED", True, "ADAPTIVE.FLOOR", 0.9], "is above THRESHOLD"),
        ("retinanet", ["WEIGHT", -1.0], "WEIGHT is -1.0; it cannot be negative"),
        ("retinanet", ["BOX_REGRESSION", "some"], "BOX_REGRESSION is 'some'; write one of"),
        ("retinanet", ["JITTER.COUNT", 1], "JITTER.COUNT is 1"),
        ("retinanet", ["SOFT", True], "PSEUDO_LABEL.SOFT True needs ROI heads, which RetinaNet"),
        ("fcos", ["BOX_REGRESSION", "reliable"], "needs ROI heads, which FCOS"),
        ("fcos", ["PRIOR.WEIGHT", 0.8], "PRIOR.WEIGHT needs ROI heads, which FCOS"),
        ("faster_rcnn_fpn", ["PRIOR.FREQUENCIES", [0.5, 0.5]], "has 2 numbers, but .* 6 classes"),
        ("faster_rcnn_fpn", ["PRIOR.FREQUENCIES", [0.5] * 6], "their sum is 1"),
        ("faster_rcnn_fpn", ["MIN_LABELLED_SHARE", 1.0], r"MIN_LABELLED_SHARE is 1\.0"),
        ("panoptic_fpn", [], "teaches boxes, not PanopticFPN"),
        ("sem_seg", [], "teaches boxes, not SemanticSegmentor"),
    ],
)
def test_refused_at_build(kind, options, message):
    keys = [f"MODEL.PSEUDO_LABEL.{x}" if i % 2 == 0 else x for i, x in enumerate(options)]
    with pytest.raises(ValueError, match=message):
        teaching_model(kind, *keys)


def test_masks_and_a_sigmoid_loss_are_refused():
    with pytest.raises(ValueError, match=r"no masks; write MODEL\.MASK_ON False"):
        teaching_model("mask_rcnn", "MODEL.MASK_ON", True)
    options = ("MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE", True, "MODEL.PSEUDO_LABEL.SOFT", True)
    with pytest.raises(ValueError, match="USE_SIGMOID_CE False"):
        teaching_model("faster_rcnn_fpn", *options)


def test_refused_pictures():
    model = teaching_model("retinanet", "MODEL.PSEUDO_LABEL.MIN_LABELLED_SHARE", 0.5)
    with pytest.raises(ValueError, match=r'write INPUT\.TARGET_VIEWS \["weak", "strong"\]'):
        step(model, make_target())
    with pytest.raises(ValueError, match=r"2 of 5 pictures .* raise SOLVER\.IMS_PER_BATCH"):
        step(model, make_views(3))
    moved = make_views(1)
    moved[0]["views"]["strong"] = moved[0]["views"]["strong"][:, 2:]
    with pytest.raises(ValueError, match="must not move or resize"):
        step(model, moved)


class OtherNames(RetinaNet):
    """Names its losses as detectors with set prediction do."""

    def forward(self, batched_inputs):
        found = super().forward(batched_inputs)
        if not self.training:
            return found
        return {"loss_ce": found["loss_cls"], "loss_bbox_0": found["loss_box_reg"]}


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ((), {"loss_ce"}),
        (("MODEL.PSEUDO_LABEL.BOX_REGRESSION", "all"), {"loss_ce", "loss_bbox_0"}),
        (("MODEL.PSEUDO_LABEL.LOCALIZATION_LOSSES", ["loss_ce"]), {"loss_bbox_0"}),
    ],
)
def test_all_losses_but_those_of_localisation_are_learnt_whatever_their_names(options, kept):
    model = teaching_model("retinanet", *options)
    model.detector.__class__ = OtherNames
    losses, _ = step(model)
    assert of_objective(losses) == kept


def test_a_detector_of_which_no_loss_is_left_is_refused():
    model = teaching_model("retinanet", "MODEL.PSEUDO_LABEL.LOCALIZATION_LOSSES", ["loss"])
    with pytest.raises(ValueError, match=r"LOCALIZATION_LOSSES \['loss'\].*nothing is left"):
        step(model)
