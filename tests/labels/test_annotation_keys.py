"""Keys of annotations: a correction finds the annotation that is meant, and its copies."""

import hashlib
import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.structures import BoxMode

from drfpn_da.data import load_indexed
from drfpn_da.labels import Decision, RelabelStore, index_annotations

CLASSES = ["car", "van"]
FILES = [f"/data/seq_{s}/000001.png" for s in "abc"]


@pytest.fixture
def register(register):
    """Register a function that returns records; return the name."""
    return lambda load, name="keys": register(name, load, thing_classes=CLASSES)


def box(**fields):
    values = {"bbox": [1.0, 1.0, 20.0, 20.0], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0}
    return {**values, **fields}


def records(files, *annotations):
    """One record a file, each with annotations of its own."""
    return [
        {"file_name": f, "image_id": i, "annotations": [dict(a) for a in annotations or [box()]]}
        for i, f in enumerate(files)
    ]


def labels_after(annotations, number):
    """All labels once an annotation is changed to class 1, read back by key."""
    store = RelabelStore(annotations.datasets)
    store.record([Decision(number, 0, 1, 0.1, 0.9, 0.5, 9, 1.0)], annotations, 100)
    return store.labels(annotations).tolist()


def test_pictures_of_one_name_are_told_apart_by_folder(register):
    _, annotations = load_indexed([register(lambda: records(FILES))])
    assert annotations.annotation_ids == tuple(f"seq_{s}/000001.png#0" for s in "abc")
    assert [labels_after(annotations, i) for i in range(3)] == np.eye(3, dtype=int).tolist()


def test_keys_do_not_depend_on_where_the_data_lie(register, tmp_path, monkeypatch):
    name = register(lambda: records(FILES))
    first = load_indexed([name])[1]
    monkeypatch.chdir(tmp_path)
    moved = index_annotations([(name, records([f[len("/data/") :] for f in FILES]))])
    assert moved.annotation_ids == first.annotation_ids and moved.datasets == first.datasets
    # Two pictures that change folders are another data set.
    swapped = records([FILES[1], FILES[0], FILES[2]])
    assert index_annotations([(name, swapped)]).datasets != first.datasets


def test_keys_of_former_journals_hold_where_names_tell_pictures_apart(register):
    name = register(lambda: records(["/data/a/1.png", "/data/b/2.png"], box(), box()))
    annotations = load_indexed([name])[1]
    assert annotations.annotation_ids == ("1.png#0", "1.png#1", "2.png#0", "2.png#1")
    former = hashlib.sha256()
    for picture in ("1.png", "2.png"):
        former.update(json.dumps([picture, [[0, 1.0, 1.0, 20.0, 20.0]] * 2]).encode())
    assert annotations.datasets[0].sha256 == former.hexdigest()


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (
            lambda: records(FILES, box(id=0)),
            r"the id '0', one of picture .*seq_a.*, one of .*seq_b",
        ),
        (lambda: records(FILES[:1], box(id=17), box(id="17")), r"the id '17'.*\"id\" of its own"),
        (
            lambda: records(FILES[:1] * 2),
            r"the id '000001\.png#0'.*every picture is in one record only",
        ),
    ],
    ids=["by picture", "as text", "picture twice"],
)
def test_repeated_ids_are_refused_by_name(register, load, message):
    with pytest.raises(ValueError, match=f"dataset 'keys': two annotations have {message}"):
        load_indexed([register(load)])


def test_numbers_of_numpy_are_ids(register, tmp_path):
    name = register(lambda: records(FILES[:1], box(id=np.int64(3)), box(id=np.int64(4))))
    annotations = load_indexed([name])[1]
    store = RelabelStore(annotations.datasets)
    store.record([Decision(1, 0, 1, 0.1, 0.9, 0.5, 9, 1.0)], annotations, 1)
    store.save(tmp_path / "journal.jsonl")
    assert RelabelStore.load(tmp_path / "journal.jsonl").corrections() == {("keys", 4): "van"}


