"""Training with a teacher that labels the target: exact resume of each objective."""

import json
import shutil

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, DatasetMapper
from detectron2.engine import HookBase
from detectron2.evaluation import inference_context
from PIL import Image

from drfpn_da.engine import Trainer
from drfpn_da.modeling.meta_arch.adaptive import preprocess
from drfpn_da.modeling.sem_seg_logits import semantic_logits
from drfpn_da.visualization.layout import GAP, TITLE_SIZE
from tests.tiny_coco import register_tiny, register_tiny_domains, tiny_cfg, write_disparity
from tests.training import assert_resumes_exactly

NAME = "dense_pseudo_label"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = register_tiny_domains(tmp_path_factory.mktemp("selftrain"), "selftrain", targets=6)
    register_tiny("selftrain_sem_seg", folder / "source", sem_seg=True)
    write_disparity(folder)
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


def dense_pseudo_label(output, folder):
    cfg = tiny_cfg(output, "selftrain_sem_seg", sem_seg=True)
    cfg.MODEL.META_ARCHITECTURE = "AdaptiveModel"
    cfg.MODEL.ADAPT.DETECTOR = "SemanticSegmentor"
    cfg.MODEL.ADAPT.OBJECTIVES = ["DensePseudoLabel"]
    cfg.MODEL.TEACHER.PERIOD = 2  # the stop is amid a period
    node = cfg.MODEL.PSEUDO_LABEL
    node.THRESHOLD, node.SOFT, node.MIXUP_ALPHA = 0.0, True, 4.0
    node.PRIOR.WEIGHT, node.ENTROPY_WEIGHT, node.RAMP_ITERS = 0.1, 0.1, 5
    node.ADAPTIVE.ENABLED, node.ADAPTIVE.FLOOR = True, 0.0
    cfg.INPUT.TARGET_VIEWS = ["weak", "strong"]
    return cfg


def stored_labels(output, folder):
    cfg = dense_pseudo_label(output, folder)
    cfg.INPUT.CROP.ENABLED = True
    node = cfg.MODEL.PSEUDO_LABEL.STORE
    node.ENABLED, node.PERIOD, node.STRIDE = True, 2, 2
    return cfg


@pytest.mark.parametrize("method", [depth_mix, pseudo_label, dense_pseudo_label, stored_labels])
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


def test_labels_of_the_first_round_outlive_a_stop(folder, tmp_path):
    trainers = []

    def build(name, workers):
        cfg = dense_pseudo_label(tmp_path / name, folder)
        cfg.DATASETS.TEST, cfg.DATASETS.TARGET = (), ("selftrain_target",)
        cfg.SOLVER.TARGET_IMS_PER_BATCH = 2
        cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.CHECKPOINT_PERIOD = 2, (), 1
        node = cfg.MODEL.PSEUDO_LABEL.MONITOR
        node.DATASET, node.PERIOD = cfg.DATASETS.TRAIN[0], 2
        trainers.append(Trainer(cfg))
        return trainers[-1]

    assert_resumes_exactly(build, 0, stop=1)
    name = "pseudo_label_quality/stickiness"
    straight, resumed = (trainers[i].storage.histories()[name].values() for i in (0, -1))
    assert resumed == straight[-1:]


def short_trainer(cfg, steps):
    """A trainer of a few steps with two target pictures each, and no test."""
    cfg.DATASETS.TEST, cfg.DATASETS.TARGET = (), ("selftrain_target",)
    cfg.SOLVER.TARGET_IMS_PER_BATCH = 2
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = steps, ()
    return Trainer(cfg)


def trained(cfg):
    trainer = short_trainer(cfg, 2)
    trainer.train()
    return trainer


@pytest.mark.parametrize("method", [pseudo_label, dense_pseudo_label, stored_labels])
def test_labels_are_measured_without_being_learnt(folder, tmp_path, method):
    plain = trained(method(tmp_path / "plain", folder))
    cfg = method(tmp_path / "watched", folder)
    node = cfg.MODEL.PSEUDO_LABEL.MONITOR
    node.DATASET, node.PERIOD = cfg.DATASETS.TRAIN[0], 1
    watched = trained(cfg)
    for a, b in zip(plain.model.parameters(), watched.model.parameters()):
        assert torch.equal(a, b)
    history = watched.storage.histories()["pseudo_label_quality/class_divergence"].values()
    assert [at for _, at in history] == [0, 0, 1]
    assert len(list((tmp_path / "watched").glob("pseudo_label_reliability_*.png"))) == 3
    hook = next(h for h in watched._hooks if type(h).__name__ == "PseudoLabelMonitor")
    assert hook.state_dict()["first"]
    assert json.loads((tmp_path / "watched" / "metrics.json").read_text().splitlines()[-1])


def test_stored_labels_are_what_the_student_says_of_the_whole_picture(folder, tmp_path):
    cfg = stored_labels(tmp_path / "out", folder)

    class Note(HookBase):
        def before_step(self):
            if self.trainer.iter != 1:  # amid the period
                return
            model, store = self.trainer.model, self.trainer.model.objectives[NAME].store
            assert store.current == 0 and model.teacher is None
            record = DatasetCatalog.get("selftrain_target")[2]
            seen.append((store.read(record["file_name"]), record))

        def before_train(self):
            model = self.trainer.model
            with inference_context(model.detector), torch.no_grad():
                for record in DatasetCatalog.get("selftrain_target"):
                    inputs = [DatasetMapper(cfg, False)(record)]
                    images = preprocess(model.detector, inputs)
                    height, width = inputs[0]["image"].shape[-2:]
                    logits = semantic_logits(model.detector, images)[0, :, :height, :width]
                    first[record["file_name"]] = logits.softmax(0)

    seen, first = [], {}
    trainer = short_trainer(cfg, 3)
    trainer.register_hooks([Note()])
    trainer.train()
    ((label, record),) = seen
    whole = torch.nn.functional.adaptive_avg_pool2d(first[record["file_name"]], label.shape[-2:])
    torch.testing.assert_close(label, whole, atol=2e-3, rtol=0)
    assert (tmp_path / "out" / "dense_soft_labels" / "round_0000002").is_dir()
    # Gone: the run says so, labels anew and goes on.
    shutil.rmtree(tmp_path / "out" / "dense_soft_labels")
    cfg.SOLVER.MAX_ITER = 4
    resumed = Trainer(cfg)
    resumed.resume_or_load(resume=True)
    resumed.train()
    assert (tmp_path / "out" / "dense_soft_labels" / "round_0000003").is_dir()


