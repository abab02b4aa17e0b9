"""Training with a teacher that labels the target: exact resume of DepthMix and of PseudoLabel."""

import numpy as np
import pytest
from PIL import Image

from drfpn_da.engine import Trainer
from drfpn_da.visualization.layout import GAP, TITLE_SIZE
from tests.tiny_coco import register_tiny, register_tiny_domains, tiny_cfg
from tests.training import assert_resumes_exactly


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = register_tiny_domains(tmp_path_factory.mktemp("selftrain"), "selftrain", targets=6)
    register_tiny("selftrain_sem_seg", folder / "source", sem_seg=True)
    rng = np.random.default_rng(0)
    (folder / "disparity").mkdir()
    for path in (folder / "target" / "images").iterdir():
        with Image.open(path) as image:
            disparity = rng.random((image.height, image.width), dtype=np.float32)
        np.save(folder / "disparity" / f"{path.stem}.npy", disparity)
    return folder


def depth_mix(output, folder):
    cfg = tiny_cfg(output, "selftrain_sem_seg", sem_seg=True)
    cfg.MODEL.META_ARCHITECTURE = "DepthMixSegmentor"
    cfg.MODEL.DEPTH_MIX.CONFIDENCE_RULE = "off"
    cfg.INPUT.DISPARITY.ENABLED, cfg.INPUT.DISPARITY.ROOT = True, str(folder / "disparity")
    return cfg


def pseudo_label(output, folder):
    cfg = tiny_cfg(output, "selftrain_source")
    cfg.MODEL.META_ARCHITECTURE = "AdaptiveModel"
    cfg.MODEL.ADAPT.OBJECTIVES = ["StrongWeakAlignment", "PseudoLabel"]
    cfg.MODEL.STRONG_WEAK.GLOBAL.CHANNELS = [64, 64, 64]
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.0
    node = cfg.MODEL.PSEUDO_LABEL
    # An untrained teacher is sure of nothing.
    node.THRESHOLD, node.SOFT, node.BOX_REGRESSION = 0.3, True, "reliable"
    node.PRIOR.WEIGHT, node.ENTROPY_WEIGHT, node.RAMP_ITERS = 0.1, 0.1, 5
    node.ADAPTIVE.ENABLED, node.ADAPTIVE.FLOOR = True, 0.2
    cfg.INPUT.TARGET_VIEWS = ["weak", "strong"]
    return cfg


@pytest.mark.parametrize("method", [depth_mix, pseudo_label])
def test_resume_is_bit_exact(folder, tmp_path, method):
    def build(name, workers):
        cfg = method(tmp_path / name, folder)
        cfg.DATASETS.TEST = ()
        cfg.DATASETS.TARGET = ("selftrain_target",)
        cfg.MODEL.TEACHER.DECAY = 0.9
        cfg.SOLVER.TARGET_IMS_PER_BATCH = 2
        cfg.SOLVER.CHECKPOINT_PERIOD = 3
        cfg.DATALOADER.NUM_WORKERS = workers
        return Trainer(cfg)

    assert_resumes_exactly(build, 2)


def test_mixes_are_drawn_now_and_then(folder, tmp_path):
    cfg = depth_mix(tmp_path, folder)
    cfg.DATASETS.TEST, cfg.DATASETS.TARGET = (), ("selftrain_target",)
    cfg.SOLVER.TARGET_IMS_PER_BATCH, cfg.SOLVER.MAX_ITER, cfg.VIS_PERIOD = 2, 3, 2
    trainer = Trainer(cfg)
    drawn = {}
    objective = trainer.model.objectives["depth_mix"]
    hook = next(h for h in trainer._hooks if type(h).__name__ == "MixPictures")
    draw = hook.after_step

    def after_step():
        draw()
        drawn[trainer.iter + 1] = objective.last

    hook.after_step = after_step
    trainer.train()
    files = sorted(path.name for path in (tmp_path / "mixes").iterdir())
    assert files == ["0_0000002.png", "1_0000002.png"]
    for i, mask in enumerate(drawn[2].masks.numpy()):
        strip = np.asarray(Image.open(tmp_path / "mixes" / f"{i}_0000002.png"))
        height, width = mask.shape
        left = GAP + 4 * (width + GAP)
        top = GAP + TITLE_SIZE + GAP
        cell = strip[top : top + height, left : left + width, 0]
        assert np.array_equal(cell == 255, mask)
