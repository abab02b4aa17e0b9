"""Generated streets as data sets: files, records, places, processes."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, DatasetMapper, MetadataCatalog
from detectron2.evaluation import COCOEvaluator, SemSegEvaluator
from detectron2.structures import BoxMode, Instances

from drfpn_da.data.datasets import register_all
from drfpn_da.data.datasets.streets import streets_folder
from drfpn_da.data.synthetic import (
    SIZES,
    add_fog,
    check_split,
    render_scene,
    sample_scene,
)
from drfpn_da.data.synthetic.fog import sample_fog
from drfpn_da.data.synthetic.writer import scene_rng

FOLDER = "drfpn_da_streets"


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """A root shared by the read-only tests of this file, with foggy val and clear sequences."""
    root = tmp_path_factory.mktemp("datasets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(root))
        patch.setenv("DRFPN_DA_CACHE", str(root / "cache"))
        names = ("streets_mini_foggy_val", "streets_mini_clear_sequences")
        yield {name: DatasetCatalog.get(name) for name in names}


def _digest(folder):
    files = sorted(p for p in Path(folder).rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_registration_can_be_repeated():
    before = DatasetCatalog.list()
    register_all()
    assert DatasetCatalog.list() == before
    for size in SIZES:
        assert f"streets_{size}_foggy_train" in before


def test_counts_and_sizes(streets):
    spec = SIZES["mini"]
    records = streets["streets_mini_foggy_val"]
    assert len(records) == spec.val
    assert len(streets["streets_mini_clear_sequences"]) == spec.sequences * spec.frames
    for record in records:
        image = cv2.imread(record["file_name"])
        label = cv2.imread(record["sem_seg_file_name"], cv2.IMREAD_UNCHANGED)
        disparity = cv2.imread(record["disparity_file_name"], cv2.IMREAD_UNCHANGED)
        assert image.shape == (spec.height, spec.width, 3)
        assert label.shape == disparity.shape == (spec.height, spec.width)
        assert (label.dtype, disparity.dtype) == (np.uint8, np.uint16)
        # Sky is infinitely far, and nothing else is.
        assert ((disparity == 0) == (label == 4)).mean() > 0.999


def test_classes_all_occur(streets):
    found = {a["category_id"] for r in streets["streets_mini_foggy_val"] for a in r["annotations"]}
    assert found == set(range(6))


def test_foggy_pictures_obey_koschmieder(streets):
    """The stored picture equals the clear one, fogged with the stored beta, airlight and depth."""
    for index, record in enumerate(streets["streets_mini_foggy_val"][:4]):
        rng = scene_rng("mini", "foggy", "val", index)
        scene = sample_scene(rng, record["width"], record["height"])
        assert sample_fog(rng).beta == record["fog"]["beta"]
        clear = render_scene(scene, scene.camera).color
        disparity = cv2.imread(record["disparity_file_name"], cv2.IMREAD_UNCHANGED)
        # 256 f 0.54 / z; the sky, of disparity 0, is as far as can be.
        depth = record["intrinsics"][0][0] * 0.54 * 256 / np.maximum(disparity, 1e-9)
        t = np.exp(-record["fog"]["beta"] * depth)[..., None]
        expected = clear * t + np.array(record["fog"]["airlight"]) * (1 - t)
        stored = cv2.imread(record["file_name"])[..., ::-1].astype(float)
        error = stored - expected
        assert abs(error.mean()) < 0.5  # noise has no mean
        assert error.std() < scene.noise * 1.2 + 1


def test_fog_costs_contrast_of_what_is_far(streets):
    rng = scene_rng("mini", "foggy", "val", 0)
    scene = sample_scene(rng, 256, 128)
    frame = render_scene(scene, scene.camera)
    foggy = add_fog(frame.color, frame.inverse_depth, sample_fog(rng))
    depth = 1 / np.maximum(frame.inverse_depth, 1e-6)
    near, far = depth < 8, (depth > 40) & (depth < 1000)
    kept = [foggy[where].std() / frame.color[where].std() for where in (near, far)]
    assert kept[0] > 0.6 and kept[1] < 0.4


def test_sequence_links_and_poses(streets):
    records = streets["streets_mini_clear_sequences"]
    by_file = {r["file_name"]: r for r in records}
    frames = SIZES["mini"].frames
    for record in records:
        frame = record["sequence"]["frame"]
        assert (record["previous_file_name"] is None) == (frame == 0)
        assert (record["next_file_name"] is None) == (frame == frames - 1)
        if record["next_file_name"]:
            following = by_file[record["next_file_name"]]
            assert following["sequence"] == {**record["sequence"], "frame": frame + 1}
            assert following["intrinsics"] == record["intrinsics"]
            step = np.linalg.inv(record["camera_to_world"]) @ following["camera_to_world"]
            assert 0.2 < step[2, 3] < 0.75  # drives forwards
            np.testing.assert_allclose(step[:3, :3] @ step[:3, :3].T, np.eye(3), atol=1e-9)
    assert {r["sequence"]["moving_objects"] for r in records} == {False, True}


def test_separated_labels_and_metadata(streets):
    name = "streets_mini_foggy_val"
    separated = DatasetCatalog.get(f"{name}_separated")
    meta = MetadataCatalog.get(f"{name}_separated")
    assert meta.stuff_classes[0] == "things" and len(meta.stuff_classes) == 6
    full = cv2.imread(streets[name][0]["sem_seg_file_name"], cv2.IMREAD_UNCHANGED)
    stuff = cv2.imread(separated[0]["sem_seg_file_name"], cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(stuff, np.where(full < 5, full + 1, 0))
    assert separated[0]["annotations"] == streets[name][0]["annotations"]


def test_stock_mapper_and_evaluators_accept_the_records(streets, tmp_path):
    """A perfect prediction, made from the mapper's own output, scores 100 in stock evaluators."""
    import torch
    from detectron2.structures import Boxes

    name = "streets_mini_foggy_val"
    cfg = get_cfg()
    cfg.INPUT.MIN_SIZE_TEST = 0
    mapper = DatasetMapper(cfg, is_train=False)
    evaluators = [
        COCOEvaluator(name, ("bbox",), False, str(tmp_path)),
        SemSegEvaluator(name, False),
    ]
    for evaluator in evaluators:
        evaluator.reset()
    for record in streets[name]:
        boxes = [
            BoxMode.convert(a["bbox"], BoxMode.XYWH_ABS, BoxMode.XYXY_ABS)
            for a in record["annotations"]
        ]
        instances = Instances((record["height"], record["width"]))
        instances.pred_boxes = Boxes(torch.tensor(boxes).reshape(-1, 4))
        instances.scores = torch.ones(len(boxes))
        instances.pred_classes = torch.tensor([a["category_id"] for a in record["annotations"]])
        label = cv2.imread(record["sem_seg_file_name"], cv2.IMREAD_UNCHANGED)
        sem_seg = torch.nn.functional.one_hot(torch.from_numpy(label).long(), 11).permute(2, 0, 1)
        for evaluator in evaluators:
            evaluator.process([mapper(record)], [{"instances": instances, "sem_seg": sem_seg}])
    assert evaluators[0].evaluate()["bbox"]["AP"] == pytest.approx(100)
    assert evaluators[1].evaluate()["sem_seg"]["mIoU"] == pytest.approx(100)


