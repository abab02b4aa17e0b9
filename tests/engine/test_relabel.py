"""Relabelling in training: what the model sees, resuming, dry runs, two processes, refusals."""

import json

import pytest
import torch
from detectron2.data import DatasetMapper

from drfpn_da.engine import Trainer
from drfpn_da.engine import trainer as trainer_module
from drfpn_da.engine.relabel_votes import Windows
from drfpn_da.labels import read_journal
from tests.engine.relabelling import (
    global_rank,
    relabel_cfg,
    relabel_hook,
    train_in_two_processes,
    watch_labels,
)
from tests.tiny_coco import register_tiny, write_tiny_coco
from tests.two_processes import run_in_two_processes

NAME = "tiny_relabel"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("relabel")
    write_tiny_coco(folder)
    register_tiny(NAME, folder)
    return folder


def test_a_corrected_label_is_what_the_next_step_sees(folder, tmp_path):
    """With loading processes, which never see a later change of the data set."""
    cfg = relabel_cfg(tmp_path, NAME)
    cfg.DATALOADER.NUM_WORKERS = 2
    trainer = Trainer(cfg)
    given = relabel_hook(trainer)._annotations.classes
    steps = watch_labels(trainer)
    before = (folder / "tiny.json").read_bytes()
    trainer.train()
    entries = read_journal(tmp_path / "relabels.jsonl").entries
    assert {e.status for e in entries} == {"applied"}
    assert {e.iteration for e in entries} <= {2, 4, 6}
    assert len(steps) == 6
    changed = 0
    for number, step in enumerate(steps):
        assert all(seen == recorded for seen, recorded in step.values())
        corrected = sum(seen != given[i] for i, (seen, _) in step.items())
        assert number >= 2 or corrected == 0
        changed += corrected
    assert changed > 0
    assert (folder / "tiny.json").read_bytes() == before


def test_a_dry_run_trains_as_without(folder, tmp_path):
    states, losses = [], []
    for name, options in (("dry", {"DRY_RUN": True}), ("off", {"ENABLED": False})):
        trainer = Trainer(relabel_cfg(tmp_path / name, NAME, **options))
        trainer.train()
        states.append(trainer.model.state_dict())
        losses.append(trainer.storage.history("total_loss").values())
    assert losses[0] == losses[1]
    for key, value in states[1].items():
        assert torch.equal(states[0][key], value), key
    entries = read_journal(tmp_path / "dry" / "relabels.jsonl").entries
    assert entries and {e.status for e in entries} == {"proposed"}
    assert not (tmp_path / "off" / "relabels.jsonl").exists()


def test_resuming_writes_the_same_journal(folder, tmp_path):
    """A stop in the middle of a window, with patience over two windows."""

    def trainer(name):
        cfg = relabel_cfg(tmp_path / name, NAME, PATIENCE=2)
        return Trainer(cfg)

    straight = trainer("straight")
    straight.train()
    stopped = trainer("stopped")
    stopped.max_iter = 3
    stopped.train()
    resumed = trainer("stopped")
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == 3
    resumed.train()
    journals = [(tmp_path / n / "relabels.jsonl").read_bytes() for n in ("straight", "stopped")]
    assert journals[0] == journals[1]
    assert read_journal(tmp_path / "straight" / "relabels.jsonl").entries
    expected = straight.model.state_dict()
    for key, value in resumed.model.state_dict().items():
        assert torch.equal(expected[key], value), key


def test_resuming_before_the_end_of_the_journal_keeps_it(folder, tmp_path):
    first = Trainer(relabel_cfg(tmp_path, NAME))
    first.train()
    path = tmp_path / "relabels.jsonl"
    whole = path.read_bytes()
    entries = read_journal(path).entries
    later = [e for e in entries if e.iteration > 3]
    assert later
    (tmp_path / "last_checkpoint").write_text("model_0000002.pth")
    resumed = Trainer(relabel_cfg(tmp_path, NAME))
    resumed.resume_or_load(resume=True)
    kept = [p for p in tmp_path.iterdir() if "later" in p.name]
    assert len(kept) == 1 and kept[0].read_bytes() == whole
    assert read_journal(path).entries == entries[: len(entries) - len(later)]
    resumed.train()
    assert path.read_bytes() == whole
    path.unlink()
    with pytest.raises(FileNotFoundError, match="put it back"):
        Trainer(relabel_cfg(tmp_path, NAME)).resume_or_load(resume=True)


