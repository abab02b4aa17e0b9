"""Relabelling on data that are not as usual: no annotations, sets named twice, shared pictures."""

import json
import os

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances

from drfpn_da.data import IndexedMapper, load_indexed
from drfpn_da.data.indexed import refuse_shared_test_data
from drfpn_da.engine import Trainer
from drfpn_da.labels import read_journal
from tests.engine.relabelling import (
    leave_pictures,
    relabel_cfg,
    relabel_hook,
    resume_from_best_in_two_processes,
    sparse_cfg,
    watch_labels,
)
from tests.tiny_coco import register_tiny, write_tiny_coco
from tests.two_processes import run_in_two_processes

NAME = "tiny_relabel_data"


@pytest.fixture
def folder(tmp_path):
    write_tiny_coco(tmp_path)
    register_tiny(NAME, tmp_path)
    return tmp_path


def test_batches_without_annotations_are_trained_on(folder):
    """One picture a batch, of which half have no annotation, and crops that hold no object."""
    leave_pictures(folder, 4)
    cfg = sparse_cfg(folder / "out", NAME)
    cfg.SEED = 0  # begins with a picture without annotations
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = 1, 8, ()
    trainer = Trainer(cfg)
    steps = watch_labels(trainer)
    trainer.train()
    assert len(steps) == 8 and not steps[0] and any(steps)
    assert read_journal(folder / "out" / "relabels.jsonl").entries


def test_a_picture_without_annotations_has_no_number_but_the_field(folder):
    leave_pictures(folder, 4)
    records, _ = load_indexed([NAME], filter_empty=False)
    cfg = sparse_cfg(folder / "out", NAME)
    cfg.MODEL.MASK_ON = True  # boxes are fitted to masks after cropping: here there is none
    instances = IndexedMapper(cfg, True)(records[-1])["instances"]
    assert instances.gt_annotation_index.shape == (0,) and len(instances) == 0


def test_two_processes_keep_all_votes_of_the_best_checkpoint(tmp_path):
    """One of them often has no annotation in its batch; neither waits for the other for ever."""
    write_tiny_coco(tmp_path)
    leave_pictures(tmp_path, 4)
    write_tiny_coco(tmp_path / "test", count=2)
    run_in_two_processes(resume_from_best_in_two_processes, tmp_path)
    first, second = (torch.load(tmp_path / f"best_{r}.pt", weights_only=True) for r in range(2))
    assert first["start"] == 2, "the checkpoint is in the middle of the window"
    assert first["expected"] and first["found"] == first["expected"]
    assert second == first


def test_a_data_set_named_twice_is_corrected_in_both_copies(folder):
    """Both copies vote for one decision, and are trained on with its class."""
    cfg = relabel_cfg(folder / "out", NAME, PERIOD_EPOCHS=1)
    cfg.DATASETS.TRAIN = (NAME, NAME)
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = 8, ()
    trainer = Trainer(cfg)
    hook = relabel_hook(trainer)
    steps = watch_labels(trainer)
    trainer.train()
    assert len(hook._annotations) == 32 and hook._annotations.distinct == 16
    entries = read_journal(folder / "out" / "relabels.jsonl").entries
    first_round = [e.annotation_id for e in entries if e.round == 1]
    assert first_round and len(set(first_round)) == len(first_round)
    assert {i for step in steps for i in step} == set(range(16))
    assert all(seen == recorded for step in steps for seen, recorded in step.values())
    labels = hook.store.labels(hook._annotations)
    assert labels[:16].tolist() == labels[16:].tolist() != hook._annotations.classes[:16].tolist()


def test_test_pictures_are_known_by_any_path(folder):
    data = json.loads((folder / "tiny.json").read_text())
    (folder / "other.json").write_text(json.dumps({**data, "info": {"of": "another file"}}))
    (folder / "linked").symlink_to(folder / "images")
    (folder / "pictures").mkdir()
    (folder / "copies").mkdir()
    for picture in (folder / "images").iterdir():
        (folder / "pictures" / picture.name).symlink_to(
            os.path.relpath(picture, folder / "pictures")
        )
        (folder / "copies" / picture.name).write_bytes(picture.read_bytes())
    _, annotations = load_indexed([NAME])

    def check(root):
        register_coco_instances("tiny_shared", {}, str(folder / "other.json"), str(root))
        try:
            refuse_shared_test_data(annotations, ["tiny_shared"])
        finally:
            DatasetCatalog.remove("tiny_shared")
            MetadataCatalog.remove("tiny_shared")

    for name in ("images", "linked", "pictures"):
        for root in (folder / name, os.path.relpath(folder / name)):
            with pytest.raises(ValueError, match=f"'{NAME}', which shares 8 pictures.*picture_0"):
                check(root)
    check(folder / "copies")
