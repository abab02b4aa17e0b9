"""Mixed precision where a step runs networks both without gradients and with them.

Up to torch 2.8, autocast gives a pass with gradients the casts that a pass without left behind.
Newer torch does not, so that missing gradients alone would show the fault on some versions only:
the tests also ask that nothing that is trained runs without gradients while casts are kept.
"""

import contextlib

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils.events import EventStorage
from torch.nn.modules.module import register_module_forward_pre_hook

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


@contextlib.contextmanager
def nothing_trained_leaves_casts():
    """Inside the block, no trained layer may run without gradients while casts are kept."""
    found = []

    def look(module, inputs):
        if not torch.is_grad_enabled() and torch.is_autocast_cache_enabled():
            trained = any(p.requires_grad for p in module.parameters(recurse=False))
            found.extend([type(module).__name__] if trained else [])

    handle = register_module_forward_pre_hook(look)
    try:
        yield
    finally:
        handle.remove()
    assert not found


@pytest.mark.parametrize(
    "system",
    [
        soft_label_classifier,
        pseudo_label_with_contexts,
        dense_pseudo_label,
        depth_mix,
        multi_task,
        depth_from_video,
    ],
)
def test_mixed_precision_trains_what_full_precision_trains(system, tmp_path):
    model, inputs = system(tmp_path)
    model.train()
    trained = {}
    for enabled in (False, True):
        model.zero_grad(set_to_none=True)
        with EventStorage(1):
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                with nothing_trained_leaves_casts():
                    losses = model(inputs)
            sum(losses.values()).backward()
        trained[enabled] = [n for n, p in model.named_parameters() if p.grad is not None]
    assert trained[True] == trained[False] and trained[True]
    labellers = [n for n, p in model.named_parameters() if not p.requires_grad]
    assert all(model.get_parameter(name).grad is None for name in labellers)
