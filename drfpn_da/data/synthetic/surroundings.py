"""Surroundings of the street: building facades, trees, hedges, skyline and sky."""

from __future__ import annotations

import cv2
import numpy as np

from .canvas import Canvas, pick_color, pick_colors
from .classes import BUILDING, SKY, VEGETATION
from .people import billboard
from .render import Quad

# Texels of one storey by one window bay, from near to far buildings, and their largest distance.
CELLS = (((24, 18), 25.0), ((12, 9), 60.0), ((6, 6), float("inf")))
STOREY, BAY = 3.1, 2.6  # metres
DEPTH = 9.0  # metres
FAR_END = 130.0


def make_building(
    rng: np.random.Generator,
    side: float,
    near: float,
    length: float,
    focal: float,
    light: float,
    hidden: float,
) -> tuple[list[Quad], float]:
    """Build a facade along the street and, where it shows, its end wall that faces the camera.

    Args:
        rng: source of randomness.
        side: x of the facade, metres; its sign says left or right.
        near: z of the end wall.
        length: extent along z, metres.
        focal: focal length, pixels, which decides the texture's size.
        light: brightness of this side of the street.
        hidden: height of the next nearer building, which hides the end wall below it.

    Returns:
        The walls and the height, metres.
    """
    storeys = int(rng.integers(2, 7))
    height = storeys * STOREY + 0.8
    wall = pick_color(rng, rng.choice([0.55, 0.85]))
    cell = next(cell for cell, limit in CELLS if near <= limit)
    facade = _facade(rng, cell, storeys, max(int(length / BAY), 1), wall)
    pixels = focal / max(near, 3.0)
    span = focal * (1 / max(near, 3.0) - 1 / (near + length)) * abs(side)
    front = _lit(_shrink(facade, 1.5 * span, 1.2 * pixels * height), light)
    down = np.array([0.0, height, 0.0])
    corner = np.array([side, -height, near])
    walls = [Quad(front, corner, np.array([0.0, 0.0, length]), down, BUILDING)]
    if height > hidden and near > 0:
        blank = _facade(rng, cell, storeys, 3, wall * 0.96, windows=rng.random() < 0.5)
        end = _lit(_shrink(blank, 1.2 * pixels * DEPTH, 1.2 * pixels * height), 0.88)
        outward = np.array([DEPTH * np.sign(side), 0.0, 0.0])
        walls.append(Quad(end, corner, outward, down, BUILDING))
    return walls, height


