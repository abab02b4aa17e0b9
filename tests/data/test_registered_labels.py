"""What registered label files mean for a config: masks, targets, and sets with nothing to learn."""

from __future__ import annotations

import json
import logging
import os

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from drfpn_da.config import argument_parser, setup_cfg
from drfpn_da.data import build_target_loader, get_target_dicts, validate_datasets
from drfpn_da.data.pictures import get_picture_dicts
from drfpn_da.data.validate import log_findings
from tests.scripts import load_tool
from tests.tiny_coco import write_tiny_coco
from tests.training import take

RLE = {"size": [64, 96], "counts": [0, 64, 6080]}


@pytest.fixture
def labels(tmp_path, monkeypatch):
    """Registers a changed label file as "mine" and returns the config."""
    monkeypatch.setenv("DRFPN_DA_CACHE", str(tmp_path / "cache"))
    file, images = write_tiny_coco(tmp_path / "data", count=4, mixed=False)

    def register(change, *options, name="mine"):
        data = json.loads((tmp_path / "data" / "tiny.json").read_text())
        change(data)
        with open(file, "w") as stream:
            json.dump(data, stream)
        words = ["--register", name, file, images, "MODEL.ROI_HEADS.NUM_CLASSES", "2"]
        return setup_cfg(argument_parser().parse_args([*words, *options]))

    yield register
    for catalog in (DatasetCatalog, MetadataCatalog):
        for name in {"mine", "theirs"} & set(catalog.list()):
            catalog.remove(name)


def each(**values):
    def change(data):
        for annotation in data["annotations"]:
            annotation.update(values)

    return change


def some(*numbers, **values):
    def change(data):
        for number in numbers:
            data["annotations"][number].update(values)

    return change


TRAIN = ["DATASETS.TRAIN", "('mine',)", "DATASETS.TEST", "()"]
TEST = ["DATASETS.TRAIN", "()", "DATASETS.TEST", "('mine',)"]
MASKS = ["MODEL.MASK_ON", "True"]


def test_nothing_to_learn_from(labels):
    for change, words in (
        (lambda d: d.update(annotations=[]), r"no annotations; .*--register-images"),
        (lambda d: d.update(annotations=None), r"no annotations; .*--register-images"),
    ):
        with pytest.raises(ValueError, match=rf"DATASETS\.TRAIN .*'mine' .*tiny\.json.*{words}"):
            validate_datasets(labels(change, *TRAIN))
        MetadataCatalog.remove("mine")
        DatasetCatalog.remove("mine")


def test_all_crowds_are_said_with_and_without_masks(labels):
    cfg = labels(each(iscrowd=1, segmentation=RLE), *TRAIN, *MASKS)
    with pytest.raises(ValueError, match=r"all 8 annotations have iscrowd 1, .* write 0"):
        validate_datasets(cfg)
    cfg = labels(lambda data: None, *TRAIN)
    with pytest.raises(ValueError, match=r"all 8 annotations have iscrowd 1, .* write 0"):
        validate_datasets(cfg)


def test_all_boxes_outside(labels):
    with pytest.raises(ValueError, match="of the others no box has a part inside"):
        validate_datasets(labels(each(bbox=[500, 500, 5, 5]), *TRAIN))


@pytest.mark.parametrize("split", [TRAIN, TEST])
def test_some_annotations_without_mask(labels, split):
    cfg = labels(some(2, 5, segmentation=[[]]), *split, *MASKS)
    with pytest.raises(ValueError, match=r"2 of 8 annotations of .*json have no mask \(first 3, 6"):
        validate_datasets(cfg)
    cfg = labels(lambda data: None, *split)
    validate_datasets(cfg)
    assert sum(len(r["annotations"]) for r in DatasetCatalog.get("mine")) == 8


def test_boxes_alone_under_a_mask_model(labels, caplog):
    validate_datasets(labels(each(segmentation=[]), *TEST, *MASKS))
    assert "'mine' (DATASETS.TEST) has no masks: boxes alone" in caplog.text
    with pytest.raises(ValueError, match=r"has no masks; write MODEL\.MASK_ON False"):
        validate_datasets(labels(lambda data: None, *TRAIN, *MASKS))


def test_run_length_masks_among_polygons_choose_bitmasks(labels, caplog):
    cfg = labels(some(3, segmentation=RLE), *TRAIN, *MASKS)
    assert cfg.INPUT.MASK_FORMAT == "bitmask" and "'mine' has masks stored as RLE" in caplog.text
    validate_datasets(cfg)
    assert labels(lambda data: None, *TRAIN).INPUT.MASK_FORMAT == "polygon"


