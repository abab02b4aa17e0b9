"""Shared by all tests: few threads, a fixed seed, and the folder of real data sets if any."""

from __future__ import annotations

import logging
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_configure(config):
    # Tiny tensors: more threads only get into each other's way. Inherited by subprocesses.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def pytest_collection_modifyitems(items):
    # Whole trainings and several processes first: the last file to start is waited for by all.
    items.sort(key=lambda item: not {"integration", "engine"} & set(item.path.parts))
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(autouse=True)
def _seed():
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (libraries under test draw from it)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _captured_logs():
    """What tools and trainers do to loggers ends with the test."""
    loggers = [logging.getLogger(name) for name in ("detectron2", "drfpn_da", "fvcore")]
    before = [(logger.propagate, logger.level) for logger in loggers]
    yield
    for logger, (propagate, level) in zip(loggers, before):
        logger.propagate = propagate
        logger.setLevel(level)


@pytest.fixture
def register():
    """Registers records, or their loader, with metadata under a name; forgotten after the test."""
    names = []

    def register(name, records, **metadata):
        DatasetCatalog.register(name, records if callable(records) else lambda: records)
        MetadataCatalog.get(name).set(**metadata)
        names.append(name)
        return name

    yield register
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of DETECTRON2_DATASETS; tests that ask for it are skipped where it is not set."""
    folder = os.environ.get("DETECTRON2_DATASETS", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real pictures: set DETECTRON2_DATASETS to their folder")
    return Path(folder)
