"""Registration in detectron2's catalogs that can be repeated and reads nothing until asked."""

from __future__ import annotations

from typing import Any, Callable

from detectron2.data import DatasetCatalog, MetadataCatalog


def register_dataset(name: str, load: Callable[[], list[dict]], **metadata: Any) -> None:
    """Register a lazily loaded data set, or do nothing when the name is taken.

    A name that already exists keeps its owner: importing drfpn_da twice is harmless, and a user's
    own data set of the same name wins when it was registered first.

    Args:
        name: data set name.
        load: returns detectron2 data set dicts; called at first use.
        **metadata: fixed metadata, such as class names.
    """
    if name in DatasetCatalog.list():
        return
    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).set(**metadata)


def set_paths(name: str, **paths: str) -> None:
    """Set metadata that is known only after loading (paths below a root read at that moment).

    detectron2 forbids changing metadata; paths may change when the root's variable does.
    """
    vars(MetadataCatalog.get(name)).update(paths)
