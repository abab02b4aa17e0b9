"""The mean teacher: its average, its start, its checkpoints."""

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import build_model
from torch import nn

from drfpn_da.checkpoint import CheckpointError, PredictionCheckpointer, SafeCheckpointer
from drfpn_da.config import check_config
from drfpn_da.modeling import MeanTeacher
from tests.tiny_detectors import make_inputs, make_target, tiny_config, total_loss


def constant(value):
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    for tensor in module.state_dict().values():
        tensor.fill_(value)
    return module


def test_average_by_hand():
    teacher = MeanTeacher(constant(0), decay=0.9)
    teacher.follow(constant(1), iteration=0)  # equal until START_ITER
    assert teacher.detector[0].weight.eq(1).all() and teacher.updates == 0
    expected = 1.0
    for step, value in enumerate([2.0, 4.0, 3.0, 8.0], start=1):
        teacher.follow(constant(value), iteration=step)
        keep = min(0.9, 1 - 1 / (step + 1))
        expected = keep * expected + (1 - keep) * value
        torch.testing.assert_close(teacher.detector[0].weight, torch.full((2, 2), expected))
        torch.testing.assert_close(teacher.detector[1].running_var, torch.full((2,), expected))
        assert teacher.detector[1].num_batches_tracked == value
    assert teacher.updates == 4


def test_long_average_uses_the_decay():
    teacher = MeanTeacher(constant(1), decay=0.5)
    teacher.follow(constant(1), 0)
    for step in range(1, 30):
        teacher.follow(constant(0), step)
    # 1 - 1/2 at the first step, then the decay.
    torch.testing.assert_close(teacher.detector[0].bias, torch.full((2,), 0.5**29))


def test_a_snapshot_is_frozen_for_a_period():
    teacher = MeanTeacher(constant(0), decay=0.0, start_iter=2, period=3)
    seen = []
    for iteration in range(10):
        teacher.follow(constant(float(iteration)), iteration)
        seen.append(float(teacher.detector[0].weight[0, 0]))
    assert seen == [0, 1, 2, 2, 2, 5, 5, 5, 8, 8]
    with pytest.raises(ValueError, match=r"MODEL\.TEACHER\.PERIOD is 0"):
        MeanTeacher(constant(0), period=0)


def test_a_later_training_goes_on_with_the_average_of_its_checkpoint(caplog):
    first = MeanTeacher(constant(0), decay=0.9)
    for iteration, value in enumerate([1.0, 3.0, 5.0]):
        first.follow(constant(value), iteration)
    # By hand: 1; 1/2 1 + 1/2 3 = 2; 2/3 2 + 1/3 5 = 3.
    torch.testing.assert_close(first.detector[0].weight, torch.full((2, 2), 3.0))

    second = MeanTeacher(constant(0), decay=0.9)
    second.load_state_dict(first.state_dict())
    second.follow(constant(5.0), iteration=0)
    torch.testing.assert_close(second.detector[0].weight, torch.full((2, 2), 3.5))  # 3/4 and 1/4
    assert second.updates == 3 and not caplog.records

    anew = MeanTeacher(constant(0), decay=0.9, start_iter=2)
    anew.load_state_dict(first.state_dict())
    for iteration in range(3):
        anew.follow(constant(float(iteration)), iteration)
        assert anew.detector[0].weight.eq(iteration).all() and anew.updates == 0
    (record,) = caplog.records
    assert "START_ITER is 2" in record.message and "average of 2 steps" in record.message

    snapshot = MeanTeacher(constant(0), decay=0.0, period=3)
    snapshot.load_state_dict(first.state_dict())
    snapshot.follow(constant(7.0), iteration=0)  # a new training, a new snapshot
    assert snapshot.detector[0].weight.eq(7).all()


def test_a_snapshot_shares_no_memory_with_the_student():
    student = constant(1)
    teacher = MeanTeacher(student, decay=0.0)
    for iteration in range(3):
        teacher.follow(student, iteration)
        own = {t.data_ptr() for t in teacher.detector.state_dict().values()}
        assert not own & {t.data_ptr() for t in student.state_dict().values()}


