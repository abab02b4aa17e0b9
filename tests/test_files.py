"""Files are replaced whole: full disks and errors leave the old one, and nothing else."""

import errno
import os
import resource

import pytest
import torch

from drfpn_da import files
from drfpn_da.files import real_names, write_whole


@pytest.fixture
def small_disk():
    """Writes past 64 KiB fail, by the system's own limit of file sizes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("write", ["bytes", "torch"])
def test_a_full_disk_leaves_the_old_file_alone(tmp_path, small_disk, write):
    path = tmp_path / "model.pth"
    path.write_bytes(b"old")
    writers = {
        "bytes": lambda file: file.write(bytes(2**20)),
        # Reports the failed write as a RuntimeError of its own.
        "torch": lambda file: torch.save({"a": torch.zeros(2**20)}, file),
    }
    with pytest.raises(OSError, match=r"model\.pth cannot be written.*free space.*unchanged") as e:
        write_whole(path, writers[write])
    assert e.value.errno == errno.EFBIG
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["model.pth"]


def test_space_that_is_missed_only_at_the_end_counts_too(tmp_path, monkeypatch):
    """With delayed allocation the disk may say so no sooner than when data are forced out."""

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device; free space") as error:
        write_whole(tmp_path / "a", lambda file: file.write(b"new"))
    assert error.value.errno == errno.ENOSPC and not any(tmp_path.iterdir())


def test_errors_of_the_writer_stay_as_they_are(tmp_path):
    def fail(file):
        file.write(b"half")
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        write_whole(tmp_path / "a", fail)
    assert not any(tmp_path.iterdir())


def test_leftovers_of_killed_processes_go_with_the_next_write(tmp_path):
    path = tmp_path / "sub" / "a.json"
    kept = []

    def write(file):
        kept.append(file.raw.name)
        file.write(b"new")

    write_whole(path, write)
    name = os.path.basename(kept[0])
    dead = path.with_name(name.replace(f".{os.getpid()}.", ".99999999."))
    alive = path.with_name(name.replace(f".{os.getpid()}.", f".{os.getppid()}."))
    dead.touch()
    alive.touch()
    write_whole(path, write)
    assert sorted(p.name for p in path.parent.iterdir()) == sorted([alive.name, "a.json"])
    assert path.read_bytes() == b"new"


def test_all_paths_of_a_file_have_one_name(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    file = tmp_path / "folder" / "a.png"
    file.write_bytes(b"picture")
    (tmp_path / "linked").symlink_to("folder")
    (tmp_path / "b.png").symlink_to(file)
    monkeypatch.chdir(tmp_path)
    same = [file, "folder/a.png", "./folder/../folder/a.png", "linked/a.png", "b.png"]
    assert len(set(real_names(same))) == 1
    os.link(file, tmp_path / "hard.png")
    assert len(set(real_names([*same, "hard.png"]))) == 1
    (tmp_path / "copy.png").write_bytes(b"picture")
    others = ["copy.png", "folder/missing.png", "missing.png", "linked/missing.png"]
    names = real_names(others)
    assert names[1] == names[3] and len({*names, *real_names(same)}) == 4
