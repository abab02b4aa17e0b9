"""Sequences: frames and intrinsics transformed alike, and refusals that name the file."""

from __future__ import annotations

import itertools
import logging

import cv2
import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, DatasetMapper
from detectron2.data import transforms as T

from drfpn_da import model_zoo
from drfpn_da.data import (
    NeighbourMapper,
    SequenceMapper,
    build_sequence_loader,
    build_target_loader,
    build_two_stream_loader,
    get_sequence_dicts,
)
from drfpn_da.data.disparity import DisparityMapper
from drfpn_da.data.intrinsics import check_intrinsics, transform_intrinsics

K = np.array([[60.0, 0, 31.5], [0, 50.0, 20.0], [0, 0, 1]])


def see(intrinsics, points):
    """Pixels of points in space, columns (x, y)."""
    moved = intrinsics @ points
    return (moved[:2] / moved[2:]).T


def write_frames(folder, size=(40, 64)):
    """Three frames with a bright dot where a camera with K sees one point."""
    point = np.array([[0.1, -0.2, 2.0]]).T
    names = []
    for i in range(3):
        picture = np.full((*size, 3), 20 * i, np.uint8)
        x, y = see(K, point)[0].round().astype(int)
        picture[y, x] = 255
        names.append(str(folder / f"{i}.png"))
        cv2.imwrite(names[-1], picture)
    return {
        "previous_file_name": names[0],
        "file_name": names[1],
        "next_file_name": names[2],
        "intrinsics": K.tolist(),
        "height": size[0],
        "width": size[1],
    }, point


@pytest.mark.parametrize(
    "augmentations",
    [
        [T.ResizeTransform(40, 64, 80, 192)],
        [T.HFlipTransform(64)],
        [T.CropTransform(10, 5, 40, 30)],
        [T.HFlipTransform(64), T.CropTransform(7, 2, 50, 35), T.ResizeTransform(35, 50, 70, 150)],
    ],
    ids=["resize", "flip", "crop", "all"],
)
def test_intrinsics_follow_the_picture(tmp_path, augmentations):
    """A point in space is seen by the new intrinsics where its dot has gone."""
    record, point = write_frames(tmp_path)
    sample = SequenceMapper(augmentations=augmentations)(record)
    mirrored = any(isinstance(a, T.HFlipTransform) for a in augmentations)
    mirror = np.array([[-1.0 if mirrored else 1.0], [1], [1]])
    expected = see(sample["intrinsics"].double().numpy(), point * mirror)[0]
    for key, floor in (("previous_image", 0), ("image", 20), ("next_image", 40)):
        dot = sample[key].double().mean(0) - floor
        y, x = torch.meshgrid(*(torch.arange(n).double() for n in dot.shape), indexing="ij")
        found = [float((axis * dot).sum() / dot.sum()) for axis in (x, y)]
        scale = sample["image"].shape[-1] / 64
        # The dot is drawn at a whole pixel.
        np.testing.assert_allclose(found, expected, atol=0.5 * max(2.0, 2 * scale))
    assert sample["intrinsics"][0, 0] > 0 and sample["intrinsics"][1, 1] > 0


def test_numbers_of_intrinsics():
    double = transform_intrinsics(K, T.ResizeTransform(40, 64, 80, 128))
    np.testing.assert_allclose(double, [[120, 0, 63.5], [0, 100, 40.5], [0, 0, 1]])
    flipped = transform_intrinsics(K, T.HFlipTransform(64))
    np.testing.assert_allclose(flipped, [[60, 0, 63 - 31.5], [0, 50, 20], [0, 0, 1]])
    upside = transform_intrinsics(K, T.VFlipTransform(40))
    np.testing.assert_allclose(upside, [[60, 0, 31.5], [0, 50, 39 - 20], [0, 0, 1]])
    cropped = transform_intrinsics(K, T.TransformList([T.CropTransform(3, 4, 20, 20)]))
    np.testing.assert_allclose(cropped, [[60, 0, 28.5], [0, 50, 16], [0, 0, 1]])


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_intrinsics_of_another_size_are_refused(factor):
    wrong = np.diag([factor, factor, 1]) @ K
    with pytest.raises(ValueError, match=r"street\.png: intrinsics .* 64x40.*ratio of widths"):
        check_intrinsics(wrong, (40, 64), "street.png")
    np.testing.assert_array_equal(check_intrinsics(K.tolist(), (40, 64), "street.png"), K)


