"""Generated streets: pictures with exact boxes, masks, classes, depth and camera motion.

A small renderer of textured planes; every picture follows from its seed. ``docs/datasets.md``
describes sizes, formats and formulas. Needs OpenCV.
"""

from .camera import Camera
from .check import check_split
from .classes import SEMANTIC_CLASSES, SEPARATED_CLASSES, THING_CLASSES
from .fog import BASELINE, DISPARITY_SCALE, Fog, add_fog, decode_depth, encode_disparity
from .scene import Scene, render_scene, sample_scene
from .spec import DOMAINS, SIZES, SPLITS, VERSION, StreetSpec
from .writer import write_split

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
    "decode_depth",
    "encode_disparity",
    "render_scene",
    "sample_scene",
    "write_split",
]
