"""Random streets: where everything stands, and how a camera sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from .camera import Camera, make_camera
from .classes import SKY
from .ground import Ground, draw_ground
from .layout import Placement, place_objects
from .render import Frame, Quad, draw_quad
from .surroundings import make_building, make_hedge, make_sky, make_skyline, make_tree


@dataclass(frozen=True)
class SceneObject:
    """One thing of the scene.

    Attributes:
        instance: id in the instance map, from 1.
        semantic: class id.
        position: (3,) foot point, metres.
        size: width, height and length, metres, in the object's own axes.
        velocity: (3,) metres per frame.
    """

    instance: int
    semantic: int
    position: np.ndarray
    size: tuple[float, float, float]
    velocity: np.ndarray


@dataclass
class Scene:
    """A street with its reference camera and its light.

    Attributes:
        camera: view of the first frame.
        ground: road and pavements.
        backdrop: sky, skyline and buildings in drawing order.
        shadows: soft shadows on the ground, with the id of the object that casts them.
        quads: faces of trees and things.
        objects: things by id.
        gain: (3,) exposure times colour temperature.
        noise: standard deviation of the sensor's noise, 0-255.
    """

    camera: Camera
    ground: Ground
    backdrop: list[Quad]
    shadows: list[tuple[Quad, int]]
    quads: list[Quad]
    objects: dict[int, SceneObject] = field(default_factory=dict)
    gain: np.ndarray = field(default_factory=lambda: np.ones(3))
    noise: float = 0.0


def sample_scene(rng: np.random.Generator, width: int, height: int, moving: bool = False) -> Scene:
    """Draw a random street.

    Args:
        rng: source of all randomness of the scene.
        width: image width, pixels.
        height: image height, pixels.
        moving: let cars in the lanes drive (for sequences).
    """
    ground = _sample_ground(rng)
    lanes = ground.lanes
    centres = (lanes[1:] + lanes[:-1]) / 2
    ego = float(rng.choice(centres[centres > -0.1]))
    position = np.array([ego + rng.uniform(-0.3, 0.3), -rng.uniform(1.35, 1.75), 0.0])
    camera = make_camera(
        width,
        height,
        focal=float(rng.uniform(0.75, 0.95) * width),
        horizon=float(rng.uniform(0.42, 0.52)),
        position=position,
        yaw=float(rng.uniform(-0.045, 0.045)),
        pitch=float(rng.uniform(0.0, 0.03)),
    )
    scene = Scene(camera, ground, _sample_backdrop(rng, ground, camera), [], [])
    for placement in place_objects(rng, ground, ego, moving):
        _add_object(scene, rng, placement)
    _add_trees(scene, rng)
    temperature = rng.uniform(-0.07, 0.07)
    scene.gain = rng.uniform(0.76, 1.2) * np.array([1 + temperature, 1.0, 1 - temperature])
    scene.noise = float(rng.uniform(0.8, 2.6))
    return scene


def render_scene(scene: Scene, camera: Camera, time: float = 0.0) -> Frame:
    """Render the clear scene, without noise.

    Args:
        scene: what to draw.
        camera: the view.
        time: frames since the start, which moves objects with a velocity.

    Returns:
        Colour after exposure, 0-255, and exact depth, classes and instances.
    """
    frame = Frame.empty(camera.height, camera.width, SKY)
    draw_quad(frame, camera, scene.backdrop[0])
    draw_ground(frame, camera, scene.ground)
    for quad in scene.backdrop[1:]:
        draw_quad(frame, camera, quad)
    shifts = {i: o.velocity * time for i, o in scene.objects.items() if o.velocity.any()}
    for quad, instance in scene.shadows:
        draw_quad(frame, camera, quad, shifts.get(instance))
    ahead = camera.rotation[2]
    middles = [
        ahead @ (q.origin + (q.right + q.down) / 2 + shifts.get(q.instance, 0)) for q in scene.quads
    ]
    for index in np.argsort(-np.array(middles), kind="stable"):
        quad = scene.quads[index]
        draw_quad(frame, camera, quad, shifts.get(quad.instance))
    frame.color = np.clip(frame.color * scene.gain.astype(np.float32), 0, 255)
    return frame


def expose(color: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Add the sensor's noise and round to uint8."""
    noisy = color + rng.standard_normal(color.shape, dtype=np.float32) * np.float32(noise)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _sample_ground(rng: np.random.Generator) -> Ground:
    count = int(rng.choice([2, 3, 4], p=[0.45, 0.25, 0.3]))
    half = count * rng.uniform(3.1, 3.6) / 2 + rng.uniform(0.3, 0.8)
    lanes = np.linspace(-half, half, count + 1)
    asphalt = rng.uniform(84, 142) + rng.normal(0, 3, 3)
    pavement = rng.uniform(120, 185) + rng.normal(0, 5, 3) + np.array([6, 0, -6])
    grass = np.array([rng.uniform(70, 110), rng.uniform(95, 130), rng.uniform(50, 75)])
    paint = np.array([225, 224, 214]) * rng.uniform(0.85, 1.05)
    noise = rng.normal(0, 1, (64, 64)).astype(np.float32)
    noise = 0.045 * noise + 0.06 * cv2.resize(noise[:16, :16], (64, 64))
    patches = []
    for _ in range(rng.integers(0, 5)):
        x, z = rng.uniform(-half, half), rng.uniform(3, 40)
        size = rng.uniform(0.5, 2.0), rng.uniform(0.8, 7.0)
        patches.append([x, z, x + size[0], z + size[1], rng.choice([0.8, 0.88, 1.12])])
    return Ground(
        lanes=lanes,
        pavement=float(rng.uniform(2.0, 4.2)),
        colors=np.stack([asphalt, pavement, grass, paint]),
        tile=noise,
        crossing=float(rng.uniform(8, 30)) if rng.random() < 0.3 else None,
        patches=np.array(patches).reshape(-1, 5),
    )