@pytest.mark.parametrize("bad", [np.eye(4), np.full((3, 3), np.nan), [[1, 0, 0]] * 3])
def test_matrices_that_are_no_intrinsics(bad):
    with pytest.raises(ValueError, match=r"a\.png: intrinsics .* are no matrix"):
        check_intrinsics(bad, (40, 64), "a.png")


def test_missing_neighbour_and_other_size_are_named(tmp_path):
    record, _ = write_frames(tmp_path)
    mapper = SequenceMapper(augmentations=[])
    with pytest.raises(ValueError, match=r"1\.png: the record has no next_file_name"):
        mapper({**record, "next_file_name": None})
    cv2.imwrite(record["next_file_name"], np.zeros((20, 64, 3), np.uint8))
    with pytest.raises(ValueError, match=r"2\.png is 64x20, but .*1\.png is 64x40"):
        mapper(record)


def test_jitter_is_the_same_for_all_frames(tmp_path):
    record, _ = write_frames(tmp_path)
    for key in ("previous_file_name", "next_file_name"):
        record[key] = record["file_name"]
    mapper = SequenceMapper(
        augmentations=[], color_jitter=(0.5, 0.5, 0.5, 0.1), color_jitter_prob=1.0
    )
    sample = mapper(record)
    first, second, third = sample["jittered"]
    assert torch.equal(first, second) and torch.equal(second, third)
    assert not torch.equal(second, sample["image"])
    plain = SequenceMapper(augmentations=[])(record)
    assert torch.equal(plain["image"], sample["image"]) and "jittered" not in plain


def mini_cfg() -> CfgNode:
    cfg = model_zoo.get_config("depth/streets/mobilenetv2_mini.yaml")
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.SEED = 3
    return cfg


def test_streets_give_the_frames_with_two_neighbours(caplog):
    with caplog.at_level(logging.INFO, "drfpn_da.data.sequences"):
        records = get_sequence_dicts("streets_mini_clear_sequences")
    assert len(records) == 4 and "8 without are left out" in caplog.text
    loader = build_sequence_loader(mini_cfg())
    batch = next(iter(loader))
    assert len(batch) == 2
    for sample in batch:
        assert sample["image"].shape == sample["next_image"].shape == (3, 80, 160)
        assert sample["intrinsics"].shape == (3, 3) and "annotations" not in sample
        # 256 pixels became 160.
        assert abs(float(sample["intrinsics"][0, 2]) - 79.5) < 1e-3


def test_warping_by_the_true_depth_and_pose_renders_the_frame():
    """Generated pictures, depth, poses, intrinsics and the projection agree, also when flipped."""
    from drfpn_da.evaluation.depth import read_true_depth
    from drfpn_da.functional import synthesize

    records = {r["file_name"]: r for r in DatasetCatalog.get("streets_mini_clear_sequences")}
    record = get_sequence_dicts("streets_mini_clear_sequences")[0]
    following = records[record["next_file_name"]]
    move = np.linalg.inv(following["camera_to_world"]) @ np.array(record["camera_to_world"])
    depth = read_true_depth(record).clamp(max=1e4)[None, None]
    for flip in (False, True):
        augmentations = [T.HFlipTransform(record["width"])] if flip else []
        sample = SequenceMapper(augmentations=augmentations)(record)
        mirror = np.diag([-1.0 if flip else 1.0, 1, 1, 1])
        pose = torch.from_numpy(mirror @ move @ mirror)[None]
        shown = depth.flip(-1) if flip else depth
        source, target = sample["next_image"][None].double(), sample["image"].double()
        k = sample["intrinsics"].double()[None]
        warped = synthesize(source, shown, k, pose)[0]
        still = (source[0] - target).abs().mean()
        assert (warped - target).abs().mean() < 0.6 * still


