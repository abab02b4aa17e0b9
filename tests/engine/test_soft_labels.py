"""Training with soft labels: exact resume amid an epoch, epochs, evaluation."""

import json

import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.engine import HookBase

from drfpn_da.data import validate_datasets
from drfpn_da.engine import SoftLabelHook, Trainer
from tests.integration.two_patch_processes import soft_label_hook
from tests.tiny_patches import CLASSES, register_tiny_patches, tiny_patch_cfg
from tests.training import assert_resumes_exactly


@pytest.fixture(scope="module")
def name(tmp_path_factory):
    # 8 labelled and 12 others: three batches of 2 + 4 an epoch.
    register_tiny_patches("soft_tiny", tmp_path_factory.mktemp("soft") / "pictures", count=20)
    return "soft_tiny"


def test_resume_amid_an_epoch_is_bit_exact(name, tmp_path):
    trainers = []

    def build(folder, workers):
        cfg = tiny_patch_cfg(tmp_path / folder, name)
        cfg.MODEL.SOFT_LABELS.WARMUP_ITERS = 1
        cfg.DATALOADER.NUM_WORKERS = workers
        cfg.SOLVER.CHECKPOINT_PERIOD = 3
        trainers.append(Trainer(cfg))
        return trainers[-1]

    assert_resumes_exactly(build, 2)
    straight, _, resumed = (soft_label_hook(trainer).state_dict() for trainer in trainers)
    assert straight["store"]["epochs"] == resumed["store"]["epochs"] == 1
    for key in ("table", "next", "visited"):
        assert torch.equal(straight["store"][key], resumed["store"][key])
    assert torch.equal(straight["first"], resumed["first"])


def train(name, folder, *options):
    cfg = tiny_patch_cfg(folder, name)
    cfg.merge_from_list(list(options))
    trainer = Trainer(cfg)
    hook = soft_label_hook(trainer)
    tables = []
    trainer.register_hooks([_After(lambda: tables.append(hook.store.table.clone()))])
    trainer.train()
    return trainer, hook, tables


class _After(HookBase):
    """Calls a function after each step."""

    def __init__(self, function):
        self.after_step = function


def test_labels_hold_for_an_epoch_and_given_ones_for_ever(name, tmp_path):
    _, _, tables = train(name, tmp_path, "MODEL.SOFT_LABELS.WARMUP_ITERS", 1)
    for table in tables:
        assert torch.equal(table[:8], tables[0][:8]) and set(table[:8].unique().tolist()) == {0, 1}
    for table in tables[1:]:
        torch.testing.assert_close(table.sum(dim=1), torch.ones(20))
    assert not tables[0][8:].any(), "no label before the warm-up is over"
    assert torch.equal(tables[1], tables[2])
    # The fourth step ends the first epoch of three. Its first batch of four was labelled by the
    # same weights as all were after the warm-up.
    assert int((tables[3][8:] != tables[2][8:]).any(dim=1).sum()) == 8
    assert torch.equal(tables[3], tables[5])


@pytest.mark.parametrize("zero", [False, True])
def test_pictures_left_out_keep_their_label_or_train_on_zero(name, tmp_path, zero):
    options = ("SOLVER.IMS_PER_BATCH", 7, "SOLVER.MAX_ITER", 2, "SOLVER.STEPS", "(1,)")
    _, hook, tables = train(name, tmp_path, *options, "MODEL.SOFT_LABELS.ZERO_UNVISITED", zero)
    # Two batches of five others: two of the twelve are left out. The first five get the label they
    # have, by the same weights.
    unchanged = (tables[1][8:] == tables[0][8:]).all(dim=1)
    zeros = (tables[1][8:] == 0).all(dim=1)
    assert (int(unchanged.sum()), int(zeros.sum())) == ((5, 2) if zero else (7, 0))
    assert hook.store.epochs == 1


def test_monitor_measures_what_training_never_sees(name, tmp_path):
    options = ("MODEL.SOFT_LABELS.WARMUP_ITERS", 1, "SOLVER.MAX_ITER", 4, "SOLVER.STEPS", "(3,)")
    (tmp_path / "without").mkdir()
    plain, _, before = train(name, tmp_path / "without", *options)
    trainer, hook, tables = train(
        name, tmp_path / "with", *options, "MODEL.SOFT_LABELS.MONITOR", True
    )
    assert all(torch.equal(a, b) for a, b in zip(before, tables))
    for a, b in zip(plain.model.parameters(), trainer.model.parameters()):
        assert torch.equal(a, b)
    logged = {k: v[0] for k, v in trainer.storage.latest().items() if k.startswith("soft_labels/")}
    truth = torch.as_tensor(hook._truth)
    first, now = tables[1][8:].argmax(1), tables[3][8:].argmax(1)
    assert logged["soft_labels/accuracy"] == pytest.approx(float((now == truth).float().mean()))
    wrong = first != truth
    assert logged["soft_labels/stickiness"] == pytest.approx(
        float((now[wrong] == first[wrong]).float().mean())
    )
    assert logged["soft_labels/changed"] == pytest.approx(float((first != now).float().mean()))
    assert 0 <= logged["soft_labels/calibration_error"] <= 1
    assert logged["soft_labels/class_divergence"] >= 0
    assert "soft_labels/accuracy" not in plain.storage.latest()


def test_other_training_data_cannot_be_resumed(name, tmp_path):
    train(name, tmp_path, "SOLVER.MAX_ITER", 2, "SOLVER.STEPS", "(1,)")
    cfg = tiny_patch_cfg(tmp_path, name)
    cfg.DATASETS.LABELLED.SEED += 1
    with pytest.raises(ValueError, match="of other pictures or given labels"):
        Trainer(cfg).resume_or_load(resume=True)


def test_hook_refuses_what_it_cannot_label(name, tmp_path):
    cfg = tiny_patch_cfg(tmp_path, name)
    hook = SoftLabelHook.from_config(cfg)
    cfg.MODEL.META_ARCHITECTURE = "PatchClassifier"
    trainer = Trainer(cfg)
    trainer.register_hooks([hook])
    with pytest.raises(ValueError, match="SoftLabelClassifier, not PatchClassifier"):
        hook.before_train()


def test_classifier_learns_and_is_evaluated_from_metadata(name, tmp_path):
    cfg = tiny_patch_cfg(tmp_path, name)
    cfg.MODEL.META_ARCHITECTURE = "PatchClassifier"
    cfg.DATASETS.LABELLED.COUNT = 0
    cfg.DATASETS.TEST = (name,)
    cfg.MODEL.PATCH_CLASSIFIER.DROPOUT = 0.0
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.BASE_LR, cfg.TEST.EVAL_PERIOD = 40, 0.1, 40
    validate_datasets(cfg)
    results = Trainer(cfg).train()
    assert results["classification"]["accuracy"] > 90
    metrics = json.loads((tmp_path / "metrics.json").read_text().splitlines()[-1])
    assert metrics["classification/accuracy"] == results["classification"]["accuracy"]
    cfg.MODEL.PATCH_CLASSIFIER.NUM_CLASSES = 7
    with pytest.raises(ValueError, match=f"NUM_CLASSES is 7, but .* {len(CLASSES)} classes"):
        validate_datasets(cfg)
    assert MetadataCatalog.get(name).thing_classes == list(CLASSES)