def _sample_backdrop(rng: np.random.Generator, ground: Ground, camera: Camera) -> list[Quad]:
    """Sky first, then skyline, then buildings and hedges from far to near."""
    rows: list[tuple[float, list[Quad]]] = []
    brightness = rng.permutation([rng.uniform(0.72, 0.92), rng.uniform(0.95, 1.1)])
    line = ground.half_width + ground.pavement
    for side, light in zip((-line, line), brightness):
        z, hidden = rng.uniform(-8, 0), 0.0
        while z < 115:
            length = rng.uniform(7, 18)
            if rng.random() < 0.18:
                quads, hidden = make_hedge(rng, side, z, length, camera.focal / max(z, 5.0)), 0.0
            else:
                quads, hidden = make_building(
                    rng, side, z, length, camera.focal, float(light), hidden
                )
            rows.append((z, quads))
            z += length
    rows.sort(key=lambda row: -row[0])
    return [make_sky(rng), *make_skyline(rng), *(quad for _, quads in rows for quad in quads)]


def _texture_scale(camera: Camera, position: np.ndarray) -> float:
    """Texels per metre: somewhat more than the pixels per metre at this distance."""
    distance = max(float((camera.rotation @ (position - camera.position))[2]), 2.0)
    return float(np.clip(1.4 * camera.focal / distance, 8, 80))


def _add_object(scene: Scene, rng: np.random.Generator, place: Placement) -> None:
    instance = len(scene.objects) + 1
    position = np.array([place.x, 0.0, place.z])
    scale = _texture_scale(scene.camera, position)
    quads, size = place.make(rng, position, scale, instance)
    # A sign brings its own pole, which is an object too.
    for number in dict.fromkeys(q.instance for q in quads):
        own = [q for q in quads if q.instance == number]
        extent = size if number == instance else (0.08, float(own[0].down[1]), 0.08)
        velocity = np.array([0.0, 0.0, place.speed])
        scene.objects[number] = SceneObject(number, own[0].semantic, position, extent, velocity)
    scene.quads.extend(quads)
    if place.shadow:
        across, along = (size[2], size[0]) if place.turned else (size[0], size[2])
        scene.shadows.append((_shadow(position, across, max(along, 0.5)), instance))


def _shadow(position: np.ndarray, width: float, length: float) -> Quad:
    """A soft dark patch on the ground, a little larger than what casts it."""
    across = np.linspace(-1.25, 1.25, 24)
    outside = np.maximum(np.abs(across) - 0.75, 0) / 0.5
    soft = np.clip(1 - np.hypot(outside[None], outside[:, None]), 0, 1)
    texture = np.zeros((24, 24, 4), np.uint8)
    texture[..., 3] = 165 * soft
    right, down = np.array([1.25 * width, 0, 0]), np.array([0, 0, -1.25 * length])
    return Quad(texture, position - (right + down) / 2, right, down, semantic=-1)


def _add_trees(scene: Scene, rng: np.random.Generator) -> None:
    edge = scene.ground.half_width + scene.ground.pavement - 0.5
    for side in (-1, 1):
        if rng.random() < 0.5:
            continue
        z = rng.uniform(6, 18)
        while z < 90:
            position = np.array([side * edge, 0.0, z])
            scene.quads.extend(make_tree(rng, position, _texture_scale(scene.camera, position)))
            z += rng.uniform(7, 20)
