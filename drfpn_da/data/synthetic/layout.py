"""Where things stand in a street: lanes for cars, pavements for persons, kerbs for posts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Callable

import numpy as np

from .furniture import Made, make_barrier, make_guard_rail, make_pole, make_sign
from .ground import Ground
from .people import make_person, make_rider
from .vehicles import make_car

Make = Callable[[np.random.Generator, np.ndarray, float, int], Made]


@dataclass(frozen=True)
class Placement:
    """A thing to build.

    Attributes:
        make: builds it at a position.
        x: metres from the road's centre line.
        z: metres ahead of the first camera.
        radius: metres kept free around it.
        speed: metres per frame along z.
        shadow: casts a soft shadow.
        turned: stands across the road.
    """

    make: Make
    x: float
    z: float
    radius: float
    speed: float = 0.0
    shadow: bool = True
    turned: bool = False


def place_objects(
    rng: np.random.Generator, ground: Ground, ego: float, moving: bool
) -> list[Placement]:
    """Draw the things of a scene so that none stands in another.

    Args:
        rng: source of randomness.
        ground: the street.
        ego: x of the camera's lane.
        moving: give cars in the lanes a speed.
    """
    proposals = [
        *_crossing_car(rng, ground),
        *_lane_cars(rng, ground, ego, moving),
        *_riders(rng, ground),
        *_persons(rng, ground),
        *_posts(rng, ground),
        *_barriers(rng, ground),
    ]
    kept: list[Placement] = []
    for new in proposals:
        if all(np.hypot(new.x - p.x, new.z - p.z) > new.radius + p.radius for p in kept):
            kept.append(new)
    return kept


def _distance(rng: np.random.Generator, near: float, far: float) -> float:
    """Log-uniform distance: as many things between 5 and 10 m as between 20 and 40 m."""
    return float(near * (far / near) ** rng.random())


def _lane_cars(
    rng: np.random.Generator, ground: Ground, ego: float, moving: bool
) -> list[Placement]:
    cars = []
    centres = (ground.lanes[1:] + ground.lanes[:-1]) / 2
    for centre in centres:
        z = rng.uniform(10, 30) if abs(centre - ego) < 1 else rng.uniform(5, 30)
        oncoming = centre < -0.1
        speed = rng.uniform(0.3, 0.7) * (-1 if oncoming else 1) if moving else 0.0
        while z < 62:
            x = float(centre + rng.uniform(-0.35, 0.35))
            yaw = (np.pi if oncoming else 0.0) + rng.normal(0, 0.03)
            make = partial(_car, yaw=float(yaw))
            cars.append(Placement(make, x, float(z), 1.6, speed))
            z += rng.uniform(9, 40)
    return cars


def _crossing_car(rng: np.random.Generator, ground: Ground) -> list[Placement]:
    if rng.random() > 0.22:
        return []
    yaw = rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.12)
    x = rng.uniform(-0.8, 0.8) * ground.half_width
    make = partial(_car, yaw=float(yaw))
    return [Placement(make, float(x), _distance(rng, 11, 40), 2.6, turned=True)]


def _car(
    rng: np.random.Generator, position: np.ndarray, scale: float, instance: int, *, yaw: float
) -> Made:
    return make_car(rng, position, yaw, scale, instance)


def _persons(rng: np.random.Generator, ground: Ground) -> list[Placement]:
    persons = []
    inner, outer = ground.half_width + 0.5, ground.half_width + ground.pavement - 0.4
    for _ in range(int(np.clip(rng.poisson(4.5), 1, 10))):
        if rng.random() < 0.16:
            x = rng.uniform(-1, 1) * ground.half_width
        else:
            x = rng.choice([-1, 1]) * rng.uniform(inner, outer)
        persons.append(Placement(make_person, float(x), _distance(rng, 6, 50), 0.35))
    return persons


def _riders(rng: np.random.Generator, ground: Ground) -> list[Placement]:
    riders = []
    for _ in range(rng.choice(4, p=[0.2, 0.35, 0.25, 0.2])):
        x = rng.choice([-1, 1]) * (ground.half_width - rng.uniform(0.4, 1.6))
        riders.append(Placement(make_rider, float(x), _distance(rng, 6, 45), 0.9))
    return riders


def _posts(rng: np.random.Generator, ground: Ground) -> list[Placement]:
    posts = []
    for side in (-1, 1):
        z, step = rng.uniform(6, 18), rng.uniform(11, 24)
        while z < 70 and rng.random() < 0.85:
            x = side * (ground.half_width + rng.uniform(0.4, 0.7))
            posts.append(Placement(make_pole, float(x), float(z), 0.25, shadow=False))
            z += step
    for _ in range(rng.choice(5, p=[0.08, 0.27, 0.3, 0.2, 0.15])):
        x = rng.choice([-1, 1]) * (ground.half_width + rng.uniform(0.5, 1.2))
        posts.append(Placement(_sign, float(x), _distance(rng, 6, 40), 0.4, shadow=False))
    return posts


def _sign(rng: np.random.Generator, position: np.ndarray, scale: float, instance: int) -> Made:
    return make_sign(rng, position, scale, instance, post=instance + 1)


def _barriers(rng: np.random.Generator, ground: Ground) -> list[Placement]:
    barriers = []
    for _ in range(rng.choice(3, p=[0.4, 0.4, 0.2])):
        x = rng.choice([-1, 1]) * (ground.half_width - rng.uniform(-0.6, 1.8))
        z = _distance(rng, 8, 35)
        barriers.append(Placement(make_barrier, float(x), z, 1.2, shadow=False))
    for side in (-1, 1):
        if rng.random() < 0.35:
            x = side * (ground.half_width + 0.15)
            z = rng.uniform(3, 25)
            barriers.append(Placement(make_guard_rail, float(x), float(z), 0.1, shadow=False))
    return barriers
