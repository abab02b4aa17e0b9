"""The training loader: what its batches depend on, and what they must not."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetMapper, get_detection_dataset_dicts
from detectron2.data.samplers import TrainingSampler

from drfpn_da.data import build_train_loader
from drfpn_da.data.loader import GlobalBatches, ProcessShare
from tests.tiny_coco import register_tiny, tiny_cfg, write_tiny_coco
from tests.training import assert_same, take


@pytest.fixture
def cfg(tmp_path):
    write_tiny_coco(tmp_path / "data")
    register_tiny("tiny_loader", tmp_path / "data")
    cfg = tiny_cfg(tmp_path / "out", "tiny_loader")
    cfg.SOLVER.IMS_PER_BATCH = 2
    return cfg


def names(batches):
    return [sample["file_name"] for batch in batches for sample in batch]


def test_workers_do_not_matter(cfg):
    expected = take(build_train_loader(cfg), 9)
    for workers in (1, 3):
        cfg.DATALOADER.NUM_WORKERS = workers
        assert_same(take(build_train_loader(cfg), 9), expected)


def test_what_was_drawn_before_does_not_matter_and_is_left_alone(cfg):
    expected = take(build_train_loader(cfg), 3)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    assert_same(take(build_train_loader(cfg), 3), expected)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


@pytest.mark.parametrize("workers", [0, 2])
def test_start_iter_continues_the_stream(cfg, workers):
    cfg.DATALOADER.NUM_WORKERS = workers
    expected = take(build_train_loader(cfg), 11)[6:]
    loader = build_train_loader(cfg)
    iterator = iter(loader)
    loader.start_iter = 6  # after iter(), as where a trainer asks for it before a resume
    assert_same(take(iterator, 5), expected)


def test_seeds_differ(cfg):
    first = names(take(build_train_loader(cfg), 8))
    cfg.SEED = 6
    assert names(take(build_train_loader(cfg), 8)) != first


def test_augmentations_of_one_picture_differ_over_time(cfg):
    by_name = {}
    for sample in itertools.chain(*take(build_train_loader(cfg), 24)):
        by_name.setdefault(sample["file_name"], []).append(sample["image"])
    assert len(by_name) == 8
    shapes = {tuple(p.shape) for p in by_name[next(iter(by_name))]}
    assert len(shapes) > 1


def test_batches_do_not_mix_orientations_and_miss_nothing(cfg):
    batches = take(build_train_loader(cfg), 16)
    for batch in batches:
        assert len({x["image"].shape[1] > x["image"].shape[2] for x in batch}) == 1
    # Over the stream every picture comes equally often, give or take what waits for a partner.
    counts = np.unique(names(batches), return_counts=True)[1]
    assert len(counts) == 8
    assert counts.max() - counts.min() <= 2


@pytest.mark.parametrize("sizes", [None, [(2, 1), (1, 2)] * 5], ids=["stream", "aspect"])
def test_processes_share_the_global_batches(sizes):
    def batches():
        return GlobalBatches(TrainingSampler(10, seed=3), 4, sizes)

    whole = list(itertools.islice(batches(), 7))
    shares = [list(itertools.islice(ProcessShare(batches(), 0, r, 2), 7)) for r in range(2)]
    for batch, first, second in zip(whole, *shares):
        assert sorted(batch) == sorted(first + second)
        assert len(first) == len(second) == 2
    if sizes is None:
        # The stream is the sampler's own.
        expected = list(itertools.islice(iter(TrainingSampler(10, seed=3)), 28))
        assert [index for batch in whole for _, index in batch] == expected


@pytest.mark.parametrize(
    "sampler", ["TrainingSampler", "RepeatFactorTrainingSampler", "RandomSubsetTrainingSampler"]
)
def test_samplers_repeat(cfg, sampler):
    cfg.DATALOADER.SAMPLER_TRAIN = sampler
    cfg.DATALOADER.RANDOM_SUBSET_RATIO = 0.5
    cfg.DATALOADER.REPEAT_THRESHOLD = 0.9
    np.random.seed(1)  # noqa: NPY002
    first = take(build_train_loader(cfg), 12)
    np.random.seed(2)  # noqa: NPY002
    assert_same(take(build_train_loader(cfg), 12), first)
    assert len(set(names(first))) == (4 if sampler.startswith("RandomSubset") else 8)


def test_explicit_arguments_equal_those_of_the_config(cfg):
    """The constructor that Python and LazyConfig users call."""
    first, second = (
        build_train_loader(
            get_detection_dataset_dicts("tiny_loader"),
            mapper=DatasetMapper(cfg, True),
            total_batch_size=2,
            num_workers=workers,
            seed=5,
        )
        for workers in (0, 1)
    )
    assert_same(take(first, 5), take(second, 5))


def test_rejected_records_are_replaced_repeatably(cfg):
    mapper = DatasetMapper(cfg, True)

    def picky(record):
        return None if record["file_name"].endswith("picture_0.png") else mapper(record)

    first = take(build_train_loader(cfg, mapper=picky), 16)
    assert "picture_0.png" not in {Path(name).name for name in names(first)}
    with pytest.raises(RuntimeError, match="rejected"):
        take(build_train_loader(cfg, mapper=lambda record: None), 1)
    cfg.DATALOADER.NUM_WORKERS = 2
    assert_same(take(build_train_loader(cfg, mapper=picky), 16), first)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("damage", ["garbage", "truncated", "missing"])
def test_bad_picture_is_named(cfg, tmp_path, workers, damage):
    cfg.DATALOADER.NUM_WORKERS = workers
    bad = tmp_path / "data" / "images" / "picture_3.png"
    if damage == "garbage":
        bad.write_bytes(b"this is no picture")
    elif damage == "truncated":
        bad.write_bytes(bad.read_bytes()[:3000])
    else:
        bad.unlink()
    # No pytest.raises, whose cycle of references makes the end of each worker be waited for.
    try:
        take(build_train_loader(cfg), 8)
        message = "no error"
    except (ValueError, FileNotFoundError) as error:
        message = str(error)
    assert str(bad) in message
    assert "record" in message


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_of_the_mapper_itself_keep_their_type_and_name_the_picture(cfg, workers):
    def broken(record):
        raise ZeroDivisionError("mapper")

    cfg.DATALOADER.NUM_WORKERS = workers
    with pytest.raises(ZeroDivisionError, match=r"picture_\d\.png \(.*pixels\) cannot .*: mapper"):
        take(build_train_loader(cfg, mapper=broken), 1)


def test_batch_size_must_be_positive(cfg):
    cfg.SOLVER.IMS_PER_BATCH = 0
    with pytest.raises(ValueError, match=r"SOLVER\.IMS_PER_BATCH is 0"):
        build_train_loader(cfg)
