"""Runs that are killed while they write resume as if nothing had been."""

import multiprocessing
import os
import signal

import pytest

from drfpn_da import files
from drfpn_da.engine import Trainer
from drfpn_da.labels import read_journal
from tests.engine.relabelling import relabel_cfg
from tests.tiny_coco import register_tiny, write_tiny_coco
from tests.training import assert_equal_states

#: What the process does when it is killed -> how often it does it before.
KILLS = {
    ("write", "relabels.jsonl"): 1,
    ("write", "model_0000003.pth"): 0,
    ("replace", "model_0000003.pth"): 0,
    ("write", "last_checkpoint"): 1,
    ("replace", "last_checkpoint"): 1,
    ("replace", "relabels.jsonl"): 2,
}


def cfg_of(folder, output):
    register_tiny("tiny_killed", folder)
    cfg = relabel_cfg(output, "tiny_killed")
    cfg.SOLVER.CHECKPOINT_PERIOD = 2
    return cfg


def die_at(what, name, before):
    """Kill this process with SIGKILL in the middle of a certain write, or before a replacement."""
    left = [before]

    def reached(path):
        words = os.path.basename(str(path)).lstrip(".").split(".")
        if name.split(".") != words[: len(name.split("."))]:
            return False
        left[0] -= 1
        return left[0] < 0

    def write(self, data):
        if reached(self.name):
            half = bytes(data[: len(data) // 2])
            os.write(self.fileno(), half)
            os.kill(os.getpid(), signal.SIGKILL)
        return original_write(self, data)

    def replace(source, target):
        if reached(target):
            os.kill(os.getpid(), signal.SIGKILL)
        original_replace(source, target)

    original_write, original_replace = files._RecordingFile.write, os.replace
    if what == "write":
        files._RecordingFile.write = write
    else:
        files.os.replace = replace


def train_and_die(folder, output, what, name, before):
    trainer = Trainer(cfg_of(folder, output))
    die_at(what, name, before)
    trainer.train()


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Folder of the data, and a run that nothing stopped."""
    folder = tmp_path_factory.mktemp("killed")
    write_tiny_coco(folder)
    trainer = Trainer(cfg_of(folder, folder / "straight"))
    trainer.train()
    return folder, trainer


@pytest.mark.parametrize(("what", "name"), list(KILLS))
def test_a_run_killed_while_it_writes_resumes_exactly(straight, tmp_path, what, name):
    folder, unbroken = straight
    process = multiprocessing.get_context("fork").Process(
        target=train_and_die, args=(folder, tmp_path, what, name, KILLS[what, name])
    )
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL, "the run did not come to this write"
    if (tmp_path / "relabels.jsonl").exists():
        read_journal(tmp_path / "relabels.jsonl")  # whole
    resumed = Trainer(cfg_of(folder, tmp_path))
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter in (2, 4)
    resumed.train()
    assert_equal_states(unbroken.model.state_dict(), resumed.model.state_dict())
    assert_equal_states(unbroken.optimizer.state_dict(), resumed.optimizer.state_dict())
    journals = [read_journal(p / "relabels.jsonl") for p in (folder / "straight", tmp_path)]
    assert journals[0].entries and journals[0].entries == journals[1].entries
    assert not [p.name for p in tmp_path.iterdir() if p.name.endswith(".tmp")]
