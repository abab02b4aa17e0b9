"""Persons and riders as upright cut-outs that face the camera."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, pick_color
from .classes import PERSON, RIDER
from .render import Quad

SKIN = np.array([(240, 204, 176), (214, 166, 128), (158, 108, 76), (96, 66, 50)], dtype=float)
HAIR = np.array([(40, 32, 28), (92, 62, 38), (186, 156, 98), (140, 138, 136)], dtype=float)
METAL = np.array([48.0, 50.0, 54.0])


def billboard(
    texture: np.ndarray,
    position: np.ndarray,
    width: float,
    height: float,
    semantic: int,
    instance: int = 0,
    *,
    bottom: float = 0.0,
) -> Quad:
    """Stand a texture upright at ``position`` on the ground, ``bottom`` metres above it."""
    origin = position + np.array([-width / 2, -height - bottom, 0.0])
    right, down = np.array([width, 0.0, 0.0]), np.array([0.0, height, 0.0])
    return Quad(texture, origin, right, down, semantic, instance)


def make_person(
    rng: np.random.Generator, position: np.ndarray, scale: float, instance: int
) -> tuple[list[Quad], tuple[float, float, float]]:
    """Build a walking or standing person; returns quads and (width, height, depth) in metres."""
    child = rng.random() < 0.15
    height = rng.uniform(1.05, 1.45) if child else rng.uniform(1.58, 1.92)
    width = 0.50 * height
    canvas = Canvas(width, height, scale)
    _draw_person(canvas, rng, width / 2, height)
    if rng.random() < 0.5:
        canvas.pixels = canvas.pixels[:, ::-1].copy()
    quad = billboard(canvas.texture(rng), position, width, height, PERSON, instance)
    return [quad], (width, height, 0.3)


def _draw_person(canvas: Canvas, rng: np.random.Generator, x: float, h: float) -> None:
    skin, hair = SKIN[rng.integers(4)], HAIR[rng.integers(4)]
    top, trousers = pick_color(rng), pick_color(rng, 0.3)
    stride = rng.uniform(0.0, 0.14) * h
    hip, shoulder = 0.50 * h, 0.82 * h
    limb = 0.085 * h
    swing = rng.uniform(0.2, 1.0) * stride
    canvas.limb((x + 0.10 * h, shoulder), (x + 0.13 * h + swing, 0.47 * h), limb * 0.7, top * 0.75)
    if rng.random() < 0.2:  # skirt or coat
        canvas.polygon(_trapezoid(x, 0.27 * h, 0.55 * h, 0.14 * h, 0.07 * h), trousers)
    canvas.limb((x + 0.03 * h, hip), (x + 0.045 * h + stride, 0.04 * h), limb, trousers * 0.8)
    canvas.limb((x - 0.03 * h, hip), (x - 0.045 * h - stride, 0.04 * h), limb, trousers)
    for side in (-1, 1):
        foot = x + side * (0.045 * h + stride)
        canvas.rectangle(foot - 0.045 * h, 0.0, foot + 0.06 * h, 0.04 * h, (38, 34, 32))
    canvas.polygon(
        [
            (x - 0.085 * h, hip - 0.02 * h),
            (x + 0.085 * h, hip - 0.02 * h),
            (x + 0.125 * h, shoulder - 0.02 * h),
            (x + 0.06 * h, shoulder + 0.03 * h),
            (x - 0.06 * h, shoulder + 0.03 * h),
            (x - 0.125 * h, shoulder - 0.02 * h),
        ],
        top,
    )
    canvas.limb((x - 0.11 * h, shoulder), (x - 0.14 * h - swing, 0.48 * h), limb * 0.75, top * 0.88)
    canvas.ellipse(x - 0.14 * h - swing, 0.465 * h, 0.025 * h, 0.03 * h, skin)
    canvas.rectangle(x - 0.025 * h, shoulder, x + 0.025 * h, 0.88 * h, skin * 0.85)
    canvas.ellipse(x, 0.925 * h, 0.055 * h, 0.07 * h, skin)
    canvas.polygon(_trapezoid(x, 0.94 * h, 0.992 * h, 0.057 * h, 0.04 * h), hair)
    if rng.random() < 0.3:  # bag
        bag = pick_color(rng)
        canvas.rectangle(x + 0.09 * h, 0.40 * h, x + 0.20 * h, 0.56 * h, bag)


def _trapezoid(
    x: float, bottom: float, top: float, bottom_half: float, top_half: float
) -> list[tuple[float, float]]:
    lower = [(x - bottom_half, bottom), (x + bottom_half, bottom)]
    return [*lower, (x + top_half, top), (x - top_half, top)]


def make_rider(
    rng: np.random.Generator, position: np.ndarray, scale: float, instance: int
) -> tuple[list[Quad], tuple[float, float, float]]:
    """Build a person on a two-wheeler, seen from the side or from behind; one object.

    Returns:
        Quads and (width, height, depth) in metres.
    """
    from_side = rng.random() < 0.45
    height = rng.uniform(1.62, 1.85)
    width = 1.75 if from_side else 0.72
    canvas = Canvas(width, height, scale)
    if from_side:
        _draw_side_rider(canvas, rng, height)
    else:
        _draw_rear_rider(canvas, rng, width / 2, height)
    if rng.random() < 0.5:
        canvas.pixels = canvas.pixels[:, ::-1].copy()
    quad = billboard(canvas.texture(rng), position, width, height, RIDER, instance)
    return [quad], (width, height, 0.3)


def _draw_side_rider(canvas: Canvas, rng: np.random.Generator, h: float) -> None:
    skin, helmet, top = SKIN[rng.integers(4)], pick_color(rng), pick_color(rng)
    trousers, frame = pick_color(rng, 0.3), pick_color(rng)
    rear, front, radius = (0.36, 0.35), (1.39, 0.35), 0.34
    for hub in (rear, front):
        _wheel(canvas, hub, radius)
    crank, saddle, head = (0.80, 0.34), (0.66, 0.92), (1.22, 0.98)
    for start, end in ((rear, crank), (crank, saddle), (saddle, head), (crank, head)):
        canvas.limb(start, end, 0.055, frame)
    canvas.limb(head, front, 0.06, frame)
    canvas.limb(rear, saddle, 0.045, frame)
    canvas.limb((1.20, 1.0), (1.32, 1.06), 0.06, METAL)
    hip, shoulder = (0.66, 1.0), (1.0, 0.82 * h)
    knee = (1.0, 0.78)
    canvas.limb(hip, knee, 0.17, trousers)
    canvas.limb(knee, (0.84, 0.30), 0.13, trousers)
    canvas.rectangle(0.78, 0.22, 1.0, 0.30, (36, 34, 34))
    canvas.limb(hip, shoulder, 0.30, top)
    canvas.limb((shoulder[0], shoulder[1] - 0.05), (1.28, 1.08), 0.10, top * 0.8)
    canvas.ellipse(shoulder[0] + 0.1, 0.915 * h, 0.10, 0.12, skin)
    canvas.ellipse(shoulder[0] + 0.09, 0.945 * h, 0.125, 0.09, helmet)


def _wheel(canvas: Canvas, hub: tuple[float, float], radius: float) -> None:
    """Draw a tyre ring and a few spokes; the gaps stay transparent and are not part of the mask."""
    ring = np.linspace(0, 2 * np.pi, 25)
    points = [(hub[0] + radius * np.cos(a), hub[1] + radius * np.sin(a)) for a in ring]
    for a, b in zip(points, points[1:]):
        canvas.limb(a, b, 0.075, METAL * 0.6)
    for a in points[::4]:
        canvas.limb(hub, a, 0.02, METAL * 2.2)


def _draw_rear_rider(canvas: Canvas, rng: np.random.Generator, x: float, h: float) -> None:
    skin, helmet, top = SKIN[rng.integers(4)], pick_color(rng), pick_color(rng)
    trousers, frame = pick_color(rng, 0.3), pick_color(rng)
    canvas.ellipse(x, 0.34, 0.05, 0.34, METAL * 0.6)
    canvas.rectangle(x - 0.07, 0.52, x + 0.07, 0.66, (176, 26, 24))
    canvas.limb((x - 0.30, 1.06), (x + 0.30, 1.06), 0.05, METAL)
    canvas.limb((x, 0.4), (x, 0.9), 0.08, frame)
    for side, foot in ((-1, 0.20), (1, 0.36)):
        canvas.limb((x + side * 0.11, 0.98), (x + side * 0.17, 0.62), 0.15, trousers)
        canvas.limb((x + side * 0.17, 0.62), (x + side * 0.13, foot), 0.12, trousers * 0.85)
        canvas.rectangle(x + side * 0.13 - 0.06, foot - 0.08, x + side * 0.13 + 0.06, foot, METAL)
        canvas.limb((x + side * 0.19, 0.80 * h), (x + side * 0.28, 1.08), 0.10, top * 0.8)
    canvas.polygon(_trapezoid(x, 0.92, 0.80 * h, 0.17, 0.23), top)
    canvas.polygon(_trapezoid(x, 0.80 * h, 0.85 * h, 0.23, 0.10), top)
    canvas.ellipse(x, 0.905 * h, 0.095, 0.12, skin)
    canvas.ellipse(x, 0.935 * h, 0.12, 0.105, helmet)