def test_training_mapper_yields_masks(streets):
    cfg = get_cfg()
    cfg.merge_from_list(["MODEL.MASK_ON", True, "INPUT.MASK_FORMAT", "bitmask"])
    cfg.INPUT.MIN_SIZE_TRAIN = (128,)
    record = streets["streets_mini_foggy_val"][0]
    out = DatasetMapper(cfg, is_train=True)(record)
    assert len(out["instances"].gt_masks) == len(record["annotations"])
    assert out["sem_seg"].shape == out["image"].shape[1:]


def test_same_bytes_in_two_places(private_roots, monkeypatch, tmp_path):
    first = streets_folder("mini", "clear", "val")
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "nowhere"))
    second = streets_folder("mini", "clear", "val")
    assert first != second
    assert _digest(first) == _digest(second)


def test_place_is_the_root_or_else_the_cache(private_roots, monkeypatch):
    root, cache = private_roots
    assert streets_folder("mini", "clear", "sequences").is_relative_to(root / FOLDER)
    assert not cache.exists()
    monkeypatch.setenv("DETECTRON2_DATASETS", str(root / "missing"))
    assert streets_folder("mini", "clear", "sequences").is_relative_to(cache / FOLDER)
    assert not (root / "missing").exists(), "a missing root must not be created behind one's back"


def _load(queue):
    records = DatasetCatalog.get("streets_mini_clear_val")
    queue.put((len(records), records[0]["file_name"]))


def test_many_processes_get_one_complete_data_set(private_roots):
    root, _ = private_roots
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=_load, args=(queue,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    answers = {queue.get(timeout=120) for _ in workers}
    for worker in workers:
        worker.join()
    assert len(answers) == 1 and next(iter(answers))[0] == SIZES["mini"].val
    (version,) = (root / FOLDER).iterdir()
    assert [p.name for p in version.iterdir() if p.is_dir()] == ["mini_clear_val"]


def test_unknown_size():
    with pytest.raises(KeyError, match="mini, small"):
        streets_folder("huge", "clear", "train")


def test_json_is_plain_coco(streets):
    data = json.loads(Path(MetadataCatalog.get("streets_mini_foggy_val").json_file).read_text())
    assert [c["id"] for c in data["categories"]] == [1, 2, 3, 4, 5, 6]
    assert all(a["iscrowd"] == 0 for a in data["annotations"])
    ids = [a["id"] for a in data["annotations"]]
    assert ids == list(range(1, len(ids) + 1))


def test_check_finds_what_was_damaged(private_roots):
    folder = streets_folder("mini", "clear", "sequences")
    counts = check_split(folder, "mini", "sequences")
    data = json.loads((folder / "instances.json").read_text())
    assert counts["pictures"] == len(data["images"])
    assert sum(counts.values()) - counts["pictures"] == len(data["annotations"])
    label = folder / "sem_seg" / "000003.png"
    pixels = cv2.imread(str(label), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(label), np.zeros_like(pixels))
    with pytest.raises(ValueError, match=r"(sem_seg|disparity)/000003\.png .*generate it again"):
        check_split(folder, "mini", "sequences")
    label.unlink()
    with pytest.raises(ValueError, match=r"sem_seg/000003\.png is missing"):
        check_split(folder, "mini", "sequences")


def test_without_opencv_the_package_imports_and_the_generator_says_what_to_install():
    """OpenCV is optional in detectron2, so importing the plugin must not need it."""
    code = (
        "import sys; sys.modules['cv2'] = None\n"
        "import drfpn_da\n"
        "from drfpn_da.data.synthetic import SIZES\n"
        "try:\n"
        "    from drfpn_da.data.synthetic import render_scene\n"
        "except ModuleNotFoundError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pip install opencv-python-headless" in done.stdout
