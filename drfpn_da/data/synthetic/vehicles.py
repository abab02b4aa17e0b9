"""Cars as low-polygon solids: a body box and a tapered cabin, each face a textured quad."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .camera import rotation_y
from .canvas import Canvas, pick_color
from .classes import CAR
from .render import Quad

GLASS = np.array([52.0, 62.0, 74.0])
TYRE = np.array([26.0, 26.0, 28.0])


@dataclass(frozen=True)
class CarShape:
    """Sizes in metres; the cabin's ends are given along the car from its rear end."""

    width: float
    height: float
    length: float
    belt: float
    cabin_bottom: tuple[float, float]
    cabin_top: tuple[float, float]


SHAPES = [
    CarShape(1.78, 1.46, 4.3, 0.92, (0.15, 3.35), (0.55, 2.55)),  # hatchback
    CarShape(1.82, 1.44, 4.7, 0.92, (0.75, 3.55), (1.35, 2.75)),  # saloon
    CarShape(1.90, 1.72, 4.6, 1.05, (0.05, 3.45), (0.30, 2.80)),  # off-road
    CarShape(1.98, 2.15, 5.2, 1.15, (0.02, 4.60), (0.08, 4.00)),  # van
]


def make_car(
    rng: np.random.Generator, position: np.ndarray, yaw: float, scale: float, instance: int
) -> tuple[list[Quad], tuple[float, float, float]]:
    """Build a car.

    Args:
        rng: source of randomness.
        position: (3,) middle of the car on the ground.
        yaw: heading, rad; 0 drives along z, so that a camera behind it sees its rear.
        scale: texels per metre.
        instance: object id.

    Returns:
        The faces and (width, height, length) in metres.
    """
    shape = SHAPES[rng.integers(len(SHAPES))]
    size = rng.uniform(0.94, 1.06)
    paint = pick_color(rng)
    turn = rotation_y(yaw)
    light = _face_light(yaw)
    quads = []
    for name, corners, texture in _faces(rng, shape, paint, scale):
        points = (np.array(corners) * size) @ turn.T + position
        top_left, top_right, bottom_left = points
        texture[..., :3] = texture[..., :3] * light[name]
        quads.append(
            Quad(
                texture,
                top_left,
                top_right - top_left,
                bottom_left - top_left,
                CAR,
                instance,
                one_sided=name != "deck",
            )
        )
    return quads, (shape.width * size, shape.height * size, shape.length * size)


def _face_light(yaw: float) -> dict[str, float]:
    """Shades of the faces under a fixed high light from the front left."""
    side = 0.08 * np.cos(yaw)
    return {"rear": 0.92, "front": 0.92, "left": 0.84 + side, "right": 0.84 - side, "deck": 1.0}


def _faces(
    rng: np.random.Generator, s: CarShape, paint: np.ndarray, scale: float
) -> list[tuple[str, list[tuple[float, float, float]], np.ndarray]]:
    """Return (name, [top left, top right, bottom left], texture) in the car's own axes.

    The axes are x right, y down, z forward from the middle; corners are as seen from outside.
    """
    w, half, h, b = s.width / 2, s.length / 2, s.height, s.belt
    (b0, b1), (t0, t1) = s.cabin_bottom, s.cabin_top
    b0, b1, t0, t1 = b0 - half, b1 - half, t0 - half, t1 - half
    inset = 0.14 * s.width
    deck = _solid(rng, s.width, s.length, paint * 1.04, scale)
    side = _side(rng, s, paint, scale)
    cabin = _cabin_side(rng, s, paint, scale)
    front, rear = (_end(rng, s, paint, scale, is_rear) for is_rear in (False, True))
    return [
        ("deck", [(-w, -b, half), (w, -b, half), (-w, -b, -half)], deck),
        ("front", [(w, -h, t1), (-w, -h, t1), (w, -b, b1)], _window(rng, s, paint, scale, inset)),
        ("left", [(-w + inset, -h, b1), (-w + inset, -h, b0), (-w, -b, b1)], cabin[:, ::-1].copy()),
        ("right", [(w - inset, -h, b0), (w - inset, -h, b1), (w, -b, b0)], cabin.copy()),
        ("rear", [(-w, -h, t0), (w, -h, t0), (-w, -b, b0)], _window(rng, s, paint, scale, inset)),
        ("left", [(-w, -b, half), (-w, -b, -half), (-w, 0, half)], side[:, ::-1].copy()),
        ("right", [(w, -b, -half), (w, -b, half), (w, 0, -half)], side),
        ("front", [(w, -b, half), (-w, -b, half), (w, 0, half)], front),
        ("rear", [(-w, -b, -half), (w, -b, -half), (-w, 0, -half)], rear),
    ]


