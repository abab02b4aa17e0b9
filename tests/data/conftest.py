"""A private root and cache for every test of data sets, and names that are cleaned up."""

from __future__ import annotations

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog


@pytest.fixture
def private_roots(tmp_path, monkeypatch):
    """An existing, empty DETECTRON2_DATASETS and an empty cache."""
    root, cache = tmp_path / "datasets", tmp_path / "cache"
    root.mkdir()
    monkeypatch.setenv("DETECTRON2_DATASETS", str(root))
    monkeypatch.setenv("DRFPN_DA_CACHE", str(cache))
    return root, cache


@pytest.fixture
def fresh_name():
    """A data set name that is forgotten after the test."""
    name = "test_only_dataset"
    yield name
    if name in DatasetCatalog.list():
        DatasetCatalog.remove(name)
    if name in MetadataCatalog.list():
        MetadataCatalog.remove(name)
