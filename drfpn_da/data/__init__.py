"""Data: datasets, loaders and generators. Importing it registers the data sets by name."""

from .datasets import register_all, register_coco_json, register_image_folder
from .indexed import IndexedMapper, load_indexed
from .labelled_share import LabelledShareSampler
from .loader import build_train_loader
from .patch_loader import PatchPool, build_patch_loader, split_patches
from .patches import PatchMapper
from .project_loader import add_target
from .sequences import NeighbourMapper, SequenceMapper, build_sequence_loader, get_sequence_dicts
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
    "LabelledShareSampler",
    "PatchMapper",
    "PatchPool",
    "NeighbourMapper",
    "SequenceMapper",
    "add_target",
    "build_adaptation_loader",
    "build_patch_loader",
    "build_sequence_loader",
    "build_target_loader",
    "build_train_loader",
    "build_two_stream_loader",
    "get_sequence_dicts",
    "get_target_dicts",
    "load_indexed",
    "split_patches",
    "register_coco_json",
    "register_image_folder",
    "validate_datasets",
]

register_all()