def test_data_sets_without_sequences_are_refused():
    with pytest.raises(ValueError, match=r"streets_mini_clear_val.*previous_file_name"):
        get_sequence_dicts(["streets_mini_clear_val"])


def multi_task_cfg(*options) -> CfgNode:
    cfg = model_zoo.get_config("depth_mix/streets/multi_task_mobilenetv2_mini.yaml")
    cfg.merge_from_list(["DATALOADER.NUM_WORKERS", 0, "SEED", 3, *options])
    return cfg


def test_neighbours_beside_another_mapper(tmp_path):
    """Frames and intrinsics are those of SequenceMapper, and disparity still follows."""
    record, _ = write_frames(tmp_path)
    augmentations = [T.HFlipTransform(64), T.CropTransform(7, 2, 50, 35)]
    np.save(tmp_path / "d.npy", cv2.imread(record["file_name"])[..., 0].astype(np.float32))
    record["disparity_file_name"] = str(tmp_path / "d.npy")
    plain = DatasetMapper(True, augmentations=augmentations, image_format="RGB")
    sample = DisparityMapper(NeighbourMapper(plain), normalize=False)(record)
    expected = SequenceMapper(augmentations=augmentations)(record)
    for key in ("previous_image", "image", "next_image", "intrinsics"):
        assert torch.equal(sample[key], expected[key]), key
    assert torch.equal(sample["disparity"], sample["image"][0].float())
    alone = {**record, "previous_file_name": None}
    with pytest.raises(ValueError, match=r"1\.png: the record has no previous_file_name"):
        NeighbourMapper(plain)(alone)
    assert "next_image" not in NeighbourMapper(plain, required=False)(alone)


def test_labelled_pictures_have_neighbours_where_depth_is_learnt_from_them():
    options = ("SOLVER.IMS_PER_BATCH", 2, "MODEL.DEPTH.ON_LABELLED")
    plain, both = (
        build_two_stream_loader(multi_task_cfg(*options, on)).source for on in (False, True)
    )
    seen = set()
    for mine, its in itertools.islice(zip(plain, both), 4):
        for one, other in zip(mine, its):
            whole = all(other.get(key) for key in ("previous_file_name", "next_file_name"))
            seen.add(whole)
            assert "next_image" not in one and ("next_image" in other) == whole
            if whole:
                assert other["next_image"].shape == other["image"].shape == (3, 80, 160)
            assert torch.equal(one["image"], other["image"])
            assert torch.equal(one["sem_seg"], other["sem_seg"])
    assert True in seen  # those without neighbours stay, for their labels
    with pytest.raises(ValueError, match=r"ON_LABELLED is True, but INPUT.SOURCE_VIEW is 'strong'"):
        build_two_stream_loader(multi_task_cfg(*options, True, "INPUT.SOURCE_VIEW", "strong"))
    with pytest.raises(ValueError, match=r"streets_mini_clear_train' \(MODEL.DEPTH.ON_LABELLED\)"):
        train = ("DATASETS.TRAIN", ("streets_mini_clear_train",))
        build_two_stream_loader(multi_task_cfg(*options, True, *train))


def test_target_pictures_of_both_tasks_have_neighbours_and_no_labels():
    batch = next(iter(build_target_loader(multi_task_cfg("SOLVER.IMS_PER_BATCH", 2))))
    for sample in batch:
        assert sample["domain"] == "target" and not {"sem_seg", "instances"} & set(sample)
        assert sample["previous_image"].shape == sample["image"].shape == (3, 80, 160)
        assert abs(float(sample["intrinsics"][0, 2]) - 79.5) < 1e-3
    with pytest.raises(ValueError, match=r"TARGET_VIEWS begins with 'strong'.*write 'weak' first"):
        build_target_loader(multi_task_cfg("INPUT.TARGET_VIEWS", ["strong"]))
    with pytest.raises(ValueError, match=r"streets_mini_clear_val' \(DATASETS.TARGET\)"):
        build_target_loader(multi_task_cfg("DATASETS.TARGET", ("streets_mini_clear_val",)))