def test_labels_of_a_teacher_that_is_still_the_student_are_refused():
    """From a config, before anything is built, and from Python."""
    options = ["MODEL.ADAPT.OBJECTIVES", ["PseudoLabel"], "MODEL.TEACHER.START_ITER", 500]
    cfg = teaching_config(*options)
    message = r"TEACHER\.START_ITER is 500, but {} lets .* from iteration 0 .* write 0 or less"
    with pytest.raises(
        ValueError, match=message.format(r"PseudoLabel \(MODEL.PSEUDO_LABEL.START_ITER\)")
    ):
        check_config(cfg)
    with pytest.raises(ValueError, match=message.format("pseudo_label")):
        build_model(cfg)
    dense = ["MODEL.ADAPT.DETECTOR", "SemanticSegmentor"]
    dense += ["MODEL.ADAPT.OBJECTIVES", ["DensePseudoLabel"], "MODEL.TEACHER.START_ITER", 500]
    for late in (
        [],
        ["MODEL.META_ARCHITECTURE", "DepthMixSegmentor", "MODEL.ADAPT.OBJECTIVES", []],
        ["MODEL.PSEUDO_LABEL.STORE.ENABLED", True],
    ):
        with pytest.raises(ValueError, match=r"TEACHER\.START_ITER is 500"):
            check_config(teaching_config(*dense, *late))
    for fine in (
        ["MODEL.PSEUDO_LABEL.START_ITER", 500],
        ["MODEL.PSEUDO_LABEL.START_ITER", 600],
        ["MODEL.ADAPT.BASELINE", "source_only"],
        ["MODEL.PSEUDO_LABEL.STORE.ENABLED", True, "MODEL.TEACHER.ENABLED", False],
        ["MODEL.PSEUDO_LABEL.REGULARISE_ONLY", True],
        ["MODEL.ADAPT.OBJECTIVES", ["StrongWeakAlignment"]],
    ):
        check_config(teaching_config(*dense, *fine))


def test_never_trains_and_asks_for_no_gradient():
    teacher = MeanTeacher(constant(1)).train()
    assert not teacher.detector.training and not teacher.detector[1].training
    assert not any(p.requires_grad for p in teacher.parameters())


def test_published_average_over_200_steps():
    """A weighted sum of all students; the first coefficient is 0.5, that of step 99 is 0.99."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(201, generator=generator, dtype=torch.float64).tolist()
    teacher = MeanTeacher(constant(0).double(), decay=0.99)
    for step, value in enumerate(values):
        teacher.follow(constant(value).double(), step)
    keep = [min(1 - 1 / (step + 1), 0.99) for step in range(1, 201)]
    assert keep[0] == 0.5 and keep[97] < 0.99 == keep[98]
    expected = 0.0
    for step, value in enumerate(values):
        own = 1.0 if step == 0 else 1 - keep[step - 1]
        for later in keep[step:]:
            own *= later
        expected += own * value
    assert teacher.detector[0].weight[0, 0].item() == pytest.approx(expected, abs=1e-6)


def test_published_teacher_averages_parameters_alone_and_trains():
    teacher = MeanTeacher(constant(1), 0.5, average_buffers=False, train_mode=True).train()
    teacher.follow(constant(1), 0)
    teacher.follow(constant(3), 1)
    assert teacher.detector[0].weight.eq(2).all()
    assert teacher.detector[1].running_mean.eq(1).all()
    assert teacher.detector[1].training and not teacher.eval().detector[1].training
    assert not any(p.requires_grad for p in teacher.parameters())


def test_bad_decay():
    with pytest.raises(ValueError, match=r"MODEL\.TEACHER\.DECAY is 1\.0"):
        MeanTeacher(constant(0), decay=1.0)


def teaching_config(*options):
    return tiny_config(
        "faster_rcnn",
        *("MODEL.META_ARCHITECTURE", "AdaptiveModel"),
        *("MODEL.TEACHER.ENABLED", True),
        *options,
    )


def test_checkpoint_holds_the_teacher_and_a_plain_one_starts_it(tmp_path):
    torch.manual_seed(0)
    model = build_model(teaching_config("MODEL.TEACHER.DECAY", 0.5)).train()
    inputs = [*make_inputs(), *make_target()]
    for _ in range(2):
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        total_loss(model, inputs).backward()
        optimizer.step()
    model.teacher.follow(model.detector, 5)
    plain_keys = set(build_model(tiny_config("faster_rcnn")).state_dict())
    state = model.state_dict()
    assert {k for k in state if not k.startswith("teacher.")} == plain_keys
    assert {k for k in state if k.startswith("teacher.")} == {
        "teacher.updates",
        *(f"teacher.{key}.ema" for key in plain_keys),
    }
    DetectionCheckpointer(model, str(tmp_path)).save("both")
    again = build_model(teaching_config())
    DetectionCheckpointer(again).load(str(tmp_path / "both.pth"))
    assert all(torch.equal(value, state[key]) for key, value in again.state_dict().items())

    plain = build_model(tiny_config("faster_rcnn"))
    DetectionCheckpointer(plain, str(tmp_path)).save("plain")
    DetectionCheckpointer(again).load(str(tmp_path / "plain.pth"))
    # Evaluation needs neither teacher nor objectives, but the detector.
    PredictionCheckpointer(again).load(str(tmp_path / "plain.pth"))
    body = {k: v for k, v in plain.state_dict().items() if k.startswith("backbone")}
    torch.save({"model": body}, tmp_path / "body.pth")
    with pytest.raises(CheckpointError, match=r"lacks .*of proposal_generator\.rpn_head, roi_"):
        PredictionCheckpointer(build_model(teaching_config())).load(str(tmp_path / "body.pth"))
    # Training may start from other classes: the heads of student and teacher are then new.
    other = build_model(teaching_config("MODEL.ROI_HEADS.NUM_CLASSES", 7))
    head = other.detector.roi_heads.box_predictor.cls_score.weight.clone()
    for name in ("plain", "both"):
        SafeCheckpointer(other).load(str(tmp_path / f"{name}.pth"))
        assert torch.equal(other.detector.roi_heads.box_predictor.cls_score.weight, head)
        with pytest.raises(CheckpointError, match=r"does not fit .*box_predictor\.cls_score"):
            PredictionCheckpointer(other).load(str(tmp_path / f"{name}.pth"))
    body = other.teacher.detector.backbone.state_dict()
    expected = model.detector.backbone.state_dict()
    assert all(torch.equal(body[key], value) for key, value in expected.items())
    theirs = plain.state_dict()
    for key, value in again.teacher.state_dict().items():
        assert key == "updates" or torch.equal(value, theirs[key[: -len(".ema")]])


def test_pretrained_weights_found_by_the_end_of_their_names(tmp_path):
    """As ``R-50.pkl`` or ``drfpn-da://mobilenet_v2`` load: into the student, then the teacher."""
    source = build_model(tiny_config("faster_rcnn")).backbone.bottom_up.state_dict()
    torch.save({"model": source, "matching_heuristics": True}, tmp_path / "body.pth")
    model = build_model(teaching_config())
    DetectionCheckpointer(model).load(str(tmp_path / "body.pth"))
    for part in (model.detector, model.teacher.detector):
        loaded = part.backbone.bottom_up.state_dict()
        assert all(torch.equal(loaded[key], value) for key, value in source.items())


