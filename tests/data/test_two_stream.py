"""Source and target in one batch: purity of the target, repetition, division, baselines."""

import argparse
import itertools
from pathlib import Path

import numpy as np
import pytest
from detectron2.config import instantiate
from detectron2.data import (
    DatasetCatalog,
    DatasetMapper,
    get_detection_dataset_dicts,
)
from PIL import Image

from drfpn_da.data import (
    build_adaptation_loader,
    build_target_loader,
    build_train_loader,
    build_two_stream_loader,
    get_target_dicts,
)
from drfpn_da.data.datasets.custom import load_image_folder
from drfpn_da.data.loader import ProcessShare
from drfpn_da.engine import run
from drfpn_da.engine.lazy import start_lazy_run
from tests.tiny_coco import register_tiny, register_tiny_domains, tiny_cfg, write_tiny_coco
from tests.training import assert_same, take


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A source set of eight pictures and a folder of five others, without labels."""
    return register_tiny_domains(tmp_path_factory.mktemp("two_streams"), "two", targets=5)


@pytest.fixture
def cfg(folders, tmp_path):
    cfg = tiny_cfg(tmp_path / "out", "two_source")
    cfg.MODEL.META_ARCHITECTURE = "AdaptiveModel"
    cfg.MODEL.ADAPT.OBJECTIVES = ["StrongWeakAlignment"]
    cfg.DATASETS.TARGET = ("two_target",)
    cfg.SOLVER.IMS_PER_BATCH = 2
    return cfg


def by_domain(batches, domain):
    return [[s for s in batch if s.get("domain", "source") == domain] for batch in batches]


def test_batches_hold_source_then_target_without_labels(cfg):
    cfg.SOLVER.TARGET_IMS_PER_BATCH = 3
    cfg.DATALOADER.ASPECT_RATIO_GROUPING = False
    loader = build_two_stream_loader(cfg)
    for batch in itertools.islice(loader, 6):
        assert [s.get("domain", "source") for s in batch] == ["source"] * 2 + ["target"] * 3
        for sample in batch[:2]:
            assert len(sample["instances"]) > 0
        for sample in batch[2:]:
            assert set(sample) == {
                "file_name",
                "height",
                "width",
                "image_id",
                "image",
                "domain",
            }
        assert loader.file_names == [s["file_name"] for s in batch]


def test_target_batch_size_defaults_to_the_source(cfg):
    assert [len(x) for x in by_domain(take(build_two_stream_loader(cfg), 2), "target")] == [2, 2]


def test_annotations_of_the_target_change_nothing(cfg, register):
    plain = DatasetCatalog.get("two_target")
    annotation = {"bbox": [-50.0, 9e9, 3.0, 1.0], "bbox_mode": 1, "category_id": 77, "iscrowd": 1}
    variants = {
        "two_target_none": plain,
        "two_target_empty": [{**r, "annotations": []} for r in plain],
        "two_target_garbage": [
            {
                **r,
                "annotations": [annotation],
                "sem_seg_file_name": "/does/not/exist.png",
                "pan_seg_file_name": "/nor/this.png",
                "proposal_boxes": np.zeros((1, 4)),
                "fog": "dense",
            }
            for r in plain
        ],
        # The first record decides whether detectron2 filters.
        "two_target_mixed": [{**plain[0], "annotations": [annotation]}, *plain[1:]],
    }
    cfg.MODEL.MASK_ON = True
    expected = None
    for name, records in variants.items():
        cfg.DATASETS.TARGET = (register(name, records),)
        batches = take(build_two_stream_loader(cfg), 15)
        expected = expected or batches
        assert_same(batches, expected)
        seen = {s["file_name"] for s in itertools.chain(*by_domain(batches, "target"))}
        assert len(seen) == len(plain)


def test_label_files_of_the_target_are_not_opened(cfg, monkeypatch, register):
    opened = []
    original = Image.open
    monkeypatch.setattr(Image, "open", lambda f, *a: (opened.append(f.name), original(f, *a))[1])
    register_tiny("two_sem_seg", Path(cfg.OUTPUT_DIR).parent, sem_seg=True)
    records = [
        {**r, "sem_seg_file_name": r["file_name"].replace("images", "labels")}
        for r in DatasetCatalog.get("two_target")
    ]
    cfg.DATASETS.TARGET = (register("two_labelled", records),)
    opened.clear()
    take(build_target_loader(cfg), 4)
    assert opened
    assert not [name for name in opened if "labels" in name]


@pytest.mark.parametrize("workers", [0, 2])
def test_both_streams_go_on_where_they_belong(cfg, workers):
    expected = take(build_two_stream_loader(cfg), 9)
    cfg.DATALOADER.NUM_WORKERS = workers
    loader = build_two_stream_loader(cfg)
    iterator = iter(loader)
    loader.start_iter = 5  # after iter(), as where a trainer asks for it before a resume
    assert loader.start_iter == 5
    assert_same(take(iterator, 4), expected[5:])


def test_streams_have_seeds_of_their_own(cfg):
    """With one data set for both, the streams are not copies of each other."""
    cfg.DATASETS.TARGET = cfg.DATASETS.TRAIN
    batches = take(build_two_stream_loader(cfg), 8)
    source, target = (
        [s["file_name"] for s in itertools.chain(*by_domain(batches, domain))]
        for domain in ("source", "target")
    )
    assert source != target
    assert set(source) == set(target)


def test_seed_of_the_run_moves_the_target(cfg):
    first = take(build_target_loader(cfg), 6)
    cfg.SEED = 6
    second = take(build_target_loader(cfg), 6)
    names = [[s["file_name"] for s in itertools.chain(*batches)] for batches in (first, second)]
    assert names[0] != names[1]


def test_a_random_seed_works(cfg):
    cfg.SEED = -1
    assert len(take(build_two_stream_loader(cfg), 2)[1]) == 4


def test_streams_of_unequal_length_do_not_end(cfg, folders, register):
    one = DatasetCatalog.get("two_target")[:1]
    cfg.DATASETS.TARGET = (register("two_target_one", one),)
    batches = by_domain(take(build_two_stream_loader(cfg), 9), "target")
    assert [len(batch) for batch in batches] == [2] * 9


def test_several_target_sets_are_one_stream(cfg, register):
    records = DatasetCatalog.get("two_target")
    cfg.DATASETS.TARGET = (
        register("two_target_first", records[:2]),
        register("two_target_rest", records[2:]),
    )
    whole = take(build_two_stream_loader(cfg), 6)
    cfg.DATASETS.TARGET = ("two_target",)
    assert_same(whole, take(build_two_stream_loader(cfg), 6))


def test_target_is_grouped_by_orientation(cfg):
    """Within the target alone: portrait pictures may stand beside landscape source pictures."""
    batches = take(build_two_stream_loader(cfg), 10)
    for domain in ("source", "target"):
        for batch in by_domain(batches, domain):
            assert len({s["image"].shape[1] > s["image"].shape[2] for s in batch}) == 1
    orientations = {s["image"].shape[1] > s["image"].shape[2] for b in batches for s in b}
    assert orientations == {True, False}


def test_processes_share_both_streams(cfg):
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.TARGET_IMS_PER_BATCH = 4, 2
    loader = build_two_stream_loader(cfg)
    for stream, size in ((loader.source, 4), (loader.target, 2)):
        whole = list(itertools.islice(stream.batches, 6))
        shares = [take(ProcessShare(stream.batches, 0, rank, 2), 6) for rank in range(2)]
        for batch, first, second in zip(whole, *shares):
            assert len(batch) == size
            assert sorted(first + second) == sorted(batch)
            assert len(first) == len(second)


def test_batch_of_the_target_must_divide(cfg, monkeypatch):
    monkeypatch.setattr("drfpn_da.data.loader.comm.get_world_size", lambda: 2)
    cfg.SOLVER.TARGET_IMS_PER_BATCH = 3
    with pytest.raises(ValueError, match=r"SOLVER\.TARGET_IMS_PER_BATCH is 3.*2 processes"):
        build_target_loader(cfg)


def test_baselines_pair_with_the_adapted_run(cfg):
    adapted = take(build_adaptation_loader(cfg), 6)
    cfg.MODEL.ADAPT.BASELINE = "source_only"
    source_only = take(build_adaptation_loader(cfg), 6)
    assert_same(source_only, by_domain(adapted, "source"))
    assert_same(take(build_two_stream_loader(cfg), 6), source_only)
    cfg.DATASETS.TARGET = ()
    assert_same(take(build_adaptation_loader(cfg), 6), source_only)


def test_oracle_is_the_labelled_target(cfg, folders):
    register_tiny("two_target_labelled", folders / "target")
    cfg.DATASETS.TARGET = ("two_target_labelled",)
    cfg.MODEL.ADAPT.BASELINE = "oracle"
    for batch in take(build_adaptation_loader(cfg), 3):
        assert len(batch) == 2
        for sample in batch:
            assert "/target/" in sample["file_name"]
            assert "domain" not in sample
            assert len(sample["instances"]) > 0


@pytest.mark.parametrize("shared", [True, False])
def test_pictures_in_both_under_two_names_are_said_aloud(cfg, folders, caplog, shared, register):
    name = f"two_overlap_{shared}"
    # The labelled pictures' own folder, written another way.
    folder = folders / "target" / ".." / ("source" if shared else "target") / "images"
    cfg.DATASETS.TARGET = (register(name, load_image_folder(str(folder))),)
    build_adaptation_loader(cfg)
    said = [r.message for r in caplog.records if "also in DATASETS.TARGET" in r.message]
    assert len(said) == shared
    assert all(message.startswith("8 of 8 pictures") for message in said)


@pytest.mark.parametrize("baseline", ["", "oracle"])
def test_no_target_is_refused(cfg, baseline):
    cfg.DATASETS.TARGET = ()
    cfg.MODEL.ADAPT.BASELINE = baseline
    with pytest.raises(ValueError, match=r"DATASETS\.TARGET is empty.*--register-images"):
        build_adaptation_loader(cfg)


def test_models_that_do_not_adapt_get_the_source_alone(cfg):
    expected = take(build_train_loader(cfg), 3)
    for architecture, objectives in (("GeneralizedRCNN", ["x"]), ("AdaptiveModel", [])):
        cfg.MODEL.META_ARCHITECTURE = architecture
        cfg.MODEL.ADAPT.OBJECTIVES = objectives
        assert_same(take(build_adaptation_loader(cfg), 3), expected)


def test_explicit_arguments_equal_those_of_the_config(cfg):
    mapper = DatasetMapper(cfg, True)
    loader = build_two_stream_loader(
        source=build_train_loader(cfg),
        target=build_target_loader(
            get_target_dicts("two_target"), mapper=mapper, total_batch_size=2, seed=5
        ),
    )
    assert_same(take(loader, 4), take(build_two_stream_loader(cfg), 4))


def test_lazy_config_gives_both_streams_the_seed_of_the_run(cfg, tmp_path, monkeypatch):
    file = tmp_path / "lazy.py"
    file.write_text(f"""
