"""Where derived files go, which names are one file, and writing files whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import glob
import io
import os
import platform
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO


def cache_root() -> Path:
    """Return the folder of derived files: ``$DRFPN_DA_CACHE``, by default ``~/.cache/drfpn_da``."""
    configured = os.getenv("DRFPN_DA_CACHE")
    if configured:
        return Path(configured).expanduser()
    return Path(os.getenv("XDG_CACHE_HOME") or "~/.cache").expanduser() / "drfpn_da"


def real_names(paths: Iterable[str | os.PathLike]) -> list[str]:
    """Return a name for each path that is the same for all paths of one file.

    Relative and absolute paths, and paths through symbolic or hard links, are paths of one file; a
    copy is another file. What does not exist is known by its path.
    """
    folders: dict[str, str] = {}  # resolved once: pictures lie together
    names = []
    for path in paths:
        folder, name = os.path.split(os.path.abspath(path))
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        real = os.path.join(folders[folder], name)
        if os.path.islink(real):
            real = os.path.realpath(real)
        with contextlib.suppress(OSError):
            status = os.stat(real)
            if status.st_nlink > 1:
                real = f"{status.st_dev}:{status.st_ino}"
        names.append(real)
    return names


def free_path(path: str | os.PathLike) -> Path:
    """Return ``path`` or, if something is there, the first free of ``name-2``, ``name-3``..."""
    path = Path(path)
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def save_new(path: str | os.PathLike, write: Callable[[str], object]) -> Path:
    """Write a file under a free name, whole or not at all.

    Args:
        path: the name wanted; a number is added if it is taken. Folders are created.
        write: called with the name of a temporary file beside it, with the same ending.

    Returns:
        The path that was written.
    """
    target = free_path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        write(str(temporary))
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def save_text(text: str, path: str | os.PathLike) -> Path:
    """Write text in UTF-8 under a free name; see :func:`save_new`."""
    return save_new(path, lambda name: Path(name).write_text(text, encoding="utf-8"))


def write_whole(
    path: str | os.PathLike, write: Callable[[BinaryIO], object], durable: bool = True
) -> None:
    """Replace a file by a new one, or leave it as it is.

    A process that is killed, or a machine that stops, leaves the old file or the new one, never a
    part. Where several processes write a path, the last one counts.

    Args:
        path: the file; its folder is made.
        write: is given a temporary file beside it.
        durable: wait until the disk has the new file. Without, it is safe from a killed process
            only, not from a machine that stops.

    Raises:
        OSError: the disk is full, or the folder cannot be written; names the file. What was at
            ``path`` is still there, and nothing else.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(target)
    temporary = target.with_name(f".{target.name}.{platform.node()}.{os.getpid()}.tmp")
    raw = None
    try:
        raw = _RecordingFile(str(temporary), "wb")
        with io.BufferedWriter(raw) as file:
            write(file)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, target)
        if durable:
            _sync_folder(target.parent)
    except Exception as error:
        # What writes may hide the disk's error behind one of its own, as torch.save does.
        failure = error if isinstance(error, OSError) else raw and raw.failure
        if not failure:
            raise
        raise OSError(failure.errno, f"{target} cannot be written: {_mend(failure)}") from error
    finally:
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.close()
        temporary.unlink(missing_ok=True)


class _RecordingFile(io.FileIO):
    """Remembers the error of a write."""

    failure: OSError | None = None

    def write(self, data) -> int:  # type: ignore[no-untyped-def,override]
        try:
            return super().write(data)
        except OSError as error:
            self.failure = error
            raise


def _mend(failure: OSError) -> str:
    reason = failure.strerror or str(failure)
    if failure.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        reason += "; free space there, or write elsewhere, and continue"
    elif failure.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        reason += "; make the folder writable, or write elsewhere"
    return f"{reason}. What was there before is unchanged"


def _remove_leftovers(target: Path) -> None:
    """Remove temporary files of processes that were killed while they wrote this file."""
    if not Path("/proc").exists():
        return
    for leftover in target.parent.glob(
        f".{glob.escape(target.name)}.{glob.escape(platform.node())}.*.tmp"
    ):
        number = leftover.name.split(".")[-2]
        if number.isdigit() and not Path("/proc", number).exists():
            leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the new name of a file durable; where folders cannot be opened, the system does it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