@pytest.mark.parametrize("who", ["student", "teacher"])
def test_evaluation_by_student_or_teacher(who):
    torch.manual_seed(0)
    model = build_model(teaching_config("MODEL.TEACHER.EVAL", who)).eval()
    other = build_model(tiny_config("faster_rcnn")).eval()
    model.teacher.detector.load_state_dict(other.state_dict())
    expected = {"student": model.detector, "teacher": other}[who]
    with torch.no_grad():
        a, b = model(make_inputs(1))[0]["instances"], expected(make_inputs(1))[0]["instances"]
    assert torch.equal(a.pred_boxes.tensor, b.pred_boxes.tensor)


def test_a_checkpoint_with_half_a_teacher_is_said_aloud(caplog):
    torch.manual_seed(0)
    state = build_model(teaching_config()).state_dict()
    teacher = [key for key in state if key.startswith("teacher.")]
    model = build_model(teaching_config())
    model.load_state_dict({k: v for k, v in state.items() if k not in teacher}, strict=False)
    assert not caplog.records, "a plain detector's checkpoint is nothing to warn of"
    tensors = [key for key in teacher if "num_batches_tracked" not in key]
    half = {k: v for k, v in state.items() if k not in tensors[:3]}
    model.load_state_dict(half, strict=False)
    assert f"lacks 3 of the {len(tensors)} tensors of the teacher" in caplog.text
    for mine, its in zip(model.teacher.detector.parameters(), model.detector.parameters()):
        assert torch.equal(mine, its)


def test_statistics_of_frozen_norms_are_touched_only_where_they_differ():
    """What was computed from them can be kept from step to step."""
    student = nn.Sequential(FrozenBatchNorm2d(2), nn.Linear(2, 2))
    teacher = MeanTeacher(student, decay=0.5)
    norm = teacher.detector[0]
    teacher.follow(student, 0)
    before = norm.running_mean._version
    with torch.no_grad():
        student[1].weight.fill_(3.0)
    for iteration in range(1, 4):
        teacher.follow(student, iteration)
    assert norm.running_mean._version == before, "equal: left alone"
    assert (teacher.detector[1].weight - 3).abs().max() < 1
    student[0].running_mean.fill_(1.0)
    for iteration in range(4, 9):
        teacher.follow(student, iteration)
    torch.testing.assert_close(norm.running_mean, torch.full((2,), 1 - 0.5**5))
