"""Data: datasets, loaders and generators. Importing it registers the data sets by name."""

from .datasets import register_all, register_coco_json, register_image_folder
from .indexed import IndexedMapper, load_indexed
from .loader import build_train_loader
from .sequences import SequenceMapper, build_sequence_loader, get_sequence_dicts
from .two_stream import (
    build_adaptation_loader,
    build_target_loader,
    build_two_stream_loader,
    get_target_dicts,
)
from .validate import validate_datasets
from .views import VIEW_REGISTRY

__all__ = [
    "VIEW_REGISTRY",
    "IndexedMapper",
    "SequenceMapper",
    "build_adaptation_loader",
    "build_sequence_loader",
    "build_target_loader",
    "build_train_loader",
    "build_two_stream_loader",
    "get_sequence_dicts",
    "get_target_dicts",
    "load_indexed",
    "register_coco_json",
    "register_image_folder",
    "validate_datasets",
]

register_all()