from detectron2.config import LazyCall as L
from detectron2.data import DatasetMapper, build_detection_train_loader
from detectron2.data import get_detection_dataset_dicts, transforms as T
from drfpn_da.data import build_target_loader, build_two_stream_loader, get_target_dicts

mapper = L(DatasetMapper)(
    is_train=True,
    augmentations=[
        L(T.ResizeShortestEdge)(
            short_edge_length=(56, 64, 72), max_size=96, sample_style="choice"
        ),
        L(T.RandomFlip)(horizontal=True),
    ],
    image_format="BGR",
)
dataloader = dict(
    train=L(build_two_stream_loader)(
        source=L(build_detection_train_loader)(
            dataset=L(get_detection_dataset_dicts)(names="two_source"),
            mapper=mapper,
            total_batch_size=2,
        ),
        target=L(build_target_loader)(
            dataset=L(get_target_dicts)(names="two_target"),
            mapper=mapper,
            total_batch_size=2,
        ),
    )
)
train = dict(device="cpu", seed=5, output_dir={str(tmp_path / "run")!r})
""")
    monkeypatch.setattr(run, "default_setup", lambda *_: None)
    args = argparse.Namespace(config_file=str(file), opts=[], resume=False, eval_only=False)
    batches = take(instantiate(start_lazy_run(args).dataloader.train), 4)
    assert_same(by_domain(batches, "target"), take(build_target_loader(cfg), 4))
    source = build_train_loader(
        get_detection_dataset_dicts("two_source"),
        mapper=DatasetMapper(cfg, True),
        total_batch_size=2,
        seed=5,
    )
    assert_same(by_domain(batches, "source"), take(source, 4))


def damage(folder, name):
    (folder / name).write_bytes((folder / name).read_bytes()[:3000])


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_target_is_named_and_skipped_if_asked(cfg, tmp_path, workers, caplog, register):
    write_tiny_coco(tmp_path / "bad", count=5)
    images = tmp_path / "bad" / "images"
    # Damaged after its size was read, or so that the size can still be read.
    name = register(f"two_target_bad_{workers}", load_image_folder(str(images)))
    damage(images, "picture_2.png")
    cfg.DATASETS.TARGET = (name,)
    with pytest.raises(ValueError, match=r"picture_2\.png"):
        take(build_two_stream_loader(cfg), 6)
    cfg.INPUT.SKIP_UNREADABLE_TARGET = True
    expected = take(build_two_stream_loader(cfg), 8)
    assert [len(batch) for batch in expected] == [4] * 8
    seen = {Path(s["file_name"]).name for batch in by_domain(expected, "target") for s in batch}
    assert seen == {f"picture_{i}.png" for i in (0, 1, 3, 4)}
    warnings = [r.getMessage() for r in caplog.records if "Skipped" in r.getMessage()]
    assert len(warnings) == 1
    assert "picture_2.png" in warnings[0]
    # What takes its place follows from the position alone.
    cfg.DATALOADER.NUM_WORKERS = workers
    loader = build_two_stream_loader(cfg)
    loader.start_iter = 3
    assert_same(take(loader, 5), expected[3:])


def test_skipping_forgives_no_error_of_the_mapper(cfg):
    def broken(record):
        raise ZeroDivisionError("mapper")

    loader = build_target_loader(
        get_target_dicts("two_target"), mapper=broken, total_batch_size=2, skip_unreadable=True
    )
    with pytest.raises(ZeroDivisionError, match="mapper"):
        take(loader, 1)


def test_empty_and_unknown_target_sets(cfg, register):
    cfg.DATASETS.TARGET = (register("two_target_nothing", []),)
    with pytest.raises(ValueError, match=r"'two_target_nothing'.*has no picture"):
        build_two_stream_loader(cfg)
    cfg.DATASETS.TARGET = ("two_targte",)
    with pytest.raises(KeyError, match="two_target"):
        build_two_stream_loader(cfg)


def test_crop_of_the_config_crops_the_target(cfg):
    cfg.INPUT.CROP.ENABLED = True
    cfg.INPUT.CROP.TYPE = "relative"
    cfg.INPUT.CROP.SIZE = [0.5, 1.0]
    pictures = [s["image"] for s in itertools.chain(*take(build_target_loader(cfg), 4))]
    # The lower or upper half of a portrait picture of 64 x 96 is a landscape one.
    assert all(p.shape[1] < p.shape[2] for p in pictures)
