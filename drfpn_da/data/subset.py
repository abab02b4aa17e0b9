"""Few labels on purpose: a subset of the labelled records."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import get_detection_dataset_dicts

from ..labels import random_order

logger = logging.getLogger(__name__)

Records = list[dict[str, Any]]


def labelled_records(cfg: CfgNode) -> Records | None:
    """Return the records of DATASETS.TRAIN that DATASETS.LABELLED leaves, None if it asks nothing.

    Raises:
        ValueError: more records are asked for than there are, or a name that there is not.
        FileNotFoundError: the file of names is missing.
    """
    node = cfg.DATASETS.get("LABELLED")
    if node is None or not (node.COUNT or node.FILE):
        return None
    records = get_detection_dataset_dicts(
        cfg.DATASETS.TRAIN, filter_empty=cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS
    )
    if node.FILE:
        chosen = pick_named(records, read_names(node.FILE), node.FILE, node.COUNT)
    else:
        chosen = pick_random(records, node.COUNT, node.SEED)
    logger.info("DATASETS.LABELLED: %d of %d records are trained on", len(chosen), len(records))
    return chosen


def training_records(cfg: CfgNode) -> Records:
    """Return the records of DATASETS.TRAIN that are trained on, without labels too.

    Errors are those of :func:`labelled_records`.
    """
    return labelled_records(cfg) or list(
        get_detection_dataset_dicts(cfg.DATASETS.TRAIN, filter_empty=False)
    )


def pick_random(records: Records, count: int, seed: int) -> Records:
    """Return the first ``count`` records of a permutation by ``seed``; larger counts contain it.

    Raises:
        ValueError: ``count`` is not between 1 and the number of records.
    """
    _check_count(count, len(records))
    return [records[i] for i in random_order(len(records), seed)[:count]]


def pick_named(records: Records, names: Sequence[str], file: str, count: int = 0) -> Records:
    """Return the records of pictures by name, in that order; the first ``count`` if it is not 0.

    Args:
        records: to pick from.
        names: paths or names of files, with or without suffix.
        file: where the names are from, for messages.
        count: 0: all.

    Raises:
        ValueError: no such picture, or several; fewer names than ``count``.
    """
    if count:
        _check_count(count, len(names))
    by_name: dict[str, list[int]] = {}
    for i, record in enumerate(records):
        path = Path(record["file_name"])
        for key in {str(path), path.name, path.stem}:
            by_name.setdefault(key, []).append(i)
    chosen = []
    for name in names[: count or None]:
        found = by_name.get(name) or by_name.get(Path(name).name) or []
        if len(found) != 1:
            raise ValueError(
                f"{file} (DATASETS.LABELLED.FILE) names '{name}', of which DATASETS.TRAIN has "
                f"{len(found)}: write the path as in the data set, and only pictures of it"
            )
        chosen.append(records[found[0]])
    return chosen


def read_names(file: str) -> list[str]:
    """Read names of pictures: lines of text, a JSON list, or JSON with "file_names".

    Raises:
        FileNotFoundError: no such file.
        ValueError: it has no name.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{file} (DATASETS.LABELLED.FILE) does not exist")
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        data = json.loads(text)
        names = [str(name) for name in (data["file_names"] if isinstance(data, dict) else data)]
    else:
        names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise ValueError(f"{file} (DATASETS.LABELLED.FILE) names no picture")
    return names


def _check_count(count: int, available: int) -> None:
    if not 1 <= count <= available:
        raise ValueError(
            f"DATASETS.LABELLED.COUNT is {count}, but there are {available} records; write a "
            f"number from 1 to {available}, or 0 for all"
        )
