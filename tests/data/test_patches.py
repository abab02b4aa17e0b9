"""Whole pictures: which are labelled, what a mapper makes of them, and CIFAR-10N."""

import collections
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog

from drfpn_da.data import PatchMapper, build_patch_loader, split_patches
from drfpn_da.data.datasets import cifar10n
from tests.tiny_patches import register_tiny_patches, tiny_patch_cfg


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patches")
    register_tiny_patches("patches_tiny", folder / "one")
    register_tiny_patches("patches_other", folder / "two", count=12)
    return folder


@pytest.fixture
def cfg(folder, tmp_path):
    return tiny_patch_cfg(tmp_path, "patches_tiny")


def test_classes_take_turns_and_larger_choices_contain_smaller(cfg):
    pools = {}
    for count in (8, 10, 20):
        cfg.DATASETS.LABELLED.COUNT = count
        pools[count] = split_patches(cfg)
        numbers = collections.Counter(pools[count].classes[:count])
        assert max(numbers.values()) - min(numbers.values()) <= 1
        assert len(pools[count].records) == 40 and pools[count].labelled == count
    names = {n: {r["file_name"] for r in p.records[:n]} for n, p in pools.items()}
    assert names[8] < names[10] < names[20]


def test_unlabelled_pictures_come_without_their_class(cfg):
    pool = split_patches(cfg)
    others = pool.records[8:]
    assert not any("class_id" in record for record in others)
    assert [r["sample_index"] for r in pool.records] == list(range(40))
    assert collections.Counter(pool.hidden) == dict.fromkeys(range(4), 8)
    loader = iter(build_patch_loader(cfg))
    for _ in range(3):
        for sample in next(loader):
            assert ("class_id" in sample) == (sample["sample_index"] < 8)
            assert ("clean_image" in sample) != ("class_id" in sample)


def test_digest_knows_pictures_and_labels_but_not_folders(cfg, folder):
    digest = split_patches(cfg).sha256
    cfg.DATASETS.LABELLED.SEED += 1
    assert split_patches(cfg).sha256 != digest
    cfg.DATASETS.LABELLED.SEED -= 1
    register_tiny_patches("patches_tiny", folder / f"moved_{digest[:6]}")
    assert split_patches(cfg).sha256 == digest


def test_digest_tells_pictures_of_one_name_apart(cfg, fresh_name, tmp_path):
    """Folders by class, in which the pictures have the same names and no ids."""
    records = [
        {"file_name": str(tmp_path / folder / f"{i}.png"), "height": 8, "width": 8, "class_id": c}
        for c, folder in enumerate(("red", "green"))
        for i in range(8)
    ]
    DatasetCatalog.register(fresh_name, lambda: [dict(record) for record in records])
    MetadataCatalog.get(fresh_name).set(thing_classes=["red", "green", "blue", "grey"])
    cfg.DATASETS.TRAIN = (fresh_name,)
    cfg.DATASETS.LABELLED.FILE = str(tmp_path / "names.json")
    (tmp_path / "names.json").write_text(json.dumps([records[0]["file_name"]]))
    cfg.DATASETS.LABELLED.COUNT = 0
    digest = split_patches(cfg).sha256
    records[3], records[11] = records[11], records[3]
    assert split_patches(cfg).sha256 != digest


def test_labelled_pictures_are_known_by_any_path(cfg, fresh_name, tmp_path, monkeypatch):
    given = DatasetCatalog.get("patches_tiny")
    (tmp_path / "linked").symlink_to(Path(given[0]["file_name"]).parent)
    monkeypatch.chdir(tmp_path)
    records = [{**r, "file_name": f"linked/{Path(r['file_name']).name}"} for r in given]
    DatasetCatalog.register(fresh_name, lambda: records)
    MetadataCatalog.get(fresh_name).set(thing_classes=["red", "green", "blue", "grey"])
    cfg.DATASETS.TARGET = (fresh_name,)
    with pytest.raises(ValueError, match=r"8 pictures are labelled .*example linked/"):
        split_patches(cfg)


def test_target_pictures_or_a_clear_refusal(cfg):
    cfg.DATASETS.LABELLED.COUNT = 0
    with pytest.raises(ValueError, match="no unlabelled picture"):
        build_patch_loader(cfg)
    cfg.DATASETS.TARGET = ("patches_other",)
    assert len(split_patches(cfg).records) == 52
    cfg.DATASETS.TARGET = ("patches_tiny",)
    with pytest.raises(ValueError, match=r"40 pictures are labelled .* and unlabelled"):
        split_patches(cfg)


def test_bad_classes_are_named(cfg, fresh_name):
    records = DatasetCatalog.get("patches_tiny")
    records[3]["class_id"] = 4
    del records[5]["class_id"]
    DatasetCatalog.register(fresh_name, lambda: records)
    MetadataCatalog.get(fresh_name).set(thing_classes=["red", "green", "blue", "grey"])
    cfg.DATASETS.TRAIN = (fresh_name,)
    with pytest.raises(ValueError, match=r"_003.png .* class_id 4, but the data set has 4 classes"):
        split_patches(cfg)
    records[3]["class_id"] = 3
    with pytest.raises(ValueError, match=r"_005.png .* has no class_id"):
        split_patches(cfg)


