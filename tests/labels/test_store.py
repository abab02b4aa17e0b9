"""The journal: applying, undoing, reviewing; refusals of damaged files and other data."""

import dataclasses
import json
import zlib

import numpy as np
import pytest

from drfpn_da.labels import (
    AnnotationIndex,
    DatasetIdentity,
    Decision,
    RelabelStore,
    read_journal,
    recover_journal,
    write_journal,
)

NAMES = ("car", "person", "sign")
DATA = DatasetIdentity("streets", "/data/streets.json", "ab" * 32, NAMES, 6)


@pytest.fixture
def annotations():
    return AnnotationIndex(
        datasets=(DATA,),
        dataset=np.zeros(6, dtype=np.int64),
        annotation_ids=tuple(range(10, 16)),
        image_ids=(1, 1, 2, 2, 3, 3),
        file_names=tuple(f"{i}.png" for i in (1, 1, 2, 2, 3, 3)),
        classes=np.array([0, 0, 1, 1, 2, 2]),
        boxes=np.arange(24, dtype=np.float64).reshape(6, 4),
        crowd=np.array([False] * 5 + [True]),
    )


def change(index, old, new, margin=0.5):
    return Decision(index, old, new, 0.2, 0.2 + margin, 0.6, 12, 0.9)


@pytest.fixture
def store(annotations):
    store = RelabelStore([DATA], {"margin": 0.2})
    store.record([change(0, 0, 1), change(3, 1, 2)], annotations, 100)
    store.record([change(0, 1, 2)], annotations, 200)
    return store


def test_labels_follow_the_entries(store, annotations):
    assert store.labels(annotations).tolist() == [2, 0, 1, 2, 2, 2]
    assert store.corrections() == {("streets", 10): "sign", ("streets", 13): "sign"}
    assert [e.round for e in store.entries] == [1, 1, 2]
    assert annotations.classes.tolist() == [0, 0, 1, 1, 2, 2], "given labels are not touched"
    assert store.locked(annotations).tolist() == [False] * 5 + [True]


def test_applying_twice_is_applying_once(store, annotations):
    before = store.entries
    assert store.record([change(0, 2, 2), change(3, 1, 2)], annotations, 300) == []
    assert store.entries == before


def test_proposals_change_nothing_but_are_not_repeated(annotations):
    store = RelabelStore([DATA])
    assert len(store.record([change(0, 0, 1)], annotations, 100, dry_run=True)) == 1
    assert store.record([change(0, 0, 1)], annotations, 200, dry_run=True) == []
    assert np.array_equal(store.labels(annotations), annotations.classes)
    assert store.labels(annotations, proposed=True).tolist() == [1, 0, 1, 1, 2, 2]


def test_undo_restores_the_table_byte_by_byte(store, annotations):
    store.undo()
    assert store.labels(annotations).tobytes() == annotations.classes.tobytes()
    assert store.undo() == [], "nothing is left to undo"
    assert [e.status for e in store.entries] == ["applied"] * 3 + ["undone"] * 2


def test_undo_of_a_round_or_of_annotations(store, annotations):
    with pytest.raises(ValueError, match="annotation 10 of 'streets' was changed again in round 2"):
        store.undo(round_number=1)
    store.undo(round_number=2)
    assert store.labels(annotations).tolist() == [1, 0, 1, 2, 2, 2]
    store.undo(round_number=1)
    assert store.labels(annotations).tobytes() == annotations.classes.tobytes()
    with pytest.raises(KeyError, match="annotation 99"):
        store.undo(keys=[("streets", 99)])
    with pytest.raises(ValueError, match="no round 9; the journal has rounds 1 to 4"):
        store.undo(round_number=9)


@pytest.fixture
def there_and_back(annotations):
    """An annotation that changed in round 1, changed back in round 2, and again in round 3."""
    store = RelabelStore([DATA])
    for iteration, (old, new) in enumerate([(0, 1), (1, 0), (0, 1)]):
        store.record([change(0, old, new)], annotations, iteration)
    return store


def test_undo_of_all_leaves_nothing_to_undo(there_and_back, annotations):
    store = there_and_back
    assert [(e.old, e.new, e.undoes) for e in store.undo()] == [("person", "car", 3)]
    assert store.undo() == [] and store.undo(keys=[("streets", 10)]) == []
    assert [store.undo(round_number=n) for n in (1, 2, 3, 4)] == [[]] * 4
    assert store.labels(annotations).tolist() == annotations.classes.tolist()
    # A change after it is one to undo.
    store.record([change(0, 0, 2)], annotations, 9)
    assert [(e.old, e.new) for e in store.undo()] == [("sign", "car")]


def test_undo_of_rounds_one_after_another(there_and_back):
    store = there_and_back
    undone = [store.undo(round_number=n) for n in (3, 2, 1)]
    assert [(e.old, e.new) for (e,) in undone] == [
        ("person", "car"),
        ("car", "person"),
        ("person", "car"),
    ]
    assert store.undo() == [] and store.corrections() == {}


def test_changes_that_cancel_out_need_no_undo(annotations):
    store = RelabelStore([DATA])
    store.record([change(0, 0, 1)], annotations, 1)
    store.record([change(0, 1, 0)], annotations, 2)
    assert store.undo() == []


