"""Every method that labels or draws in its training step: a small model and a batch for it."""

from __future__ import annotations

from detectron2.modeling import build_model

from tests.modeling import test_depth, test_multi_task, test_patch_classifier
from tests.objectives import test_dense_pseudo_label, test_depth_mix, test_pseudo_label
from tests.tiny_detectors import make_inputs
from tests.tiny_patches import tiny_patch_cfg


def soft_label_classifier(folder):
    model = build_model(tiny_patch_cfg(folder, "unused"))
    return test_patch_classifier.with_labels(model), test_patch_classifier.batch()


def pseudo_label_with_contexts(folder):
    model = test_pseudo_label.teaching_model(
        "faster_rcnn_fpn",
        *test_pseudo_label.SAFEGUARDS,
        *("MODEL.STRONG_WEAK.CONTEXT.ENABLED", True),
        objectives=["StrongWeakAlignment", "PseudoLabel"],
    )
    return model, [*make_inputs(), *test_pseudo_label.make_views()]


def dense_pseudo_label(folder):
    model = test_dense_pseudo_label.build(*test_dense_pseudo_label.ALL)
    return model, [*make_inputs(), *test_dense_pseudo_label.views()]


def depth_mix(folder):
    return test_depth_mix.build(), [*make_inputs(), *test_depth_mix.targets()]


def multi_task(folder):
    model = test_multi_task.multi_task()
    return model, [*make_inputs(), *test_multi_task.sequences()]


def depth_from_video(folder):
    model = test_depth.tiny_model("MODEL.DEPTH.FEATURE_DISTANCE_WEIGHT", 1.0)
    return model, test_depth.make_samples((64, 96), (64, 96))


SYSTEMS = [
    soft_label_classifier,
    pseudo_label_with_contexts,
    dense_pseudo_label,
    depth_mix,
    multi_task,
    depth_from_video,
]