def test_a_journal_in_the_way_is_kept_and_one_can_be_started_from(folder, tmp_path):
    cfg = relabel_cfg(tmp_path, NAME)
    Trainer(cfg).train()
    path = tmp_path / "relabels.jsonl"
    whole, entries = path.read_bytes(), read_journal(path).entries
    (tmp_path / "start.jsonl").write_bytes(whole)
    cfg = relabel_cfg(tmp_path, NAME, JOURNAL=str(tmp_path / "start.jsonl"), DRY_RUN=True)
    trainer = Trainer(cfg)
    steps = watch_labels(trainer)
    trainer.train()
    assert (tmp_path / "relabels-2.jsonl").read_bytes() == whole
    assert read_journal(path).entries[: len(entries)] == entries
    labels = relabel_hook(trainer)._annotations.classes
    assert any(seen != labels[i] for i, (seen, _) in steps[0].items()), "applied from the start"


def test_two_processes_decide_and_train_alike(tmp_path):
    write_tiny_coco(tmp_path)
    run_in_two_processes(train_in_two_processes, tmp_path)
    first, second = (torch.load(tmp_path / f"two_{r}.pt", weights_only=False) for r in range(2))
    assert first["entries"] and first["entries"] == second["entries"]
    assert read_journal(tmp_path / "two" / "relabels.jsonl").entries == first["entries"]
    for result in (first, second):
        assert len(result["steps"]) == 6
        assert all(a == b for step in result["steps"] for a, b in step.values())
    # Each window has votes of both processes' pictures.
    voted = {e.annotation_id for e in first["entries"]}
    shown = [{i + 1 for step in r["steps"] for i in step} for r in (first, second)]
    assert voted & (shown[0] - shown[1]) or voted & shown[1]
    # The rank loss over all processes is that of one with everything.
    loss, gradient = global_rank(0, 1)
    for rank in range(2):
        found, own = torch.load(tmp_path / f"rank_{rank}.pt", weights_only=True)
        torch.testing.assert_close(found, loss)
        torch.testing.assert_close(own, gradient[rank::2])


