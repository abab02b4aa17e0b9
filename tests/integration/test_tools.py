"""The two training tools from their command lines."""

import math

import pytest
from detectron2.evaluation.testing import flatten_results_dict

from drfpn_da.config import argument_parser
from tests.scripts import load_tool
from tests.tiny_coco import CLASSES, register_tiny, tiny_cfg, write_tiny_coco


@pytest.fixture
def tiny(tmp_path):
    write_tiny_coco(tmp_path / "data")
    register_tiny("tiny_tools", tmp_path / "data")
    return tmp_path


def run(tool, *words):
    """Run a tool; return its results by flat name, without those that are not a number."""
    script = load_tool(tool)
    results = script.main(argument_parser().parse_args(list(words)))
    return {k: v for k, v in flatten_results_dict(results).items() if not math.isnan(v)}


def test_train_then_evaluate_the_same(tiny, capsys):
    cfg = tiny_cfg(tiny / "out", "tiny_tools")
    cfg.SOLVER.MAX_ITER = 2
    (tiny / "tiny.yaml").write_text(cfg.dump())
    trained = run("train_net", "--config-file", str(tiny / "tiny.yaml"))
    printed = capsys.readouterr().out
    assert f"bbox/AP {' ' * 22} {trained['bbox/AP']:8.3f}" in printed
    metrics = (tiny / "out" / "metrics.json").read_bytes()
    weights = str(tiny / "out" / "model_final.pth")

    with pytest.raises(FileExistsError, match="--resume"):
        run("train_net", "--config-file", str(tiny / "tiny.yaml"))
    words = ["--config-file", str(tiny / "tiny.yaml"), "--eval-only"]
    evaluated = run("train_net", *words, "MODEL.WEIGHTS", weights)
    assert evaluated == trained
    assert run("train_net", *words, "--resume") == trained
    assert (tiny / "out" / "metrics.json").read_bytes() == metrics


def test_test_time_augmentation(tiny):
    cfg = tiny_cfg(tiny / "out", "tiny_tools")
    cfg.TEST.AUG.ENABLED, cfg.TEST.AUG.MIN_SIZES, cfg.TEST.AUG.MAX_SIZE = True, (56, 64), 96
    (tiny / "tiny.yaml").write_text(cfg.dump())
    results = run("train_net", "--config-file", str(tiny / "tiny.yaml"), "--eval-only")
    assert {"bbox/AP", "bbox_TTA/AP"} <= set(results)


@pytest.fixture
def lazy_config(tiny):
    """A LazyConfig of detectron2's usual parts: its own loader, schedule and evaluator."""
    (tiny / "yaml.yaml").write_text(tiny_cfg(tiny / "out", "tiny_tools").dump())
    (tiny / "lazy.py").write_text(
        f"""
from detectron2.config import LazyCall as L
from detectron2.config import get_cfg
from detectron2.data import DatasetMapper, build_detection_test_loader
from detectron2.data import build_detection_train_loader, get_detection_dataset_dicts
from detectron2.data import transforms as T
from detectron2.evaluation import COCOEvaluator
from detectron2.model_zoo import get_config
from detectron2.modeling import build_model
from drfpn_da.config.setup import base_cfg

cfg = base_cfg()
cfg.merge_from_file({str(tiny / "yaml.yaml")!r})
model = L(build_model)(cfg=cfg)
dataloader = dict(
    train=L(build_detection_train_loader)(
        dataset=L(get_detection_dataset_dicts)(names="tiny_tools"),
        mapper=L(DatasetMapper)(
            is_train=True,
            augmentations=[L(T.RandomFlip)(horizontal=True)],
            image_format="BGR",
        ),
        total_batch_size=2,
        num_workers=0,
    ),
    test=L(build_detection_test_loader)(
        dataset=L(get_detection_dataset_dicts)(names="tiny_tools", filter_empty=False),
        mapper=L(DatasetMapper)(is_train=False, augmentations=[], image_format="BGR"),
    ),
    evaluator=L(COCOEvaluator)(dataset_name="tiny_tools"),
)
optimizer = get_config("common/optim.py").SGD
optimizer.lr = 0.005
lr_multiplier = get_config("common/coco_schedule.py").lr_multiplier_1x
train = get_config("common/train.py").train
train.update(output_dir={str(tiny / "lazy")!r}, max_iter=4, eval_period=0, log_period=1, seed=3)
train.checkpointer.period = 2
"""
    )
    return str(tiny / "lazy.py")


def test_lazy_config_trains_resumes_and_evaluates(tiny, lazy_config):
    def lazy(folder, *words):
        options = [f"train.output_dir={tiny / folder}"]
        flags = [word for word in words if word.startswith("--")]
        options += [word for word in words if not word.startswith("--")]
        return run("lazyconfig_train_net", "--config-file", lazy_config, *flags, *options)

    trained = lazy("straight")
    assert set(trained) > {"bbox/AP", *(f"bbox/AP-{name}" for name in CLASSES)}
    lazy("stopped", "train.max_iter=2")
    with pytest.raises(FileExistsError, match=r"train\.output_dir .* --resume"):
        lazy("stopped")
    assert lazy("stopped", "--resume") == trained
    weights = tiny / "straight" / "model_final.pth"
    assert lazy("straight", "--eval-only", f"train.init_checkpoint={weights}") == trained