def test_stored_labels_are_of_the_teacher_of_their_iteration(folder, tmp_path):
    """A snapshot that is renewed at the rounds' iterations is the student of then."""
    cfg = stored_labels(tmp_path / "out", folder)
    cfg.MODEL.TEACHER.ENABLED, cfg.MODEL.TEACHER.DECAY = True, 0.0
    cfg.MODEL.PSEUDO_LABEL.START_ITER = cfg.MODEL.TEACHER.START_ITER = 2
    trainer = short_trainer(cfg, 5)

    def head(detector):
        return detector.sem_seg_head.predictor.weight.detach().clone()

    class Note(HookBase):
        def before_step(self):
            students[self.trainer.iter] = head(self.trainer.model.detector)
            teachers[self.trainer.iter] = head(self.trainer.model.teacher.detector)

    students, teachers = {}, {}
    trainer.register_hooks([Note()])  # the last: after those that label and measure
    trainer.train()
    assert not torch.equal(students[1], students[2])
    for iteration in (2, 4):
        assert torch.equal(teachers[iteration], students[iteration])
    assert torch.equal(teachers[3], students[2])
    rounds = sorted(path.name for path in (tmp_path / "out" / "dense_soft_labels").glob("round*"))
    assert rounds == ["round_0000004"]


def test_the_first_labels_that_are_measured_are_those_of_the_first_step(folder, tmp_path):
    cfg = dense_pseudo_label(tmp_path / "out", folder)
    cfg.MODEL.PSEUDO_LABEL.MONITOR.DATASET = cfg.DATASETS.TRAIN[0]
    cfg.MODEL.PSEUDO_LABEL.MONITOR.PERIOD = 100
    cfg.MODEL.PSEUDO_LABEL.START_ITER = cfg.MODEL.TEACHER.START_ITER = 1
    trainer = short_trainer(cfg, 2)

    class Compare(HookBase):
        def before_step(self):
            model = self.trainer.model
            pairs = zip(model.teacher.detector.parameters(), model.detector.parameters())
            equal.append(all(torch.equal(mine, its) for mine, its in pairs))

    equal = []
    trainer.register_hooks([Compare()])
    trainer.train()
    assert equal == [True, True]


def test_a_second_training_goes_on_with_the_teacher_of_its_weights(folder, tmp_path):
    def run(name, steps, weights=""):
        cfg = dense_pseudo_label(tmp_path / name, folder)
        cfg.DATASETS.TEST, cfg.DATASETS.TARGET = (), ("selftrain_target",)
        cfg.SOLVER.TARGET_IMS_PER_BATCH = 2
        cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.MODEL.WEIGHTS = steps, (), str(weights)
        cfg.MODEL.TEACHER.PERIOD, cfg.MODEL.TEACHER.DECAY = 1, 0.5
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=False)
        trainer.train()
        return trainer.model

    first = run("first", 3)
    second = run("second", 1, tmp_path / "first" / "model_final.pth")
    assert first.teacher.updates == 2 and second.teacher.updates == 3
    before, student, after = (
        dict(net.named_parameters())
        for net in (first.teacher.detector, first.detector, second.teacher.detector)
    )
    assert any(not torch.equal(before[name], student[name]) for name in before)
    for name, value in after.items():
        torch.testing.assert_close(value, (before[name] + student[name]) / 2)


def test_stored_labels_need_who_learns_and_who_writes(folder, tmp_path):
    cfg = stored_labels(tmp_path / "a", folder)
    cfg.MODEL.ADAPT.OBJECTIVES = ["DepthMix"]
    cfg.MODEL.DEPTH_MIX.MASK = "cut"
    with pytest.raises(ValueError, match="no objective learns from stored labels"):
        trained(cfg)
    cfg = stored_labels(tmp_path / "b", folder)
    cfg.DATASETS.TEST, cfg.DATASETS.TARGET = (), ("selftrain_target",)
    trainer = Trainer(cfg)
    trainer._hooks = [h for h in trainer._hooks if type(h).__name__ != "DenseLabelHook"]
    with pytest.raises(RuntimeError, match=r"DenseLabelHook\.from_config"):
        trainer.train()


def test_a_monitor_needs_a_teacher_and_a_period(folder, tmp_path):
    cfg = dense_pseudo_label(tmp_path / "none", folder)
    cfg.MODEL.PSEUDO_LABEL.MONITOR.DATASET = "selftrain_sem_seg"
    cfg.TEST.EVAL_PERIOD = 0
    with pytest.raises(ValueError, match=r"MONITOR\.PERIOD and TEST\.EVAL_PERIOD are both 0"):
        trained(cfg)
    cfg.MODEL.PSEUDO_LABEL.MONITOR.PERIOD = 1
    cfg.MODEL.ADAPT.OBJECTIVES = ["StrongWeakAlignment"]
    cfg.OUTPUT_DIR = str(tmp_path / "other")
    with pytest.raises(ValueError, match="no objective makes any"):
        trained(cfg)


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