def test_mapper_moves_by_at_most_the_pad_and_keeps_the_clean_picture(cfg):
    labelled = DatasetCatalog.get("patches_tiny")[0]
    record = {k: v for k, v in labelled.items() if k != "class_id"}
    clean = PatchMapper(cfg, False)(record)
    assert clean["image"].shape == (3, 8, 8) and clean["image"].dtype == torch.uint8
    assert "clean_image" not in clean and "clean_image" not in PatchMapper(cfg, True)(labelled)
    cfg.MODEL.SOFT_LABELS.BATCH_STATISTICS = True
    assert torch.equal(PatchMapper(cfg, True)(labelled)["clean_image"], clean["image"])
    mapper = PatchMapper(cfg, True)
    wide = torch.nn.functional.pad(clean["image"].float()[None], [1] * 4, mode="reflect")[0].byte()
    possible = [wide[:, y : y + 8, x : x + 8] for y in range(3) for x in range(3)]
    possible += [p.flip(-1) for p in possible]
    seen = set()
    for _ in range(60):
        sample = mapper(record)
        assert torch.equal(sample["clean_image"], clean["image"])
        found = [i for i, p in enumerate(possible) if torch.equal(p, sample["image"])]
        assert found
        seen.add(found[0])
    assert len(seen) > 10
    cfg.INPUT.PATCH.SIZE = [6, 10]
    assert PatchMapper(cfg, False)(record)["image"].shape == (3, 6, 10)


def test_jitter_of_hue_knows_the_order_of_channels(cfg):
    record = DatasetCatalog.get("patches_tiny")[0]
    cfg.INPUT.PATCH.PAD, cfg.INPUT.RANDOM_FLIP = 0, "none"
    cfg.INPUT.PATCH.COLOR_JITTER = [0.0, 0.0, 0.0, 0.3]
    pictures = []
    for order in ("RGB", "BGR"):
        cfg.INPUT.FORMAT = order
        torch.manual_seed(1)
        pictures.append(PatchMapper(cfg, True)(record)["image"])
    assert torch.equal(pictures[0], pictures[1].flip(0))


@pytest.mark.parametrize(
    ("key", "value"),
    [("SIZE", [0, 8]), ("SIZE", [8]), ("PAD", 8), ("PAD", -1), ("COLOR_JITTER", [0.1])],
)
def test_mapper_refuses_impossible_keys(cfg, key, value):
    cfg.INPUT.PATCH[key] = value
    with pytest.raises(ValueError, match=f"INPUT.PATCH.{key} is"):
        PatchMapper(cfg, True)


def write_cifar10n(root, **changed):
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(10, dtype=np.uint8), 8)
    arrays = {
        "names": np.array(cifar10n.CLASSES),
        "images": rng.integers(0, 256, (80, 32, 32, 3), dtype=np.uint8),
        "cifar_index": rng.permutation(50000)[:80],
        "clean_label": classes,
        "worse_label": np.roll(classes, 1),
        **changed,
    }
    folder = root / "cifar10n"
    folder.mkdir(exist_ok=True)
    np.savez(folder / cifar10n.FILE, **{k: v for k, v in arrays.items() if v is not None})
    return arrays


def test_cifar10n_splits_pictures_and_labels(private_roots):
    arrays = write_cifar10n(private_roots[0])
    train, test = (DatasetCatalog.get(f"cifar10n_{split}") for split in ("train", "test"))
    assert (len(train), len(test)) == (60, 20)
    assert collections.Counter(r["class_id"] for r in test) == dict.fromkeys(range(10), 2)
    assert not {r["image_id"] for r in train} & {r["image_id"] for r in test}
    rows = {int(place): i for i, place in enumerate(arrays["cifar_index"])}
    for number in range(10):  # within a class, the later places test
        first = max(r["image_id"] for r in train if r["class_id"] == number)
        assert first < min(r["image_id"] for r in test if r["class_id"] == number)
    mapper = PatchMapper(False, pad=0)
    for record in train[::7]:
        picture = mapper(record)["image"].permute(1, 2, 0).numpy()
        assert np.array_equal(picture, arrays["images"][rows[record["image_id"]]])
    noisy = DatasetCatalog.get("cifar10n_train_worse")
    assert [r["file_name"] for r in noisy] == [r["file_name"] for r in train]
    assert [r["class_id"] for r in noisy] == [
        int(arrays["worse_label"][rows[r["image_id"]]]) for r in noisy
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"clean_label": None}, "has no array 'clean_label'"),
        ({"names": np.array(["cat"] * 10)}, "names are"),
        ({"clean_label": np.full(80, 10)}, "outside 0-9"),
        ({"images": np.zeros((80, 8, 8, 3), np.uint8)}, "expected .*32, 32, 3"),
    ],
)
def test_damaged_cifar10n_is_named(private_roots, changed, message):
    write_cifar10n(private_roots[0], **changed)
    with pytest.raises(ValueError, match=message):
        DatasetCatalog.get("cifar10n_train")


def test_missing_cifar10n_says_what_to_do(private_roots):
    with pytest.raises(FileNotFoundError, match="DETECTRON2_DATASETS"):
        DatasetCatalog.get("cifar10n_train")


def test_real_cifar10n(real_data, tmp_path, monkeypatch):
    if not (real_data / "cifar10n").is_dir():
        pytest.skip("needs cifar10n below DETECTRON2_DATASETS")
    monkeypatch.setenv("DRFPN_DA_CACHE", str(tmp_path))
    train, worse, test = (
        DatasetCatalog.get(f"cifar10n_{name}") for name in ("train", "train_worse", "test")
    )
    assert (len(train), len(test)) == (3000, 1000)
    assert set(collections.Counter(r["class_id"] for r in test).values()) == {100}
    noise = np.mean([a["class_id"] != b["class_id"] for a, b in zip(train, worse)])
    assert 0.3 < noise < 0.5
