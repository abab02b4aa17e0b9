"""Gradient accumulation and the linear scaling rule."""

import pytest
import torch
from detectron2.engine import SimpleTrainer
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import nn

from drfpn_da.config.setup import base_cfg
from drfpn_da.engine import Trainer, accumulate_gradients, scale_to_processes
from drfpn_da.engine.step import CPUAMPTrainer
from drfpn_da.functional.generators import step_generator
from tests.tiny_coco import register_tiny_domains, tiny_cfg
from tests.training import assert_resumes_exactly, losses
from tests.two_processes import run_in_two_processes


class Regression(nn.Module):
    """A loss that is a mean over the pictures, and another of a parameter alone."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.seen = []

    def forward(self, batch):
        self.seen.append([x["number"] for x in batch])
        rows = torch.stack([x["row"] for x in batch])
        output = self.layer(rows)
        self.dtype = output.dtype
        return {"fit": (output.float() ** 2).mean(), "size": self.layer.bias.square().sum()}


def batches(first=0, share=slice(None)):
    generator = torch.Generator().manual_seed(5)
    while True:
        rows = torch.randn(8, 3, generator=generator)
        yield [{"row": row, "number": i} for i, row in enumerate(rows)][share]


def regress(steps, kind=SimpleTrainer, model=None, share=slice(None)):
    torch.manual_seed(3)
    model = model or Regression()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    trainer = kind(model, batches(share=share), optimizer)
    accumulate_gradients(trainer, steps)
    trainer.train(0, 3)
    return trainer


@pytest.mark.parametrize("kind", [SimpleTrainer, CPUAMPTrainer])
@pytest.mark.parametrize("steps", [2, 4])
def test_parts_add_up_to_the_batch(kind, steps):
    whole, parts = regress(1, kind), regress(steps, kind)
    tolerance = {"atol": 1e-2, "rtol": 0} if kind is CPUAMPTrainer else {}
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(parts.model.state_dict()[name], value, **tolerance)
    for name, values in losses(whole).items():
        assert losses(parts)[name] == pytest.approx(values, abs=1e-2), name
    assert parts.model.dtype == (torch.bfloat16 if kind is CPUAMPTrainer else torch.float32)
    # Strided: of a batch of two streams, each part has as much of either.
    assert parts.model.seen[:steps] == [list(range(i, 8, steps)) for i in range(steps)]


def test_a_batch_that_does_not_divide_is_named():
    with pytest.raises(ValueError, match=r"8 pictures.*ACCUMULATION_STEPS 3"):
        regress(3)


def test_an_infinite_loss_of_the_first_part_stops_before_the_step():
    model = Regression()
    before = model.layer.weight.detach().clone()
    forward = model.forward

    def poisoned(batch):
        found = forward(batch)
        found["fit"] = found["fit"] * (float("nan") if len(model.seen) == 1 else 1)
        return found

    model.forward = poisoned
    with pytest.raises(FloatingPointError):
        regress(2, model=model)
    assert torch.equal(model.layer.weight, before)


def regress_in_two(folder):
    """Two processes with four of the eight pictures each, in two parts."""
    torch.set_num_threads(1)
    torch.manual_seed(3)
    model = nn.parallel.DistributedDataParallel(Regression())
    exchanged = []
    model.register_comm_hook(None, lambda _, bucket: _counted(exchanged, bucket))
    regress(2, model=model, share=slice(comm.get_rank(), None, 2))
    torch.save((model.module.state_dict(), len(exchanged)), folder / f"{comm.get_rank()}.pt")


def _counted(exchanged, bucket):
    exchanged.append(bucket.index())
    work = torch.distributed.all_reduce(bucket.buffer().div_(2), async_op=True)
    return work.get_future().then(lambda done: done.value()[0])


def test_two_processes_exchange_gradients_once_per_step(tmp_path):
    run_in_two_processes(regress_in_two, tmp_path)
    whole = regress(1).model.state_dict()
    for rank in range(2):
        found, exchanges = torch.load(tmp_path / f"{rank}.pt")
        assert exchanges == 3
        for name, value in whole.items():
            torch.testing.assert_close(found[name], value)


class Drawing(Regression):
    """Notes what it draws in each part."""

    def __init__(self):
        super().__init__()
        self.drawn = []

    def forward(self, batch):
        generator = step_generator(get_event_storage().iter, "masks")
        self.drawn.append(tuple(torch.rand(2, generator=generator).tolist()))
        return super().forward(batch)


def test_the_parts_of_a_batch_draw_different_random_numbers():
    whole, parts = (regress(steps, model=Drawing()).model.drawn for steps in (1, 4))
    assert len(whole) == 3 and len(set(parts)) == len(parts) == 12
    # The first part draws what the whole batch would.
    assert parts[::4] == whole
    # A run repeats, and nothing of the parts stays behind.
    assert regress(4, model=Drawing()).model.drawn == parts
    assert regress(1, model=Drawing()).model.drawn == whole


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return register_tiny_domains(tmp_path_factory.mktemp("domains"), "accumulated", targets=6)


def adapted_cfg(folder, steps):
    cfg = tiny_cfg(folder, "accumulated_source")
    cfg.DATASETS.TEST, cfg.DATASETS.TARGET = (), ("accumulated_target",)
    cfg.MODEL.META_ARCHITECTURE = "AdaptiveModel"
    cfg.MODEL.ADAPT.OBJECTIVES = ["PseudoLabel"]
    cfg.MODEL.PSEUDO_LABEL.THRESHOLD = 0.1
    cfg.INPUT.TARGET_VIEWS = ["weak", "strong"]
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.TARGET_IMS_PER_BATCH = 4, 2
    cfg.SOLVER.ACCUMULATION_STEPS = steps
    cfg.SOLVER.CHECKPOINT_PERIOD = 3
    return cfg


def test_an_adapted_detector_trains_in_parts_and_resumes_exactly(data, tmp_path):
    def build(name, workers):
        cfg = adapted_cfg(tmp_path / name, 2)
        cfg.DATALOADER.NUM_WORKERS = workers
        return Trainer(cfg)

    trainer = assert_resumes_exactly(build, 2)
    # The teacher moves once per iteration, not once per part.
    assert int(trainer.model.teacher.updates) == trainer.max_iter - 1


def test_streams_must_divide_into_the_parts(data, tmp_path):
    with pytest.raises(ValueError, match=r"TARGET_IMS_PER_BATCH is 2.*4 parts.*multiple of 4"):
        Trainer(adapted_cfg(tmp_path, 4))


def test_a_config_for_eight_processes_scales_to_two():
    cfg = base_cfg()
    cfg.SOLVER.REFERENCE_WORLD_SIZE = 8
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.TARGET_IMS_PER_BATCH = 16, 8
    cfg.SOLVER.BASE_LR, cfg.SOLVER.MAX_ITER = 0.02, 1000
    cfg.MODEL.STRONG_WEAK.START_ITER = 100
    cfg.freeze()
    scaled = scale_to_processes(cfg, 2)
    assert scaled.is_frozen()
    assert (scaled.SOLVER.IMS_PER_BATCH, scaled.SOLVER.TARGET_IMS_PER_BATCH) == (4, 2)
    assert (scaled.SOLVER.BASE_LR, scaled.SOLVER.MAX_ITER) == (0.005, 4000)
    assert scaled.MODEL.STRONG_WEAK.START_ITER == 400
    assert scaled.MODEL.PSEUDO_LABEL.START_ITER == 0
    assert scale_to_processes(scaled, 2) is scaled


@pytest.mark.parametrize(
    ("period", "processes", "scaled_period", "power"),
    [(1, 2, 1, 1 / 4), (1, 16, 1, 2), (10, 2, 40, 1), (10, 16, 5, 1), (2, 32, 1, 2)],
)
def test_the_teacher_forgets_as_much_per_picture(period, processes, scaled_period, power):
    cfg = base_cfg()
    cfg.SOLVER.REFERENCE_WORLD_SIZE = 8
    cfg.SOLVER.IMS_PER_BATCH = 64
    cfg.MODEL.TEACHER.DECAY, cfg.MODEL.TEACHER.PERIOD = 0.81, period
    teacher = scale_to_processes(cfg, processes).MODEL.TEACHER
    assert teacher.PERIOD == scaled_period
    assert teacher.DECAY == pytest.approx(0.81**power)
