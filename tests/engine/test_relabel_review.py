"""Relabelling and a person: verdicts while a run is alive, after its checkpoint, and undone."""

import logging

import pytest
from detectron2.engine import HookBase

from drfpn_da.data import load_indexed
from drfpn_da.engine import SCNRelabelHook, Trainer
from drfpn_da.engine.relabel_votes import Windows
from drfpn_da.labels import Decision, RelabelPolicy, RelabelStore, read_journal
from tests.engine.relabelling import relabel_cfg, relabel_hook, watch_labels
from tests.tiny_coco import register_tiny, write_tiny_coco

NAME = "tiny_review"


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("review")
    write_tiny_coco(folder)
    register_tiny(NAME, folder)
    return folder


@pytest.fixture
def build(tmp_path):
    """A hook as of a run that starts or goes on; no training."""
    _, annotations = load_indexed([NAME])

    def build():
        path = str(tmp_path / "relabels.jsonl")
        policy = RelabelPolicy(patience=1)
        return SCNRelabelHook(annotations, policy, Windows(0, 8, 2), path, dry_run=False)

    return build


def flip(store, annotations, *numbers, dry_run=False):
    labels = store.labels(annotations).tolist()
    changes = [Decision(i, labels[i], 1 - labels[i], 0.1, 0.9, 0.5, 3, 1.0) for i in numbers]
    return store.record(changes, annotations, 4, dry_run)


@pytest.mark.parametrize("dry_run", [False, True])
def test_verdicts_after_the_last_checkpoint_hold(build, tmp_path, dry_run):
    """Of five entries after it two are judged, one is undone, and two are decided again."""
    first, path = build(), tmp_path / "relabels.jsonl"
    annotations = first._annotations
    saved = first.state_dict()
    flip(first.store, annotations, 0, 1, 2, 3, 4, dry_run=dry_run)
    first.store.save(path)
    whole = path.read_bytes()
    store = RelabelStore.load(path)
    store.review({annotations.key(0): True, annotations.key(1): False})
    store.undo([annotations.key(2)])
    store.save(path)
    for _ in range(2):  # another resume from there finds the same
        again = build()
        again.load_state_dict(saved)
        labels, locked = again.store.labels(annotations), again.store.locked(annotations)
        assert labels[:5].tolist() == [1, 1, 0, 1, 0] and annotations.classes[0] == 0
        assert set(again.store.corrections()) == {annotations.key(0)}
        assert locked[:5].tolist() == [True, True, False, False, False]
        statuses = [(e.annotation_id - 1, e.status) for e in again.store.entries]
        base = "proposed" if dry_run else "applied"
        judged = [(0, "accepted"), (1, "rejected"), (2, "undone")]
        assert statuses == [(0, base), (1, base), (2, base), *judged]
        assert read_journal(path).entries == again.store.entries
    kept = list(tmp_path.glob("relabels.later*"))
    assert len(kept) == 1 and kept[0].read_bytes().startswith(whole.splitlines(True)[0])


class Person(HookBase):
    """Does something to the journal once, after a step, as a person would from another shell."""

    def __init__(self, steps, act):
        self._steps, self._act = steps, act

    def after_step(self):
        if self.trainer.iter + 1 == self._steps:
            self._act()


def test_verdicts_while_the_run_is_alive_are_kept_and_trained_on(tmp_path):
    cfg = relabel_cfg(tmp_path, NAME)
    cfg.SOLVER.CHECKPOINT_PERIOD = 100
    path = tmp_path / "relabels.jsonl"
    trainer = Trainer(cfg)
    annotations, verdicts = relabel_hook(trainer)._annotations, {}
    given = annotations.classes

    def judge():
        store = RelabelStore.load(path)
        keys = list(dict.fromkeys(e.key for e in store.entries))[:4]
        verdicts.update({key: place % 2 == 0 for place, key in enumerate(keys)})
        store.review(verdicts)
        store.save(path)

    trainer.register_hooks([Person(3, judge)])
    steps = watch_labels(trainer)
    trainer.train()
    entries = read_journal(path).entries
    assert len(verdicts) == 4
    for key, accepted in verdicts.items():
        last = [e for e in entries if e.key == key][-1]
        assert last.status == ("accepted" if accepted else "rejected")
        (number,) = annotations.find(key)
        assert (
            last.new
            == annotations.class_names[given[number] if not accepted else 1 - given[number]]
        )
    # From the next window on, training sees what was decided; nothing else is lost.
    assert all(seen == recorded for step in steps[4:] for seen, recorded in step.values())
    assert {e.iteration for e in entries if e.status == "applied"} >= {2, 4}
    assert relabel_hook(trainer).store.entries == entries


def test_a_checkpoint_knows_the_verdicts_given_before_it(tmp_path):
    """Windows are over; the verdict comes in with the checkpoint, and is in the resumed run."""
    cfg = relabel_cfg(tmp_path, NAME, STOP_FRACTION=0.34)
    path = tmp_path / "relabels.jsonl"
    trainer = Trainer(cfg)

    def judge():
        store = RelabelStore.load(path)
        store.review({e.key: False for e in store.entries})
        store.save(path)

    trainer.register_hooks([Person(2, judge)])
    steps = watch_labels(trainer)
    trainer.train()
    given = relabel_hook(trainer)._annotations.classes
    assert any(seen != given[i] for i, (seen, _) in steps[2].items()), "before the checkpoint"
    assert all(seen == given[i] for step in steps[3:] for i, (seen, _) in step.items())
    assert relabel_hook(trainer).store.corrections() == {}


def test_a_journal_that_was_damaged_meanwhile_is_kept_and_training_goes_on(tmp_path, caplog):
    cfg = relabel_cfg(tmp_path, NAME)
    path = tmp_path / "relabels.jsonl"
    trainer = Trainer(cfg)
    trainer.register_hooks([Person(2, lambda: path.write_text("a person's notes\n"))])
    with caplog.at_level(logging.ERROR, "drfpn_da.engine.relabel_journal"):
        trainer.train()
    assert (tmp_path / "relabels.damaged.jsonl").read_text() == "a person's notes\n"
    assert "relabels.damaged.jsonl" in caplog.text
    assert read_journal(path).entries == relabel_hook(trainer).store.entries
    assert {e.iteration for e in read_journal(path).entries} >= {2}


def test_votes_of_one_process_alone_are_said(build, caplog):
    state = build().state_dict()
    assert state["votes_of_all"] is True
    with caplog.at_level(logging.WARNING, "drfpn_da.engine.relabel_hook"):
        build().load_state_dict(state)
        former = {k: v for k, v in state.items() if k != "votes_of_all"}
        build().load_state_dict(former)  # a checkpoint of a former version
        assert "votes of the main process alone" not in caplog.text
        build().load_state_dict({**state, "votes_of_all": False})
    assert "votes of the main process alone" in caplog.text
