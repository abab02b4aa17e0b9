"""What several processes hold alike, and what of each is saved: exact resume, one model judged."""

import types

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.utils import comm

from drfpn_da.data import register_image_folder
from drfpn_da.engine import Trainer
from drfpn_da.engine.hooks import RunningNormalizer
from drfpn_da.functional.generators import step_generator
from tests.tiny_coco import register_tiny, tiny_cfg, write_tiny_coco
from tests.two_processes import run_in_two_processes


def self_trained_cfg(output):
    """RetinaNet with batch norms that learns a teacher's labels, four pictures a process."""
    cfg = retinanet_cfg(output)
    cfg.DATASETS.TARGET = ("processes_target",)
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.ADAPT.DETECTOR = "AdaptiveModel", "RetinaNet"
    cfg.MODEL.ADAPT.OBJECTIVES = ["PseudoLabel"]
    cfg.MODEL.PSEUDO_LABEL.THRESHOLD = 0.01
    cfg.INPUT.TARGET_VIEWS = ["weak", "strong"]
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.CHECKPOINT_PERIOD = 4, (), 2
    return cfg


def retinanet_cfg(output):
    cfg = tiny_cfg(output, "processes_source")
    cfg.DATASETS.TEST = ()
    cfg.MODEL.META_ARCHITECTURE = "RetinaNet"
    cfg.MODEL.RESNETS.NORM = "BN"
    cfg.MODEL.RETINANET.NUM_CLASSES = 2
    cfg.MODEL.RETINANET.NUM_CONVS = 1
    cfg.MODEL.RETINANET.IN_FEATURES = ["p2", "p3", "p4", "p5"]
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[8], [16], [32], [64]]
    return cfg


def train_in_two(folder):
    """A run, the same with a stop, and one with PreciseBN; save what each process has."""
    torch.set_num_threads(1)
    register_tiny("processes_source", folder / "source")
    register_image_folder("processes_target", str(folder / "target" / "images"))
    stopped = Trainer(self_trained_cfg(folder / "stopped"))
    stopped.max_iter = 2
    stopped.train()
    resumed = Trainer(self_trained_cfg(folder / "stopped"))
    resumed.resume_or_load(resume=True)
    resumed.train()
    drawn = [step_generator(3).initial_seed()]
    cfg = self_trained_cfg(folder / "straight")
    cfg.DATASETS.TEST, cfg.VIS_PERIOD, cfg.TEST.VIS_IMAGES = ("processes_source",), 4, 3
    straight, judged = Trainer(cfg), []
    model = straight.model.module

    def note(*_):
        if not model.training:
            judged.append(statistics(model))

    model.register_forward_pre_hook(note)
    straight.train()
    drawn.append(step_generator(3).initial_seed())
    cfg = retinanet_cfg(folder / "precise")
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = 1, ()
    cfg.TEST.PRECISE_BN.ENABLED, cfg.TEST.PRECISE_BN.NUM_ITER = True, 1
    precise = Trainer(cfg)
    precise.train()
    found = {
        "straight": model.state_dict(),
        "resumed": resumed.model.module.state_dict(),
        "normalizers": [t.model.module.detector.loss_normalizer for t in (straight, resumed)],
        "drawn": drawn,
        "judged": judged[0],
        "precise": statistics(precise.model.module),
    }
    torch.save(found, folder / f"{comm.get_rank()}.pth")


def statistics(model):
    return torch.cat([v.clone() for k, v in model.state_dict().items() if ".running_" in k])


def test_two_processes_resume_exactly_and_judge_one_model(tmp_path):
    write_tiny_coco(tmp_path / "source")
    write_tiny_coco(tmp_path / "target", count=4)
    run_in_two_processes(train_in_two, tmp_path)
    ranks = [torch.load(tmp_path / f"{rank}.pth", weights_only=True) for rank in range(2)]
    for found in ranks:
        for kind in ("straight", "resumed"):  # student and teacher, on both processes
            assert found[kind].keys() == ranks[0]["straight"].keys()
            for key, value in ranks[0]["straight"].items():
                assert torch.equal(found[kind][key], value), key
        assert found["normalizers"][0] == found["normalizers"][1]
    # The processes' own running numbers of positives stay their own.
    assert ranks[0]["normalizers"] != ranks[1]["normalizers"]
    # So do their random numbers, and a resumed run draws those of its iterations.
    assert ranks[0]["drawn"] != ranks[1]["drawn"]
    assert all(found["drawn"][0] == found["drawn"][1] for found in ranks)
    for kind in ("judged", "precise"):
        assert torch.equal(ranks[0][kind], ranks[1][kind])
    pictures = sorted(p.name for p in (tmp_path / "straight" / "predictions").iterdir())
    assert pictures == [f"picture_{i}_0000004.png" for i in range(3)]


@pytest.mark.parametrize("saved", [[2.0, 6.0], 4.0], ids=["of two processes", "one number"])
def test_running_numbers_of_other_processes_are_averaged(tmp_path, saved):
    cfg = retinanet_cfg(tmp_path)
    hook = RunningNormalizer()
    hook.trainer = types.SimpleNamespace(model=build_model(cfg))
    hook.load_state_dict({"": saved})
    assert hook.trainer.model.loss_normalizer == 4.0
    assert hook.state_dict() == {"": [4.0]}
