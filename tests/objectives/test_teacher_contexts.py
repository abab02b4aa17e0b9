"""Context vectors of a mean teacher: averages of its own, in evaluation mode, saved and resumed."""

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils.events import EventStorage

from drfpn_da.objectives.pseudo_roi import TeacherPass
from tests.objectives.test_strong_weak import contextual_model, randomise_columns
from tests.tiny_detectors import make_inputs


def teacher_with_contexts(*options):
    """A model whose contexts count, and whose teacher labels by its own averages."""
    model = contextual_model("faster_rcnn", "MODEL.TEACHER.ENABLED", True, *options).train()
    randomise_columns(model)
    for average, original in model.averages():
        average.copy_from(original)
    return model


def test_teacher_has_contexts_of_its_own_features():
    model = teacher_with_contexts("MODEL.TEACHER.EVAL", "teacher").eval()
    with torch.no_grad():
        as_student = model(make_inputs(1))[0]["instances"].scores
        assert torch.equal(
            as_student, model.predict(make_inputs(1), "student")[0]["instances"].scores
        )
        model.teacher.detector.backbone.bottom_up.features[0][0].weight.mul_(3)
        changed = model(make_inputs(1))[0]["instances"].scores
    assert as_student.shape != changed.shape or not torch.equal(as_student, changed)


def taught_scores(model, iteration=0):
    with EventStorage(iteration), torch.no_grad():
        inputs = [{"image": x["image"]} for x in make_inputs(1)]
        taught = TeacherPass(model.teacher.detector, model._teacher_taps, inputs)
    return taught.detections[0].scores


def test_the_teacher_labels_by_averages_in_evaluation_mode():
    """No dropout of the discriminators, though the student trains; nothing is the student's."""
    model = teacher_with_contexts()
    assert not any(module.training for module in model.teacher.modules())
    scores = taught_scores(model)
    assert torch.equal(scores, taught_scores(model, iteration=1))
    with torch.no_grad():
        by_teacher = model.eval().predict([{"image": make_inputs(1)[0]["image"]}], by="teacher")
        assert torch.equal(scores, by_teacher[0]["instances"].scores)
        for parameter in model.objectives.parameters():
            parameter.add_(0.05)
        assert torch.equal(scores, taught_scores(model))
        for parameter in model.teacher.objectives["strong_weak"].detector.columns.parameters():
            parameter.add_(0.05)
    changed = taught_scores(model)
    assert scores.shape != changed.shape or not torch.equal(scores, changed)


def test_averages_of_contexts_follow_are_saved_and_started(tmp_path, caplog):
    model = teacher_with_contexts()
    model.move_teacher(0)
    before = {k: v.clone() for k, v in model.objectives["strong_weak"].state_dict().items()}
    with torch.no_grad():
        for parameter in model.objectives.parameters():
            parameter.add_(1.0)
    model.move_teacher(1)
    model.move_teacher(1)  # once is enough
    average = model.teacher.objectives["strong_weak"]
    assert int(average.updates) == int(model.teacher.updates) == 1
    for name, value in average.detector.state_dict().items():
        torch.testing.assert_close(value, before[name] + 0.5)  # 1 - 1/2 of the old at the first
    own = list(model.teacher.parameters())
    assert not any(p.requires_grad for p in own)
    assert not {p.data_ptr() for p in own} & {p.data_ptr() for p in model.objectives.parameters()}

    state = model.state_dict()
    prefix = "teacher.objectives.strong_weak."
    kept = {k for k in state if k.startswith(prefix)}
    assert kept == {f"{prefix}updates", *(f"{prefix}{name}.ema" for name in before)}
    DetectionCheckpointer(model, str(tmp_path)).save("both")
    again = contextual_model("faster_rcnn", "MODEL.TEACHER.ENABLED", True)
    DetectionCheckpointer(again).load(str(tmp_path / "both.pth"))
    assert all(torch.equal(value, state[key]) for key, value in again.state_dict().items())
    assert "averages of objectives" not in caplog.text

    # What was saved before the teacher had averages of its own.
    again = contextual_model("faster_rcnn", "MODEL.TEACHER.ENABLED", True)
    again.load_state_dict({k: v for k, v in state.items() if k not in kept}, strict=False)
    assert "averages of objectives" in caplog.text
    theirs = again.teacher.objectives["strong_weak"].detector.state_dict()
    own = again.objectives["strong_weak"].state_dict()
    assert all(torch.equal(value, own[name]) for name, value in theirs.items())
    assert all(torch.equal(v, state[k]) for k, v in again.state_dict().items() if k not in kept)
