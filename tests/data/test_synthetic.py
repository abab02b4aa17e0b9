"""The street renderer: what it draws, labels and measures must be one and the same scene."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_util

from drfpn_da.data.synthetic import (
    SEMANTIC_CLASSES,
    Fog,
    add_fog,
    encode_disparity,
    render_scene,
    sample_scene,
)
from drfpn_da.data.synthetic.annotate import MIN_AREA, annotate, separated_labels
from drfpn_da.data.synthetic.camera import make_camera
from drfpn_da.data.synthetic.render import Frame, Quad, draw_quad
from drfpn_da.data.synthetic.spec import DOMAINS, SIZES, SPLITS, scene_seed
from drfpn_da.data.synthetic.writer import drive, scene_rng

WIDTH, HEIGHT = 256, 128


@pytest.fixture(scope="module")
def scenes():
    """Eight streets with their rendered frames."""
    found = []
    for index in range(8):
        scene = sample_scene(np.random.default_rng([5, index]), WIDTH, HEIGHT)
        found.append((scene, render_scene(scene, scene.camera)))
    return found


@pytest.fixture
def camera():
    """Looks along z from 1.5 m above the ground; focal length 100, principal point (50, 25)."""
    return make_camera(101, 51, focal=100.0, horizon=0.5, position=np.array([0.0, -1.5, 0.0]))


def _card(color, x, z, width, height, semantic, instance):
    texture = np.full((16, 16, 4), 255, np.uint8)
    texture[..., :3] = color
    origin = np.array([x - width / 2, -1.5 - height / 2, z])
    right, down = np.array([width, 0.0, 0.0]), np.array([0.0, height, 0.0])
    return Quad(texture, origin, right, down, semantic, instance)


def test_card_lands_where_the_pinhole_equations_say(camera):
    frame = Frame.empty(51, 101, 4)
    draw_quad(
        frame,
        camera,
        _card((200, 0, 0), x=1.0, z=10.0, width=2.0, height=1.0, semantic=5, instance=3),
    )
    # x from 0 to 2 m at 10 m: columns 50 + 100 * 0 / 10 to 50 + 100 * 2 / 10.
    inside = frame.instance == 3
    columns, rows = np.flatnonzero(inside.any(0)), np.flatnonzero(inside.any(1))
    assert abs(columns[0] - 50) <= 1 and abs(columns[-1] - 70) <= 1
    assert abs(rows[0] - 20) <= 1 and abs(rows[-1] - 30) <= 1
    np.testing.assert_allclose(frame.inverse_depth[inside], 0.1, rtol=1e-5)
    np.testing.assert_allclose(frame.color[25, 60], (200, 0, 0), atol=1)
    assert (frame.inverse_depth[~inside] == 0).all()


@pytest.mark.parametrize("near_first", [False, True])
def test_nearer_card_wins_in_any_drawing_order(camera, near_first):
    near = _card((255, 0, 0), 0.0, 5.0, 0.5, 0.5, semantic=5, instance=1)
    far = _card((0, 255, 0), 0.0, 10.0, 3.0, 3.0, semantic=6, instance=2)
    frame = Frame.empty(51, 101, 4)
    for quad in (near, far) if near_first else (far, near):
        draw_quad(frame, camera, quad)
    assert frame.instance[25, 50] == 1 and frame.semantic[25, 50] == 5
    assert frame.instance[25, 62] == 2
    assert frame.drawn_area[2] > (frame.instance == 2).sum()
    np.testing.assert_allclose(frame.inverse_depth[25, [50, 62]], [0.2, 0.1], rtol=1e-5)


def test_slanted_plane_has_the_depth_of_ray_and_plane(camera):
    """A wall along the view (x = 2): z = 2 focal / (u - cx), clipped at the camera."""
    texture = np.full((8, 8, 4), 255, np.uint8)
    wall = Quad(
        texture, np.array([2.0, -4.0, -5.0]), np.array([0, 0, 50.0]), np.array([0, 4.0, 0]), 2
    )
    frame = Frame.empty(51, 101, 4)
    draw_quad(frame, camera, wall)
    u = np.arange(60, 101)
    np.testing.assert_allclose(1 / frame.inverse_depth[25, 60:], 200.0 / (u - 50), rtol=1e-4)
    assert (frame.semantic[25, :50] == 4).all()


def test_same_seed_same_scene(scenes):
    again = sample_scene(np.random.default_rng([5, 0]), WIDTH, HEIGHT)
    frame = render_scene(again, again.camera)
    for field in ("color", "inverse_depth", "semantic", "instance"):
        np.testing.assert_array_equal(getattr(frame, field), getattr(scenes[0][1], field))
    assert np.abs(frame.color - scenes[1][1].color).mean() > 5


def test_no_two_scenes_share_a_seed():
    seeds = [
        tuple(scene_seed(size, domain, split, index))
        for size in SIZES
        for domain in DOMAINS
        for split in SPLITS
        for index in range(3)
    ]
    assert len(set(seeds)) == len(seeds)
    first = [scene_rng("mini", domain, "train", 0).random() for domain in DOMAINS]
    assert first[0] != first[1]


def test_instances_have_the_class_of_their_pixels(scenes):
    for scene, frame in scenes:
        for instance, thing in scene.objects.items():
            assert set(np.unique(frame.semantic[frame.instance == instance])) <= {thing.semantic}
        stuff = frame.instance == 0
        assert frame.semantic[stuff].max() < 5 <= frame.semantic[~stuff].min()
        assert set(np.unique(frame.semantic)) <= set(range(len(SEMANTIC_CLASSES)))


def test_occlusion_agrees_with_depth(scenes):
    """Along the border of an object, the object is in front of what it hides: a removed occluder
    changes the map only to larger depth."""
    checked = 0
    for scene, frame in scenes[:3]:
        annotated = [i for i in scene.objects if (frame.instance == i).sum() > 100]
        for instance in annotated[:4]:
            rest = [q for q in scene.quads if q.instance != instance]
            without = type(scene)(**{**vars(scene), "quads": rest})
            behind = render_scene(without, scene.camera)
            mask = frame.instance == instance
            assert (behind.inverse_depth[mask] <= frame.inverse_depth[mask] * (1 + 1e-3)).all()
            np.testing.assert_array_equal(behind.instance[~mask], frame.instance[~mask])
            checked += 1
    assert checked >= 6


def test_boxes_are_tight_and_fragments_dropped(scenes):
    seen = 0
    for scene, frame in scenes:
        for annotation in annotate(scene, scene.camera, frame):
            mask = mask_util.decode(annotation["segmentation"]).astype(bool)
            x, y, w, h = (int(v) for v in annotation["bbox"])
            assert annotation["area"] == mask.sum() >= MIN_AREA
            assert mask[y : y + h, x : x + w].sum() == mask.sum()
            assert mask[y].any() and mask[y + h - 1].any()
            assert mask[:, x].any() and mask[:, x + w - 1].any()
            category = SEMANTIC_CLASSES[annotation["category_id"] + 4]
            assert {SEMANTIC_CLASSES[k] for k in np.unique(frame.semantic[mask])} == {category}
            assert 0.15 <= annotation["visible_fraction"] <= 1
            seen += 1
    assert seen > 40


def test_size_is_proportional_to_disparity(scenes):
    """Upright things seen whole: height in pixels = focal * metres / depth."""
    errors = []
    for scene, frame in scenes:
        for annotation in annotate(scene, scene.camera, frame):
            x, y, w, h = annotation["bbox"]
            inside = x > 0 and y > 0 and x + w < WIDTH and y + h < HEIGHT
            upright = SEMANTIC_CLASSES[annotation["category_id"] + 4] in ("person", "pole", "rider")
            if inside and upright and annotation["visible_fraction"] > 0.98 and h > 12:
                expected = scene.camera.focal * annotation["size_m"][1] / annotation["depth"]
                errors.append(abs(h - expected) / (1.5 + 0.04 * expected))
    assert len(errors) >= 8
    assert max(errors) < 1


def test_ground_depth_follows_the_camera_height(scenes):
    scene, frame = scenes[0]
    camera = scene.camera
    road = np.argwhere((frame.semantic == 0) & (frame.instance == 0))
    for row, column in road[:: max(len(road) // 50, 1)]:
        ray = camera.rotation.T @ np.linalg.inv(camera.intrinsics) @ (column, row, 1.0)
        point = camera.position + ray / frame.inverse_depth[row, column]
        assert abs(point[1]) < 1e-3
        assert abs(point[0]) <= scene.ground.half_width + 1e-3


def test_fog_equals_the_formula_pixel_by_pixel():
    rng = np.random.default_rng(0)
    color = rng.uniform(0, 255, (3, 4, 3)).astype(np.float32)
    depth = rng.uniform(2, 90, (3, 4))
    depth[0, 0] = np.inf
    fog = Fog(beta=0.05, airlight=(200.0, 205.0, 210.0))
    result = add_fog(color, (1 / depth).astype(np.float32), fog)
    for row in range(3):
        for column in range(4):
            t = np.exp(-0.05 * depth[row, column])
            expected = color[row, column] * t + np.array(fog.airlight) * (1 - t)
            np.testing.assert_allclose(result[row, column], expected, atol=0.01)
    np.testing.assert_allclose(result[0, 0], fog.airlight)


def test_disparity_code_round_trip():
    depth = np.array([2.0, 10.0, 80.0, np.inf])
    code = encode_disparity(1 / depth, focal=220.0)
    assert code.dtype == np.uint16
    # 220 px * 0.54 m / 10 m = 11.88 px, stored times 256.
    assert code.tolist()[1:] == [round(11.88 * 256), round(1.485 * 256), 0]
    np.testing.assert_allclose(220.0 * 0.54 * 256 / code[:3], depth[:3], rtol=2e-3)


def test_separated_labels():
    labels = separated_labels(np.arange(11, dtype=np.uint8))
    assert labels.tolist() == [1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0]


def _warp_error(scene, moving_time):
    """Mean colour error of frame 0 against frame 1 warped by depth and pose, and without warp."""
    first, second = drive(np.random.default_rng(1), scene.camera, 2)
    here = render_scene(scene, first, 0)
    there = render_scene(scene, second, moving_time)
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    seen = here.inverse_depth > 0
    depth = np.where(seen, 1 / np.maximum(here.inverse_depth, 1e-6), 1)
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(first.intrinsics).T
    points = np.concatenate([rays * depth[..., None], np.ones((HEIGHT, WIDTH, 1))], -1)
    motion = np.linalg.inv(second.camera_to_world) @ first.camera_to_world
    pixels = (points @ motion.T)[..., :3] @ second.intrinsics.T
    x, y = (np.float32(pixels[..., i] / pixels[..., 2]) for i in (0, 1))
    warped = cv2.remap(there.color, x, y, cv2.INTER_LINEAR)
    depth_there = cv2.remap(there.inverse_depth, x, y, cv2.INTER_NEAREST)
    visible = np.abs(depth_there * pixels[..., 2] - 1) < 0.03  # not occluded in the other frame
    inside = (x >= 0) & (x <= WIDTH - 1) & (y >= 0) & (y <= HEIGHT - 1)
    valid = seen & inside & visible & (pixels[..., 2] > 0.5)
    assert valid.mean() > 0.5
    error = np.abs(warped - here.color).mean(-1)[valid]
    still = np.abs(there.color - here.color).mean(-1)[valid]
    return np.median(error), error.mean(), still.mean()


def test_true_depth_and_pose_reproduce_the_neighbouring_frame(scenes):
    for scene, _ in scenes[:4]:
        median, warped, still = _warp_error(scene, moving_time=0)
        assert median < 1.5  # of 255
        assert warped < still / 3


def test_moving_cars_break_the_static_warp_only_where_they_are():
    scene = sample_scene(np.random.default_rng([6, 1]), WIDTH, HEIGHT, moving=True)
    velocities = [o.velocity[2] for o in scene.objects.values() if o.velocity.any()]
    assert velocities and {o.semantic for o in scene.objects.values() if o.velocity.any()} == {5}
    start, later = (render_scene(scene, scene.camera, time) for time in (0, 1))
    changed = start.instance != later.instance
    moving = [i for i, o in scene.objects.items() if o.velocity.any()]
    near_moving = np.isin(start.instance, moving) | np.isin(later.instance, moving)
    assert changed.any() and near_moving[changed].all()


def test_pictures_of_this_version_stay_as_they_are():
    """Guards against changing generated data by accident: then VERSION must be raised as well."""
    found = []
    for index in range(3):
        rng = scene_rng("mini", "clear", "train", index)
        scene = sample_scene(rng, WIDTH, HEIGHT)
        frame = render_scene(scene, scene.camera)
        shares = np.bincount(frame.semantic.ravel(), minlength=11) / frame.semantic.size
        found.append([len(scene.objects), frame.color.mean(), shares[0], shares[2], shares[5]])
    # Objects, mean grey, and shares of road, building and car.
    expected = [
        [27, 118.94, 0.367, 0.393, 0.054],
        [22, 86.72, 0.299, 0.373, 0.162],
        [21, 82.74, 0.298, 0.405, 0.064],
    ]
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)
