"""Two small domains, a project's config, and its trainer with the three lines of drfpn_da."""

from __future__ import annotations

import pytest
from detectron2.engine import DefaultTrainer
from detectron2.evaluation import COCOEvaluator, SemSegEvaluator

import drfpn_da
from tests.foreign import detectors  # noqa: F401  (registers them)
from tests.tiny_coco import register_tiny, register_tiny_domains, tiny_cfg


@pytest.fixture(scope="session")
def domains(tmp_path_factory):
    """The folder of the data sets foreign_source, foreign_target and foreign_labels."""
    folder = register_tiny_domains(tmp_path_factory.mktemp("domains"), "foreign", 4)
    register_tiny("foreign_labels", folder / "source", sem_seg=True)
    return folder


@pytest.fixture
def config(domains, tmp_path):
    """Returns the config of a project: ``config(architecture, *options)``."""

    def build(architecture, *options):
        cfg = tiny_cfg(tmp_path, "foreign_source")
        cfg.MODEL.META_ARCHITECTURE = architecture
        cfg.DATASETS.TARGET = ("foreign_target",)
        cfg.MODEL.ADAPT.OBJECTIVES = ["StrongWeakAlignment"]
        cfg.MODEL.STRONG_WEAK.LOCAL.CHANNELS = [16, 16]
        cfg.MODEL.STRONG_WEAK.GLOBAL.CHANNELS = [32, 32, 32]
        cfg.MODEL.STRONG_WEAK.GLOBAL.NORM = ""
        cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_ITER = 2, 4
        cfg.SOLVER.STEPS, cfg.SOLVER.CHECKPOINT_PERIOD = (3,), 2
        cfg.merge_from_list(list(options))
        return cfg

    return build


class TheirTrainer(DefaultTrainer):
    """A project's own: evaluation with detectron2's evaluators."""

    @classmethod
    def build_evaluator(cls, cfg, dataset_name, output_folder=None):
        if dataset_name == "foreign_labels":
            return SemSegEvaluator(dataset_name, distributed=False)
        return COCOEvaluator(dataset_name, ("bbox",), False, output_dir=cfg.OUTPUT_DIR)


class Mine(TheirTrainer):
    """The three lines."""

    @classmethod
    def build_model(cls, cfg):
        return drfpn_da.adapt(super().build_model(cfg), cfg)

    @classmethod
    def build_train_loader(cls, cfg):
        return drfpn_da.add_target(super().build_train_loader(cfg), cfg)

    def build_hooks(self):
        return drfpn_da.add_hooks(super().build_hooks(), self.cfg, self.model)
