"""Data: datasets, loaders and generators. Importing it registers the data sets by name."""

from .datasets import register_all, register_coco_json, register_image_folder
from .validate import validate_datasets

__all__ = ["register_coco_json", "register_image_folder", "validate_datasets"]

register_all()