def _solid(
    rng: np.random.Generator, width: float, height: float, paint: np.ndarray, scale: float
) -> np.ndarray:
    canvas = Canvas(width, height, scale / 2)
    canvas.rectangle(0, 0, width, height, paint)
    return canvas.texture(rng, 0.03)


def _window(
    rng: np.random.Generator, s: CarShape, paint: np.ndarray, scale: float, inset: float
) -> np.ndarray:
    """Front or rear end of the cabin: a trapezoid of glass under a roof edge."""
    height = s.height - s.belt
    canvas = Canvas(s.width, height, scale)
    w = s.width
    canvas.polygon([(0, 0), (w, 0), (w - inset, height), (inset, height)], paint)
    m, top = 0.1, height - 0.1
    lean = inset * top / height
    glass = GLASS * rng.uniform(0.8, 1.5)
    canvas.polygon([(m, 0.04), (w - m, 0.04), (w - lean - m, top), (lean + m, top)], glass)
    reflection = [(0.3 * w, 0.04), (0.5 * w, 0.04), (0.7 * w, top), (0.5 * w, top)]
    canvas.polygon(reflection, glass * 1.4)
    return canvas.texture(rng, 0.03)


def _cabin_side(
    rng: np.random.Generator, s: CarShape, paint: np.ndarray, scale: float
) -> np.ndarray:
    """Side of the cabin, rear end on the left of the texture."""
    (b0, b1), (t0, t1) = s.cabin_bottom, s.cabin_top
    length, height = b1 - b0, s.height - s.belt
    canvas = Canvas(length, height, scale)
    left, right = t0 - b0, t1 - b0
    canvas.polygon([(0, 0), (length, 0), (right, height), (left, height)], paint)
    m = 0.09
    middle = (left + right) / 2
    glass = GLASS * rng.uniform(0.8, 1.4)
    rear = [(left * 0.3 + 2 * m, 0.03), (middle - m, 0.03), (middle - m, height - m)]
    canvas.polygon([*rear, (left + m, height - m)], glass)
    front = [(middle + m, 0.03), (length - (length - right) * 0.2 - m, 0.03)]
    canvas.polygon([*front, (right - m, height - m), (middle + m, height - m)], glass)
    return canvas.texture(rng, 0.03)


def _side(rng: np.random.Generator, s: CarShape, paint: np.ndarray, scale: float) -> np.ndarray:
    """Side of the body with wheels, rear end on the left of the texture."""
    canvas = Canvas(s.length, s.belt, scale)
    low, radius = 0.22, 0.33
    canvas.polygon(
        [
            (0.0, low + 0.1),
            (0.15, low),
            (s.length - 0.12, low),
            (s.length, low + 0.1),
            (s.length, s.belt),
            (0, s.belt),
        ],
        paint,
    )
    canvas.rectangle(0.1, low, s.length - 0.1, low + 0.07, paint * 0.45)
    for seam in (0.40, 0.66):
        canvas.rectangle(s.length * seam, low + 0.1, s.length * seam + 0.03, s.belt, paint * 0.7)
    canvas.rectangle(s.length - 0.28, s.belt - 0.28, s.length, s.belt - 0.12, (235, 232, 214))
    canvas.rectangle(0, s.belt - 0.3, 0.16, s.belt - 0.1, (150, 24, 22))
    for x in (0.18 * s.length, 0.81 * s.length):
        canvas.ellipse(x, radius, radius * 1.14, radius * 1.14, paint * 0.3)
        canvas.ellipse(x, radius, radius, radius, TYRE)
        canvas.ellipse(x, radius, radius * 0.58, radius * 0.58, (150, 152, 156))
    return canvas.texture(rng, 0.03)


def _end(
    rng: np.random.Generator, s: CarShape, paint: np.ndarray, scale: float, rear: bool
) -> np.ndarray:
    """Front or rear end of the body: lights, plate or grille, bumper, tyres."""
    canvas = Canvas(s.width, s.belt, scale)
    w, low = s.width, 0.22
    for x in (0.04, w - 0.26):
        canvas.rectangle(x, 0, x + 0.22, low + 0.1, TYRE)
    canvas.rectangle(0, low, w, s.belt, paint)
    canvas.rectangle(0.02, low, w - 0.02, low + 0.14, paint * 0.4)
    lamp = (168, 22, 20) if rear else (240, 238, 222)
    top = s.belt - 0.08
    for x in (0.04, w - 0.36):
        canvas.rectangle(x, top - 0.2, x + 0.32, top, lamp)
    if rear:
        canvas.rectangle(w / 2 - 0.26, 0.48, w / 2 + 0.26, 0.6, (228, 226, 210))
    else:
        canvas.rectangle(w / 2 - 0.45, 0.48, w / 2 + 0.45, top - 0.04, (34, 35, 38))
        canvas.rectangle(w / 2 - 0.24, 0.34, w / 2 + 0.24, 0.45, (228, 226, 210))
    return canvas.texture(rng, 0.03)
