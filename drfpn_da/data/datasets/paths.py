"""Where data sets lie, and how a folder is built exactly once.

Nothing here touches the disk at import: every path is worked out when a data set is loaded.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Callable

from iopath.common.file_io import file_lock

logger = logging.getLogger(__name__)

DATASETS_VARIABLE = "DETECTRON2_DATASETS"


def datasets_root() -> Path:
    """Return the root of all data sets: ``$DETECTRON2_DATASETS``, by default ``./datasets``.

    The variable and its default are detectron2's own.
    """
    return Path(os.path.expanduser(os.getenv(DATASETS_VARIABLE, "datasets")))


def require_layout(dataset: str, folder: str, paths: Iterable[str], layout: str) -> Path:
    """Return the folder of a data set after checking that its parts exist.

    Args:
        dataset: registered name, for the message.
        folder: folder below :func:`datasets_root`.
        paths: files or folders that must exist inside it.
        layout: the expected layout as text, shown to the user.

    Raises:
        FileNotFoundError: names what is missing, the variable, the layout and the cure.
    """
    root = datasets_root() / folder
    missing = [p for p in paths if not (root / p).exists()]
    if missing:
        value = os.getenv(DATASETS_VARIABLE)
        state = "is not set (default: ./datasets)" if value is None else f"is {value!r}"
        raise FileNotFoundError(
            f"dataset '{dataset}': {root / missing[0]} does not exist. "
            f"{DATASETS_VARIABLE} {state}; expected below it:\n{layout.rstrip()}\n"
            f"Set {DATASETS_VARIABLE} to the folder that holds '{folder}', or put the data there "
            "(docs/datasets.md says where it comes from)."
        )
    return root


def fingerprint(files: Iterable[Path], *parts: object) -> str:
    """Return a short key that changes when a file's path, size or date, or a part, changes."""
    digest = hashlib.sha256()
    for path in files:
        stat = path.stat()
        digest.update(f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}\n".encode())
    digest.update(repr(parts).encode())
    return digest.hexdigest()[:12]


def build_once(target: Path, build: Callable[[Path], None]) -> Path:
    """Build the folder ``target`` once, even when many processes ask for it at the same time.

    The first process to take the lock builds into a temporary folder beside the target and renames
    it into place; the others wait and find it. A crash leaves no partial target.

    Args:
        target: the folder to return; its existence means that it is complete.
        build: writes all files into the (existing, empty) folder it is given.

    Raises:
        OSError: the parent folder cannot be written.
    """
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(str(target)):
        if target.is_dir():
            return target
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            build(temporary)
            # mkdtemp makes the folder private; a shared data root must stay readable.
            temporary.chmod(0o755)
            os.replace(temporary, target)
        except OSError:
            # Without working locks (some network file systems) another process may have won.
            if not target.is_dir():
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return target