def _facade(
    rng: np.random.Generator,
    size: tuple[int, int],
    storeys: int,
    bays: int,
    wall: np.ndarray,
    windows: bool = True,
) -> np.ndarray:
    """Draw an opaque RGBA wall: a grid of windows over a ground floor of shops and doors."""
    rows, cols = size
    wall = wall.astype(np.float32)
    bay = np.broadcast_to(wall, (rows, cols, 3)).copy()
    pane = np.zeros((rows, cols), bool)
    if windows:
        top, left = (int(n * rng.uniform(0.17, 0.32)) for n in size)
        right = cols - max(left, 1)
        bay[top : rows - rows // 7, max(left - 1, 0) : right + 1] *= rng.choice([0.7, 1.2])
        pane[top + 1 : rows - rows // 6, max(left, 1) : right] = True
    bay[-1] *= 0.85
    picture = np.tile(bay, (storeys, bays, 1))
    glass = rng.uniform(28, 78, (storeys, bays)).astype(np.float32)
    glass[rng.random((storeys, bays)) < 0.12] = 168
    glass = glass.repeat(rows, axis=0).repeat(cols, axis=1)
    tint = np.array([0.92, 1.0, 1.12], np.float32)
    mask = np.tile(pane, (storeys, bays))
    picture[mask] = glass[mask][:, None] * tint
    if windows:
        _ground_floor(picture[-rows:], rng, bays, cols)
    picture *= 1 + 0.025 * rng.standard_normal((*picture.shape[:2], 1), dtype=np.float32)
    picture[: max(rows // 8, 1)] *= 0.75  # eaves
    rgba = np.full((*picture.shape[:2], 4), 255, np.uint8)
    rgba[..., :3] = np.minimum(picture, 255)
    return rgba


def _ground_floor(floor: np.ndarray, rng: np.random.Generator, bays: int, cols: int) -> None:
    """Paint shops and doors over the lowest storey (rows, bays * cols, 3)."""
    band = max(len(floor) // 8, 1)
    floor[band:] = pick_colors(rng, bays, 0.6).repeat(cols, axis=0) * 0.8
    floor[:band] = pick_color(rng, 0.3)
    doors = rng.random(bays) < 0.3
    shades = pick_colors(rng, bays, 0.3) * 0.6
    glass = rng.uniform(30, 110, (bays, 1)) * np.array([0.95, 1.0, 1.08])
    for bay, door in enumerate(doors):
        left = bay * cols
        if door:
            floor[3 * band :, left + cols // 3 : left + 2 * cols // 3] = shades[bay]
        else:
            margin = max(cols // 9, 1)
            floor[2 * band : -2 * band, left + margin : left + cols - margin] = glass[bay]


def _lit(texture: np.ndarray, light: float) -> np.ndarray:
    texture[..., :3] = np.minimum(texture[..., :3] * light, 255)
    return texture


def _shrink(texture: np.ndarray, cols: float, rows: float) -> np.ndarray:
    """Reduce a texture to about the resolution it is seen at, so that it does not alias."""
    height, width = texture.shape[:2]
    size = int(np.clip(cols, 2, width)), int(np.clip(rows, 2, height))
    return cv2.resize(texture, size, interpolation=cv2.INTER_AREA)


def make_tree(rng: np.random.Generator, position: np.ndarray, scale: float) -> list[Quad]:
    """Build a tree: a trunk under an irregular crown."""
    height, spread = rng.uniform(4.5, 8.5), rng.uniform(2.6, 4.6)
    canvas = Canvas(spread, height, min(scale, 34))
    x = spread / 2
    bark = np.array([92, 74, 58]) * rng.uniform(0.7, 1.2)
    canvas.rectangle(x - 0.13, 0, x + 0.13, height * 0.6, bark)
    leaf = np.array([rng.uniform(52, 112), rng.uniform(88, 132), rng.uniform(38, 68)])
    for shade in np.linspace(0.62, 1.18, 16):
        angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.62)
        cx = x + radius * spread / 2 * np.cos(angle)
        # Lighter leaves lie higher.
        cy = height * (0.68 + 0.34 * radius * np.sin(angle)) + (shade - 0.9) * 0.5
        cy, size = min(cy, height * 0.84), rng.uniform(0.16, 0.30)
        canvas.ellipse(cx, cy, size * spread, size * height * 0.55, leaf * shade)
    texture = canvas.texture(rng, 0.16)
    return [billboard(texture, position, spread, height, VEGETATION)]


def make_hedge(
    rng: np.random.Generator, side: float, near: float, length: float, scale: float
) -> list[Quad]:
    """Build a hedge along the street where a building is missing."""
    height = rng.uniform(1.2, 2.6)
    canvas = Canvas(length, height, min(scale, 12))
    leaf = np.array([rng.uniform(48, 92), rng.uniform(84, 120), rng.uniform(36, 60)])
    top = height - rng.uniform(0, 0.25, 9)
    crown = list(zip(np.linspace(length, 0, 9), top))
    canvas.polygon([(0, 0), (length, 0), *crown], leaf)
    origin = np.array([side, -height, near])
    along, down = np.array([0.0, 0.0, length]), np.array([0.0, height, 0.0])
    return [Quad(canvas.texture(rng, 0.2), origin, along, down, VEGETATION)]


def make_skyline(rng: np.random.Generator) -> list[Quad]:
    """Build the far end of the street: a row of distant houses and trees across the view."""
    walls = [_facade(rng, (6, 6), 4, 6, pick_color(rng, 0.7)) for _ in range(4)]
    leaf = np.array([70, 98, 58]) * rng.uniform(0.7, 1.2)
    canvas = Canvas(16, 8, 1.5)
    canvas.ellipse(8, 0, 9.6, 7.6, leaf)
    grove = canvas.texture(rng, 0.1)
    quads = []
    x = -110.0
    while x < 110.0:
        width, height = rng.uniform(9, 22), rng.uniform(5, 20)
        texture, semantic = walls[rng.integers(len(walls))], BUILDING
        if rng.random() < 0.35:
            texture, semantic, height = grove, VEGETATION, height / 2
        place = np.array([x + width / 2, 0.0, FAR_END + rng.uniform(0, 8)])
        quads.append(billboard(texture, place, width, height, semantic))
        x += width * rng.uniform(0.8, 1.1)
    return quads


def make_sky(rng: np.random.Generator) -> Quad:
    """Build the sky: a gradient with clouds on a backdrop at infinity."""
    rows, cols = 64, 160
    zenith = np.array([rng.uniform(90, 150), rng.uniform(140, 178), rng.uniform(190, 225)])
    horizon = np.array([212, 220, 226]) * rng.uniform(0.9, 1.08)
    cover = rng.uniform(0, 1)
    height = np.linspace(1, 0, rows)[:, None, None] ** 1.5
    picture = horizon * (1 - height) + zenith * height
    clouds = np.zeros((rows, cols), np.float32)
    for n, weight in ((5, 0.6), (10, 0.3), (20, 0.15)):
        coarse = rng.random((n, n * 3)).astype(np.float32)
        clouds += weight * cv2.resize(coarse, (cols, rows), interpolation=cv2.INTER_CUBIC)
    amount = np.clip((clouds - 0.75 + 0.5 * cover) * 2.2, 0, 1)[..., None]
    cloud = np.array([228, 229, 232]) * rng.uniform(0.82, 1.05)
    rgba = np.full((rows, cols, 4), 255, np.uint8)
    rgba[..., :3] = np.clip(picture * (1 - amount) + cloud * amount, 0, 255)
    origin = np.array([-1.6, -1.1, 1.0])
    return Quad(
        rgba, origin, np.array([3.2, 0.0, 0.0]), np.array([0.0, 1.2, 0.0]), SKY, at_infinity=True
    )
