"""Fog by Koschmieder's law, and the 16-bit disparity format that carries the depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Metres between the two cameras of the stereo rig whose disparity is stored (KITTI's).
BASELINE = 0.54
#: Stored value per pixel of disparity; 0 means infinitely far.
DISPARITY_SCALE = 256.0


@dataclass(frozen=True)
class Fog:
    """Fog of one picture.

    Attributes:
        beta: attenuation in 1/m; the meteorological visibility is about 3 / beta.
        airlight: RGB 0-255 of infinitely thick fog.
    """

    beta: float
    airlight: tuple[float, float, float]


def sample_fog(rng: np.random.Generator) -> Fog:
    """Draw a fog: visibility about 25 to 85 m, airlight from dull to bright grey."""
    beta = float(rng.uniform(0.035, 0.12))
    red, green, blue = (rng.uniform(165, 232) + rng.uniform(-4, 4, 3)).round(2).tolist()
    return Fog(beta, (red, green, blue))


def add_fog(color: np.ndarray, inverse_depth: np.ndarray, fog: Fog) -> np.ndarray:
    """Apply I = J t + A (1 - t) with t = exp(-beta z) (Koschmieder 1924).

    Args:
        color: (H, W, 3) clear picture J, 0-255.
        inverse_depth: (H, W) 1 / z in 1/m; 0 is infinitely far.
        fog: beta and airlight A.

    Returns:
        (H, W, 3) float32 foggy picture I.
    """
    with np.errstate(divide="ignore"):
        transmission = np.exp(-fog.beta / inverse_depth, dtype=np.float32)[..., None]
    airlight = np.asarray(fog.airlight, dtype=np.float32)
    return color * transmission + airlight * (1 - transmission)


def encode_disparity(inverse_depth: np.ndarray, focal: float) -> np.ndarray:
    """Return uint16 disparity: ``round(256 * focal * BASELINE / z)``, clipped to 65535."""
    value = np.rint(inverse_depth.astype(np.float64) * (focal * BASELINE * DISPARITY_SCALE))
    return np.clip(value, 0, 65535).astype(np.uint16)
