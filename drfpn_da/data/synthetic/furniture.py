"""Poles, signs and barriers: the slender things of a street."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas, pick_color
from .classes import BARRIER, POLE, SIGN
from .people import billboard
from .render import Quad

Made = tuple[list[Quad], tuple[float, float, float]]
SEGMENT = 3.0  # metres of a long barrier in one quad, so that depth order stays local


def make_pole(rng: np.random.Generator, position: np.ndarray, scale: float, instance: int) -> Made:
    """Build a lamp post, traffic light or bollard; side ratios from 1:5 to 1:40."""
    kind = rng.choice(["lamp", "light", "bollard"], p=[0.55, 0.25, 0.2])
    color = pick_color(rng, 0.5)
    if kind == "bollard":
        width, height = rng.uniform(0.12, 0.2), rng.uniform(0.9, 1.1)
        canvas = Canvas(width, height, scale * 1.5)
        canvas.rectangle(0, 0, width, height, color)
        canvas.rectangle(0, height - 0.22, width, height - 0.1, (230, 228, 222))
        quad = billboard(canvas.texture(rng), position, width, height, POLE, instance)
        return [quad], (width, height, 0.1)
    shaft = rng.uniform(0.13, 0.22)
    height = rng.uniform(5.0, 7.5) if kind == "lamp" else rng.uniform(3.0, 3.6)
    reach = rng.uniform(0.8, 1.6) if kind == "lamp" else 0.24
    width = 2 * reach + shaft
    canvas = Canvas(width, height, scale * 1.5)
    x = width / 2
    canvas.rectangle(x - shaft / 2, 0, x + shaft / 2, height, color)
    canvas.rectangle(x - shaft * 0.8, 0, x + shaft * 0.8, 0.5, color * 0.8)
    if kind == "lamp":
        end = x + np.sign(-position[0] + 1e-6) * reach  # the arm reaches over the road
        canvas.limb((x, height - 0.1), (end, height - 0.06), 0.1, color)
        canvas.rectangle(end - 0.3, height - 0.2, end + 0.3, height - 0.06, (222, 220, 206))
    else:
        canvas.rectangle(x - 0.19, height - 1.0, x + 0.19, height, (34, 36, 38))
        lit = rng.integers(3)
        for i, lamp in enumerate(((206, 40, 34), (222, 168, 40), (46, 168, 88))):
            shade = 1.0 if i == lit else 0.3
            canvas.ellipse(x, height - 0.2 - 0.3 * i, 0.11, 0.11, np.array(lamp) * shade)
    quad = billboard(canvas.texture(rng), position, width, height, POLE, instance)
    return [quad], (width, height, shaft)


def make_sign(
    rng: np.random.Generator, position: np.ndarray, scale: float, instance: int, post: int
) -> Made:
    """Build a sign plate (object ``instance``) on its own pole (object ``post``)."""
    shape = rng.choice(["round", "triangle", "board", "octagon"], p=[0.3, 0.25, 0.3, 0.15])
    size = rng.uniform(0.6, 0.9)
    width = size * (rng.uniform(1.2, 2.2) if shape == "board" else 1.0)
    bottom = rng.uniform(1.9, 2.3)
    canvas = Canvas(width, size, scale * 1.5)
    ground, mark = pick_color(rng), pick_color(rng)
    _draw_plate(canvas, rng, shape, width, size, ground, mark)
    post_height = bottom + size * 0.85
    pipe = Canvas(0.08, post_height, scale * 1.5)
    pipe.rectangle(0, 0, 0.08, post_height, pick_color(rng, 0.7))
    behind = position + np.array([0.0, 0.0, 0.04])
    quads = [
        billboard(pipe.texture(rng), behind, 0.08, post_height, POLE, post),
        billboard(canvas.texture(rng), position, width, size, SIGN, instance, bottom=bottom),
    ]
    return quads, (width, size, 0.05)


def _draw_plate(
    canvas: Canvas,
    rng: np.random.Generator,
    shape: str,
    w: float,
    h: float,
    ground: np.ndarray,
    mark: np.ndarray,
) -> None:
    x, y = w / 2, h / 2
    white = np.array([236.0, 234.0, 228.0])
    if shape == "board":
        canvas.rectangle(0, 0, w, h, white)
        canvas.rectangle(0.04, 0.04, w - 0.04, h - 0.04, ground)
        for row in np.linspace(0.25, 0.75, 2) * h:
            canvas.rectangle(0.12, row - 0.05, rng.uniform(0.5, 0.9) * w, row + 0.05, white)
        return
    corners = {"round": 24, "triangle": 3, "octagon": 8}[shape]
    start = {"round": 0.0, "triangle": np.pi / 2, "octagon": np.pi / 8}[shape]
    angle = start + np.arange(corners) * 2 * np.pi / corners
    lift = -0.08 * h if shape == "triangle" else 0.0
    for radius, color in ((0.5, ground), (0.36, white)):
        r = radius * h * (1.15 if shape == "triangle" else 1.0)
        canvas.polygon(list(zip(x + r * np.cos(angle), y + lift + r * np.sin(angle))), color)
    canvas.rectangle(x - 0.05 * h, y - 0.18 * h, x + 0.05 * h, y + 0.14 * h, mark)


def make_barrier(
    rng: np.random.Generator, position: np.ndarray, scale: float, instance: int
) -> Made:
    """Build a work-site board across the view, 1:1.6 to 1:4."""
    width, height = rng.uniform(1.6, 3.2), rng.uniform(0.85, 1.05)
    canvas = Canvas(width, height, scale)
    first, second = pick_color(rng), np.array([232.0, 230.0, 224.0])
    for x in (0.15, width - 0.25):
        canvas.rectangle(x, 0, x + 0.1, height, (82, 80, 78))
        canvas.rectangle(x - 0.15, 0, x + 0.25, 0.07, (52, 50, 50))
    for low, high in ((0.42, 0.62), (0.78, 1.0)):
        canvas.rectangle(0, low * height, width, high * height, second)
        for left in np.arange(0, width, 0.5):
            right = min(left + 0.25, width)
            lean = min(0.12, width - right)
            bottom, top = low * height, high * height
            stripe = [(left, bottom), (right, bottom), (right + lean, top), (left + lean, top)]
            canvas.polygon(stripe, first)
    quad = billboard(canvas.texture(rng), position, width, height, BARRIER, instance)
    return [quad], (width, height, 0.1)


def make_guard_rail(
    rng: np.random.Generator, position: np.ndarray, scale: float, instance: int
) -> Made:
    """Build a rail or concrete wall along the road, 6-18 m long, from ``position`` onwards."""
    height = rng.uniform(0.75, 1.0)
    segments = int(rng.integers(2, 7))
    concrete = rng.random() < 0.4
    color = pick_color(rng, 0.6)
    canvas = Canvas(SEGMENT, height, scale)
    if concrete:
        canvas.rectangle(0, 0, SEGMENT, height, color)
        canvas.rectangle(0, 0, SEGMENT, 0.22 * height, color * 0.8)
        canvas.rectangle(0, 0, 0.04, height, color * 0.6)
    else:
        for x in (0.05, SEGMENT / 2):
            canvas.rectangle(x, 0, x + 0.12, height, color * 0.6)
        canvas.rectangle(0, 0.5 * height, SEGMENT, height, color)
        canvas.rectangle(0, 0.68 * height, SEGMENT, 0.8 * height, color * 0.72)
    texture = canvas.texture(rng)
    right, down = np.array([0.0, 0.0, SEGMENT]), np.array([0.0, height, 0.0])
    start = position + np.array([0.0, -height, 0.0])
    quads = [
        Quad(texture, start + right * i, right, down, BARRIER, instance) for i in range(segments)
    ]
    return quads, (SEGMENT * segments, height, 0.1)
