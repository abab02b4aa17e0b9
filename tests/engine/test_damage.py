"""Full disks, dead processes and damaged data while training: errors name file and mend."""

import errno
import json
import os
import signal

import pytest

from drfpn_da import files
from drfpn_da.engine import Trainer
from tests.tiny_coco import register_tiny, tiny_cfg, write_tiny_coco


@pytest.fixture
def cfg(tmp_path):
    write_tiny_coco(tmp_path)
    register_tiny("tiny_damage", tmp_path)
    cfg = tiny_cfg(tmp_path / "out", "tiny_damage")
    cfg.DATASETS.TEST, cfg.SOLVER.STEPS = (), ()
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.CHECKPOINT_PERIOD = 4, 1
    return cfg


def test_a_disk_that_fills_up_costs_one_checkpoint(cfg, tmp_path, monkeypatch):
    sync, written = os.fsync, []

    def fill_up(descriptor):
        written.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        if "model_0000002" in written[-1]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(files.os, "fsync", fill_up)
    message = r"model_0000002\.pth cannot be written: No space left on device; free space there"
    with pytest.raises(OSError, match=message):
        Trainer(cfg).train()
    left = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"model_0000000.pth", "model_0000001.pth", "last_checkpoint"} <= left
    assert not [name for name in left if "0000002" in name]
    monkeypatch.undo()
    resumed = Trainer(cfg)
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == 2
    resumed.train()
    assert (tmp_path / "out" / "model_final.pth").is_file()


def test_a_killed_worker_is_explained(cfg):
    cfg.DATALOADER.NUM_WORKERS = 1
    main = os.getpid()

    def die(record):
        assert os.getpid() != main
        os.kill(os.getpid(), signal.SIGKILL)

    trainer = Trainer(cfg)
    trainer.data_loader.dataset._mapper = die
    with pytest.raises(
        RuntimeError, match=r"(?s)loads data died .*DATALOADER\.NUM_WORKERS.*resume"
    ):
        trainer.train()


@pytest.mark.parametrize("split", ["TRAIN", "TEST"])
def test_a_damaged_annotation_file_is_named(cfg, tmp_path, split):
    path = tmp_path / "tiny.json"
    path.write_text(path.read_text()[:-300])
    wanted = r"dataset 'tiny_damage': .*tiny\.json \(json_file\) is not valid JSON .*restore it"
    with pytest.raises(ValueError, match=wanted):
        if split == "TRAIN":
            Trainer(cfg)
        else:
            Trainer.build_test_loader(cfg, "tiny_damage")


@pytest.mark.parametrize("entry", [{"ignore": 1}, {"bbox": []}])
def test_entries_of_a_file_that_was_registered_elsewhere_are_named(cfg, tmp_path, entry):
    path = tmp_path / "tiny.json"
    data = json.loads(path.read_text())
    data["annotations"][4].update(entry)
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"'tiny_damage': .*tiny\.json: .*annotation 5 "):
        Trainer(cfg)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_picture_is_named(cfg, tmp_path, workers):
    cfg.DATALOADER.NUM_WORKERS = workers
    for path in (tmp_path / "images").iterdir():
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"picture_\d\.png .* is not a readable picture .*replace"):
        Trainer(cfg).train()
