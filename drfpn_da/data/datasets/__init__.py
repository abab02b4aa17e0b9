"""Dataset registrations, one file each, and :func:`register_all` that makes them known."""

from . import bccd, camvid, cars, cifar10n, cityscapes, cityscapes_small, coco128, streets, voc_art
from .custom import register_coco_json, register_image_folder
from .streets import streets_folder

__all__ = ["register_all", "register_coco_json", "register_image_folder", "streets_folder"]


def register_all() -> None:
    """Register every data set of the package; reads no data and may be called again."""
    modules = (
        bccd,
        camvid,
        cars,
        cifar10n,
        cityscapes,
        cityscapes_small,
        coco128,
        streets,
        voc_art,
    )
    for module in modules:
        module.register()