def test_a_data_set_named_twice_is_one_with_copies(register):
    name = register(lambda: records(FILES, box(), box()))
    other = register(lambda: records(["/other/1.png"]), "keys_other")
    loaded, annotations = load_indexed([name, name, other])
    assert len(annotations) == 13 and annotations.distinct == 7
    # Votes on a copy are votes on the annotation: the copies' records have its number.
    numbers = [a["annotation_index"] for r in loaded for a in r["annotations"]]
    assert numbers == [*range(6), *range(6), 6]
    labels = labels_after(annotations, 2)
    assert labels == [0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]
    assert annotations.key(6) == ("keys_other", "1.png#0")
    assert [annotations.key(7 + i) for i in range(6)] == [annotations.key(i) for i in range(6)]


def test_a_data_set_that_is_another_one_each_time_is_refused(register):
    loads = iter([records(FILES), records(FILES[:2])])
    name = register(lambda: next(loads))
    with pytest.raises(ValueError, match="'keys' is named twice and has other annotations"):
        load_indexed([name, name])


def polygon(*points):
    return [list(map(float, points))]


SQUARE = polygon(1, 1, 21, 1, 21, 21, 1, 21)
TRIANGLE = polygon(1, 1, 21, 1, 21, 21)
LINE = polygon(1, 1, 21, 21)  # detectron2 leaves such annotations out


@pytest.fixture
def coco(tmp_path):
    """Register annotations of one picture, all with one box; return the name."""
    names = []

    def coco(*annotations):
        same = {"image_id": 1, "bbox": [1, 1, 20, 20], "area": 400, "iscrowd": 0}
        data = {
            "images": [{"id": 1, "file_name": "1.png", "width": 50, "height": 50}],
            "annotations": [{**same, "id": i + 1, **a} for i, a in enumerate(annotations)],
            "categories": [{"id": i + 3, "name": c} for i, c in enumerate(CLASSES)],
        }
        (tmp_path / "same.json").write_text(json.dumps(data))
        names.append(f"keys_coco_{len(names)}")
        register_coco_instances(names[-1], {}, str(tmp_path / "same.json"), str(tmp_path))
        return names[-1]

    yield coco
    for name in names:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def of(category, segmentation=None):
    return {"category_id": category, **({"segmentation": segmentation} if segmentation else {})}


@pytest.mark.parametrize(
    ("annotations", "ids"),
    [
        ([of(3, LINE), of(4, SQUARE)], (2,)),
        ([of(3, SQUARE), of(4, LINE), of(4, TRIANGLE)], (1, 3)),
        ([of(3, LINE), of(3)], (2,)),
        ([of(3, SQUARE), of(3, SQUARE), of(3, LINE)], (1, 2)),
        ([of(3), of(3)], (1, 2)),
    ],
)
def test_annotations_with_one_box_keep_their_own_ids(coco, annotations, ids):
    found = load_indexed([coco(*annotations)])[1]
    assert found.annotation_ids == ids
    wanted = [annotations[i - 1]["category_id"] - 3 for i in ids]
    assert found.classes.tolist() == wanted


def test_what_a_loader_leaves_out_is_told_by_class_and_outline_or_refused(coco):
    name = coco(of(3, SQUARE), of(4, SQUARE), of(4, TRIANGLE), of(4, TRIANGLE))
    loaded = DatasetCatalog.get(name)
    for kept, ids in (([1, 2, 3], (2, 3, 4)), ([0, 2, 3], (1, 3, 4)), ([1], (2,))):
        some = [{**loaded[0], "annotations": [loaded[0]["annotations"][i] for i in kept]}]
        assert index_annotations([(name, some)]).annotation_ids == ids
    for kept in ([2], [0, 3]):
        some = [{**loaded[0], "annotations": [loaded[0]["annotations"][i] for i in kept]}]
        with pytest.raises(ValueError, match=r"picture 1 cannot be told.*extra_annotation_keys"):
            index_annotations([(name, some)])


def test_a_loader_without_outlines_is_not_taken_for_one_that_leaves_lines_out(coco):
    name = coco(of(3, LINE), of(4, SQUARE), of(3, SQUARE))
    file_name = DatasetCatalog.get(name)[0]["file_name"]
    kept = [box(category_id=0), box(category_id=1)]  # the first two, without outlines
    some = [{"file_name": file_name, "image_id": 1, "annotations": kept}]
    with pytest.raises(ValueError, match="cannot be told"):
        index_annotations([(name, some)])
