"""The checkpointer: damage is found and named, and no code is run."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from drfpn_da.checkpoint import CheckpointError, SafeCheckpointer


@pytest.fixture
def run(tmp_path):
    """A run's folder with two checkpoints."""
    checkpointer = SafeCheckpointer(nn.Linear(64, 64), str(tmp_path))
    checkpointer.save("model_0000001", iteration=1)
    checkpointer.save("model_0000003", iteration=3)
    return checkpointer


def test_what_is_saved_is_loaded(run, tmp_path):
    other = SafeCheckpointer(nn.Linear(64, 64), str(tmp_path))
    assert other.resume_or_load("", resume=True)["iteration"] == 3
    assert torch.equal(other.model.weight, run.model.weight)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "last_checkpoint",
        "model_0000001.pth",
        "model_0000003.pth",
    ]


@pytest.mark.parametrize("damage", ["cut", "empty", "bit", "text"])
def test_damage_names_the_file_and_what_to_resume_from(run, tmp_path, damage):
    path = tmp_path / "model_0000003.pth"
    whole = bytearray(path.read_bytes())
    flipped = whole.copy()
    flipped[len(whole) // 2] ^= 1  # among the weights: they would load, and be others
    content = {"cut": whole[:-2000], "empty": b"", "bit": flipped, "text": b"<html>none</html>"}
    path.write_bytes(content[damage])
    wanted = (
        r"model_0000003\.pth \(\d+ bytes\) is damaged or cut short .*go on from another one "
        r"\(model_0000001\.pth\), write its name into .*last_checkpoint"
    )
    with pytest.raises(CheckpointError, match=wanted):
        run.resume_or_load("", resume=True)
    # The message is true.
    (tmp_path / "last_checkpoint").write_text("model_0000001.pth")
    assert run.resume_or_load("", resume=True)["iteration"] == 1


@pytest.mark.parametrize("name", ["", "model_0000009.pth"])
def test_a_last_checkpoint_that_is_not_there(run, tmp_path, name):
    (tmp_path / "last_checkpoint").write_text(name)
    with pytest.raises(CheckpointError, match=r"last_checkpoint names '.*is not there.*0000003"):
        run.resume_or_load("", resume=True)


def test_damaged_weights_from_elsewhere(run, tmp_path):
    (tmp_path / "weights").mkdir()
    path = tmp_path / "weights" / "foreign.pth"
    path.write_bytes((tmp_path / "model_0000001.pth").read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"foreign\.pth.*name another in MODEL\.WEIGHTS"):
        run.resume_or_load(str(path), resume=False)


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("suffix", [".pth", ".pkl"])
def test_no_code_of_a_checkpoint_is_run(run, tmp_path, suffix):
    path, trace = tmp_path / f"foreign{suffix}", tmp_path / "trace"
    content = {"model": {}, "__author__": "nobody", "bomb": Bomb(trace)}
    if suffix == ".pth":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(CheckpointError, match=r"foreign\.\w+ holds objects other than tensors"):
        run.load(str(path))
    assert not trace.exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_pickled_arrays_of_a_model_zoo_are_read(run, tmp_path, protocol):
    weight = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    arrays = {"weight": weight, "bias": np.zeros(64, np.float32)}
    content = {"model": arrays, "__author__": "zoo", "epoch": np.float64(3)}
    (tmp_path / "zoo.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    run.load(str(tmp_path / "zoo.pkl"))
    assert torch.equal(run.model.weight, torch.from_numpy(weight))
    (tmp_path / "cut.pkl").write_bytes(pickle.dumps(content, protocol=protocol)[:-50])
    with pytest.raises(CheckpointError, match=r"cut\.pkl .* is damaged or cut short"):
        run.load(str(tmp_path / "cut.pkl"))


def test_a_checkpoint_that_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere\.pth does not exist: .*MODEL\.WEIGHTS"):
        SafeCheckpointer(nn.Linear(1, 1)).load(str(tmp_path / "nowhere.pth"))