def test_windows_follow_epochs_and_fractions(folder, tmp_path):
    cfg = relabel_cfg(tmp_path, NAME, START_FRACTION=0.5, STOP_FRACTION=0.9)
    cfg.SOLVER.MAX_ITER = 100
    assert Windows.from_config(cfg, pictures=10) == Windows(50, 90, 3)
    cfg.SCN_RELABEL.START_EPOCH, cfg.SCN_RELABEL.STOP_EPOCH = 2, 4
    cfg.SCN_RELABEL.PERIOD_EPOCHS = 2
    windows = Windows.from_config(cfg, pictures=10)
    assert windows == Windows(6, 12, 6)
    assert [d for d in range(30) if windows.ends(d)] == [12]
    assert [s for s in range(30) if windows.gathers(s)] == list(range(6, 12))
    # A share of the run, but never less than what shows all pictures once.
    cfg.SCN_RELABEL.PERIOD_EPOCHS = -1
    for share, period in ((0.04, 4), (0.01, 3)):
        cfg.SCN_RELABEL.PERIOD_FRACTION = share
        assert Windows.from_config(cfg, pictures=10) == Windows(6, 12, period)
    assert (Windows(6, 12, 4).count, Windows(6, 12, 3).count) == (1, 2)
    # A last window that would be cut short is not begun.
    assert [s for s in range(20) if Windows(2, 9, 3).gathers(s)] == list(range(2, 8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"START_FRACTION": 0.9}, "there is no whole window of 2 steps"),
        ({"STOP_FRACTION": 1.5}, r"SCN_RELABEL\.STOP_FRACTION is 1\.5"),
        ({"PERIOD_FRACTION": -0.5}, r"SCN_RELABEL\.PERIOD_FRACTION is -0\.5"),
        ({"PATIENCE": 4}, "there are only 3 windows of 2 steps, so that nothing would ever"),
        ({"PROBS": "soft"}, r"SCN_RELABEL\.PROBS is 'soft'"),
        ({"MIN_IOU": 2.0}, r"SCN_RELABEL\.MIN_IOU is 2\.0"),
        ({"CLASSES": ["circle"]}, r"CLASSES has 'circle'; classes are: square, bar"),
        ({"FORBID": [["bar", "circle"]]}, r"FORBID has 'circle'"),
        ({"FORBID": [["bar"]]}, r"an entry is \[from, to\]"),
        ({"MAX_TOTAL": 1.5}, r"SCN_RELABEL\.MAX_TOTAL is 1\.5"),
    ],
)
def test_impossible_settings_are_refused(folder, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        Trainer(relabel_cfg(tmp_path, NAME, **options))


def test_test_data_are_protected(folder, tmp_path):
    cfg = relabel_cfg(tmp_path, NAME)
    cfg.DATASETS.TEST = (NAME,)
    with pytest.raises(ValueError, match="shares the data set itself with the test set"):
        Trainer(cfg)
    register_tiny("tiny_relabel_again", folder)
    cfg.DATASETS.TEST = ("tiny_relabel_again",)
    with pytest.raises(ValueError, match="shares the annotation file"):
        Trainer(cfg)
    data = json.loads((folder / "tiny.json").read_text())
    data["images"] = data["images"][:1]
    data["annotations"] = [a for a in data["annotations"] if a["image_id"] == 1]
    other = tmp_path / "part"
    other.mkdir()
    (other / "tiny.json").write_text(json.dumps(data))
    (other / "images").symlink_to(folder / "images")
    from detectron2.data.datasets import register_coco_instances

    register_coco_instances("tiny_part", {}, str(other / "tiny.json"), str(folder / "images"))
    cfg.DATASETS.TEST = ("tiny_part",)
    with pytest.raises(ValueError, match=r"shares 1 pictures, for example .*picture_0"):
        Trainer(cfg)


def test_detectors_without_such_heads_are_refused_by_name(folder, tmp_path):
    cfg = relabel_cfg(tmp_path, NAME)
    cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    with pytest.raises(ValueError, match=r"this GeneralizedRCNN does not have.*SCNROIHeads"):
        Trainer(cfg)
    cfg = relabel_cfg(tmp_path, NAME, ENABLED=False)
    cfg.MODEL.META_ARCHITECTURE = "RetinaNet"
    cfg.MODEL.BACKBONE.NAME = "build_retinanet_resnet_fpn_backbone"
    cfg.MODEL.RESNETS.OUT_FEATURES = cfg.MODEL.FPN.IN_FEATURES = ["res3", "res4", "res5"]
    cfg.MODEL.RETINANET.NUM_CLASSES = 2
    with pytest.raises(ValueError, match=r"SCNROIHeads .* not for RetinaNet"):
        Trainer(cfg)


def test_a_mapper_that_drops_the_numbers_is_named(folder, tmp_path, monkeypatch):
    def build(cfg):
        from drfpn_da.data import build_train_loader

        return build_train_loader(cfg, mapper=DatasetMapper(cfg, True))

    monkeypatch.setattr(trainer_module, "build_adaptation_loader", build)
    with pytest.raises(ValueError, match="needs gt_annotation_index"):
        Trainer(relabel_cfg(tmp_path, NAME)).train()


def test_a_journal_of_another_file_is_refused(folder, tmp_path):
    Trainer(relabel_cfg(tmp_path / "first", NAME)).train()
    data = json.loads((folder / "tiny.json").read_text())
    data["annotations"][0]["category_id"] = 2
    other = tmp_path / "other"
    other.mkdir()
    (other / "tiny.json").write_text(json.dumps(data))
    (other / "images").symlink_to(folder / "images")
    register_tiny(NAME, other)
    journal = str(tmp_path / "first" / "relabels.jsonl")
    try:
        with pytest.raises(ValueError, match="is of another annotation file"):
            Trainer(relabel_cfg(tmp_path / "second", NAME, JOURNAL=journal))
    finally:
        register_tiny(NAME, folder)
