"""What the noise study measures: precision, recall and harm of a journal against the truth."""

import json

import numpy as np
import pytest

from benchmarks.effects.label_truth import judge_journal, judge_threshold
from drfpn_da.data.noise import symmetric_noise
from drfpn_da.labels import Decision, RelabelStore, index_annotations


def test_precision_recall_and_harm_of_a_journal(tmp_path):
    from detectron2.data import MetadataCatalog
    from detectron2.structures import BoxMode

    names = ["a", "b", "c"]
    annotations = [
        {"id": i, "image_id": 1, "category_id": i % 3, "bbox": [0, 0, 1, 1], "iscrowd": 0}
        for i in range(60)
    ]
    data = {
        "images": [{"id": 1, "file_name": "x.png", "width": 2, "height": 2}],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names)],
        "annotations": annotations,
    }
    noisy, truth = symmetric_noise(data, 0.3, seed=0)
    (tmp_path / "noisy.json").write_text(json.dumps(noisy))
    (tmp_path / "noisy.truth.json").write_text(json.dumps(truth))
    MetadataCatalog.get("judged").set(thing_classes=names)
    record = {
        "file_name": "x.png",
        "annotations": [{**a, "bbox_mode": BoxMode.XYWH_ABS} for a in noisy["annotations"]],
    }
    index = index_annotations([("judged", [record])])
    flips = truth["flips"]
    right = [a["id"] for a in noisy["annotations"] if a["id"] not in {f["id"] for f in flips}]

    def change(i, new):
        return Decision(i, int(index.classes[i]), new, 0.0, 1.0, 0.5, 9, 1.0)

    # Three flips restored, one given the third class, two right labels harmed.
    decisions = [change(f["id"], f["true"]) for f in flips[:3]]
    decisions.append(change(flips[3]["id"], 3 - flips[3]["true"] - flips[3]["noisy"]))
    decisions += [change(i, (int(index.classes[i]) + 1) % 3) for i in right[:2]]
    store = RelabelStore(index.datasets)
    store.record(decisions, index, 10)
    store.save(tmp_path / "relabels.jsonl")
    found = judge_journal(tmp_path / "relabels.jsonl", tmp_path / "noisy.json", seed=0)
    assert found["relabelled"] == pytest.approx(100 * 6 / 60)
    assert found["precision"] == pytest.approx(50)
    assert found["recall"] == pytest.approx(100 * 3 / len(flips))
    assert found["harm"] == pytest.approx(100 * 2 / len(right))
    assert found["random relabelled"] == pytest.approx(10)
    assert not np.isnan(found["random precision"])


def test_a_loss_threshold_changes_as_many_as_are_wrong():
    true = {1: "a", 2: "b", 3: "a", 4: "b"}
    labels = {**true, 2: "a", 3: "b"}
    p = {1: 0.9, 2: 0.2, 3: 0.6, 4: 0.3}  # of "a"
    probabilities = {i: {"a": a, "b": 1 - a} for i, a in p.items()}
    # Least probable: 2 (0.2 of "a", becomes "b": right), then 3 (0.4 of "b", becomes "a": right).
    found = judge_threshold(labels, probabilities, true)
    assert found == {"relabelled": 50, "precision": 100, "recall": 100, "harm": 0}
    # Now 1, a right label, is less probable than 3: it is harmed, and 3 stays wrong.
    probabilities[1] = {"a": 0.3, "b": 0.7}
    found = judge_threshold(labels, probabilities, true)
    assert found == {"relabelled": 50, "precision": 50, "recall": 50, "harm": 50}
