"""Label repair while a detector is adapted: both at once, with a teacher, and exact resume."""

import pytest

from drfpn_da.engine import Trainer
from drfpn_da.labels import read_journal
from tests.engine.relabelling import relabel_cfg, relabel_hook, watch_labels
from tests.tiny_coco import register_tiny_domains
from tests.training import assert_resumes_exactly


@pytest.fixture(scope="module", autouse=True)
def domains(tmp_path_factory):
    register_tiny_domains(tmp_path_factory.mktemp("relabel_domains"), "relabelled", targets=4)


@pytest.fixture
def build(tmp_path):
    def build(name, workers):
        cfg = relabel_cfg(tmp_path / name, "relabelled_source")
        cfg.DATASETS.TARGET = ("relabelled_target",)
        cfg.MODEL.META_ARCHITECTURE = "AdaptiveModel"
        cfg.MODEL.ADAPT.OBJECTIVES = ["StrongWeakAlignment"]
        cfg.MODEL.STRONG_WEAK.GLOBAL.CHANNELS = [64, 64, 64]
        cfg.MODEL.STRONG_WEAK.CONTEXT.ENABLED = True
        cfg.MODEL.TEACHER.ENABLED = True
        cfg.SOLVER.TARGET_IMS_PER_BATCH = 2
        cfg.DATALOADER.NUM_WORKERS = workers
        return Trainer(cfg)

    return build


def test_source_labels_are_corrected_for_the_student_alone(build):
    trainer = build("run", 2)
    model = trainer.model
    steps = watch_labels(trainer)
    trainer.train()
    given = relabel_hook(trainer)._annotations.classes
    assert any(seen != given[i] for step in steps for i, (seen, _) in step.items())
    assert all(seen == recorded for step in steps for seen, recorded in step.values())
    assert model.detector.roi_heads.corrected_classes is not None
    assert model.teacher.detector.roi_heads.corrected_classes is None


def test_resume_is_bit_exact_and_so_is_the_journal(build, tmp_path):
    assert_resumes_exactly(build, 0)
    journals = [(tmp_path / n / "relabels.jsonl").read_bytes() for n in ("straight", "stopped")]
    assert journals[0] == journals[1]
    assert read_journal(tmp_path / "straight" / "relabels.jsonl").entries