def test_polygons_leave_the_mask_format(labels):
    assert labels(lambda data: None, *TRAIN, *MASKS).INPUT.MASK_FORMAT == "polygon"


ADAPT = [
    *("MODEL.META_ARCHITECTURE", "AdaptiveModel", "MODEL.ADAPT.OBJECTIVES", "['X']"),
    *("DATASETS.TRAIN", "('streets_mini_clear_train',)", "DATASETS.TARGET", "('mine',)"),
    *("DATASETS.TEST", "()", "DATALOADER.NUM_WORKERS", "0", "SOLVER.IMS_PER_BATCH", "2"),
]


@pytest.mark.parametrize(
    "change",
    [
        each(bbox=[], segmentation=[], area=0),
        lambda data: [data.pop(key) for key in ("annotations", "categories")],
        lambda data: data.update(categories={"1": "a"}, annotations="none"),
        each(image_id="?"),
        each(ignore=1),
        lambda data: [image.pop("width") for image in data["images"]],
    ],
    ids=["boxes", "images", "types", "ids", "ignore", "sizes"],
)
def test_labels_of_a_target_are_not_needed(labels, change):
    cfg = labels(change, *ADAPT)
    records = get_target_dicts("mine")
    assert [r["image_id"] for r in records] == [1, 2, 3, 4]
    assert all((r["width"], r["height"]) == (96, 64) for r in records)
    assert take(build_target_loader(cfg), 1)[0][0]["domain"] == "target"


@pytest.mark.parametrize("more", [["MODEL.ADAPT.BASELINE", "oracle"], TEST[2:]])
def test_labels_of_a_target_that_are_read_are_checked(labels, more):
    with pytest.raises(ValueError, match="bbox is not four numbers"):
        labels(each(bbox=[]), *ADAPT, *more)


def test_sound_labels_of_a_target_are_kept(labels):
    labels(lambda data: None, *ADAPT)
    assert MetadataCatalog.get("mine").thing_classes == ["square", "bar"]


def test_unreadable_pictures_of_a_target_file(labels, tmp_path, caplog):
    (tmp_path / "data/images/picture_1.png").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"picture_1\.png"):
        labels(lambda data: None, *ADAPT)
    labels(lambda data: None, *ADAPT, "INPUT.SKIP_UNREADABLE_TARGET", "True")
    assert [r["image_id"] for r in get_target_dicts("mine")] == [1, 3, 4]
    assert "skipped" in caplog.text and "picture_1.png" in caplog.text


def test_pictures_too_large_in_a_folder(labels, tmp_path, monkeypatch, caplog):
    Image.new("L", (200, 200)).save(tmp_path / "data/images/huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    folder = str(tmp_path / "data/images")
    with pytest.raises(ValueError, match=r"huge\.png.*SKIP_UNREADABLE_TARGET True"):
        get_picture_dicts([], folder)
    name = f"images of {folder}"
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)
    assert len(get_picture_dicts([], folder, skip_unreadable=True)) == 4
    assert "huge.png" in caplog.text


def test_findings_go_to_the_log_of_a_run(labels, caplog):
    labels(some(0, bbox=[90, 60, 0, 5]), *TRAIN)
    with caplog.at_level(logging.INFO, logger="drfpn_da.data.validate"):
        log_findings(["mine", "mine", "streets_mini_clear_train"])
    assert caplog.text.count("| bbox_no_size |") == 1
    assert sum(len(r["annotations"]) for r in DatasetCatalog.get("mine")) == 7


def test_tools_that_read_label_files_make_the_check(labels, tmp_path):
    labels(lambda data: data["categories"][1].update(name="square"), "DATASETS.TARGET", "('mine',)")
    file, out = str(tmp_path / "data" / "tiny.json"), str(tmp_path / "out")
    for tool, words in (
        ("slender_stats", [file, "--output", out]),
        ("inject_label_noise", [file, "--output", f"{out}.json", "--rate", "1"]),
        ("merge_slender", [file, file, "--output", f"{out}.json"]),
        ("audit_labels", ["split", "--annotations", file, "--folds", "2", "--output", out]),
    ):
        with pytest.raises(SystemExit, match="has the name of another class"):
            load_tool(tool).main(words)
    assert not os.path.exists(out) and not os.path.exists(f"{out}.json")
