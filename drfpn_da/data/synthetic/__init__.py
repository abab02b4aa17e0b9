"""Generated streets: pictures with exact boxes, masks, classes, depth and camera motion.

A small renderer of textured planes; every picture follows from its seed. ``docs/datasets.md``
describes sizes, formats and formulas. The renderer needs OpenCV, which is imported at first use:
registering the data sets by name must work without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .classes import SEMANTIC_CLASSES, SEPARATED_CLASSES, THING_CLASSES
from .fog import BASELINE, DISPARITY_SCALE, Fog, add_fog, encode_disparity
from .spec import DOMAINS, SIZES, SPLITS, VERSION, StreetSpec

if TYPE_CHECKING:
    from .camera import Camera
    from .check import check_split
    from .scene import Scene, render_scene, sample_scene
    from .writer import write_split

_NEED_OPENCV = {
    "Camera": ".camera",
    "Scene": ".scene",
    "check_split": ".check",
    "render_scene": ".scene",
    "sample_scene": ".scene",
    "write_split": ".writer",
}

__all__ = [
    "BASELINE",
    "DISPARITY_SCALE",
    "DOMAINS",
    "SEMANTIC_CLASSES",
    "SEPARATED_CLASSES",
    "SIZES",
    "SPLITS",
    "THING_CLASSES",
    "VERSION",
    "Camera",
    "Fog",
    "Scene",
    "StreetSpec",
    "add_fog",
    "check_split",
    "encode_disparity",
    "render_scene",
    "sample_scene",
    "write_split",
]


def __getattr__(name: str) -> Any:
    """Import what needs OpenCV when it is first asked for."""
    if name not in _NEED_OPENCV:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(_NEED_OPENCV[name], __name__)
    except ModuleNotFoundError as error:
        if error.name != "cv2":
            raise
        raise ModuleNotFoundError(
            f"{name} of the street generator needs OpenCV: pip install opencv-python-headless",
            name="cv2",
        ) from error
    return getattr(module, name)