def test_undone_entries_of_former_journals_say_no_number(there_and_back, tmp_path):
    """Even those that were undone twice, which added an entry from a class to itself."""
    store = there_and_back
    (undone,) = store.undo()
    former = dataclasses.replace(undone, undoes=0)
    again = dataclasses.replace(former, old="car", new="car", round=5)
    opened = RelabelStore([DATA], {}, [*store.entries[:-1], former, again])
    opened.save(tmp_path / "journal.jsonl")
    # Such journals have no such field.
    text = (tmp_path / "journal.jsonl").read_text().splitlines()
    lines = [json.loads(line[9:]) for line in text]
    for line in lines:
        line.pop("undoes", None)
    bodies = [json.dumps(line, ensure_ascii=False) for line in lines]
    (tmp_path / "journal.jsonl").write_text(
        "".join(f"{zlib.crc32(body.encode()):08x} {body}\n" for body in bodies)
    )
    found = RelabelStore.load(tmp_path / "journal.jsonl", [DATA])
    assert len(found.entries) == 5
    assert found.undo() == [] and found.undo(round_number=1) == [] and found.corrections() == {}


def test_rewinding_keeps_verdicts_with_what_they_judge(store, annotations):
    """Two entries were there; later ones stay only where a person judged, up to the verdict."""
    store.record([change(1, 0, 2), change(2, 1, 0)], annotations, 300)
    store.review({("streets", 10): False, ("streets", 11): True})
    store.undo(keys=[("streets", 12)])
    store.record([change(2, 1, 0), change(4, 2, 0)], annotations, 400)
    old = store.rewind(2)
    assert old.entries[:2] == store.entries[:2]
    assert [(e.annotation_id, e.status, e.iteration) for e in old.entries[2:]] == [
        (10, "applied", 200),
        (11, "applied", 300),
        (12, "applied", 300),
        (10, "rejected", 200),
        (11, "accepted", 300),
        (12, "undone", 300),
    ]
    assert old.corrections() == {("streets", 11): "sign", ("streets", 13): "sign"}
    assert old.verdicts == store.verdicts and len(old.verdicts) == 3
    assert store.rewind(len(store.entries)).entries == store.entries


def test_review_settles_for_good(store, annotations):
    store.record([change(2, 1, 0)], annotations, 300, dry_run=True)
    added = store.review({("streets", 12): True, ("streets", 10): False})
    assert [e.status for e in added] == ["accepted", "rejected"]
    assert store.labels(annotations).tolist() == [0, 0, 0, 2, 2, 2]
    assert store.locked(annotations).tolist() == [True, False, True, False, False, True]
    assert store.review({("streets", 12): True, ("streets", 10): False}) == []
    with pytest.raises(KeyError, match="annotation 11"):
        store.review({("streets", 11): True})


def test_disk_holds_the_same(store, annotations, tmp_path):
    path = tmp_path / "run" / "relabels.jsonl"
    store.save(path)
    loaded = RelabelStore.load(path, [DATA])
    assert loaded.entries == store.entries and loaded.settings == {"margin": 0.2}
    assert np.array_equal(loaded.labels(annotations), store.labels(annotations))
    before = path.read_text().splitlines()[:-1]
    store.undo()
    store.save(path)
    assert path.read_text().splitlines()[: len(before)] == before, "lines are only added"
    assert [p.name for p in path.parent.iterdir()] == ["relabels.jsonl"]


def test_other_data_are_refused(store, tmp_path):
    path = tmp_path / "relabels.jsonl"
    store.save(path)
    other = dataclasses.replace(DATA, sha256="cd" * 32)
    with pytest.raises(ValueError, match=r"another annotation file: .*abababababab"):
        RelabelStore.load(path, [other])
    with pytest.raises(ValueError, match=r"is of the classes \['car', 'person', 'sign'\]"):
        RelabelStore.load(path, [dataclasses.replace(DATA, classes=("car", "person"))])
    with pytest.raises(ValueError, match="not of"):
        RelabelStore.load(path, [dataclasses.replace(DATA, name="other")])


def test_damage_is_refused_kept_and_recovered(store, tmp_path):
    path = tmp_path / "relabels.jsonl"
    store.save(path)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    damages = {
        "line 2 does not fit": whole.replace(b'"person"', b'"persom"').replace(
            lines[0].replace(b'"person"', b'"persom"'), lines[0]
        ),
        "without its last one": b"".join(lines[:-1]),
        "is cut short": whole[:-40],
    }
    for message, damaged in damages.items():
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"(?s)is damaged: .*recover") as error:
            read_journal(path)
        assert message in str(error.value) and path.read_bytes() == damaged
    path.write_bytes(whole[: whole.index(lines[2]) + 20])
    assert recover_journal(path).entries == store.entries[:1]
    write_journal(recover_journal(path), tmp_path / "new.jsonl")
    assert RelabelStore.load(tmp_path / "new.jsonl", [DATA]).entries == store.entries[:1]
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"it is empty.*nothing of it can be recovered"):
        read_journal(path)
    with pytest.raises(ValueError, match="nothing of journal"):
        recover_journal(path)


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "instances.json"
    path.write_text(json.dumps({"images": []}))
    with pytest.raises(ValueError, match="is damaged"):
        read_journal(path)
    with pytest.raises(FileNotFoundError, match=r"SCN_RELABEL\.ENABLED writes one"):
        read_journal(tmp_path / "none.jsonl")
