"""The audit tool from the command line: sweep, report, verdicts, undo, export, folds, recovery."""

import json

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model

from drfpn_da.data import load_indexed
from drfpn_da.labels import Decision, RelabelStore
from tests.scripts import load_tool
from tests.tiny_coco import register_tiny, tiny_cfg, write_tiny_coco


@pytest.fixture
def tool():
    return load_tool("audit_labels").main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit")
    write_tiny_coco(folder)
    return folder


def test_sweep_finds_reports_and_exports(tool, folder, tmp_path):
    """Detectors that see one class everywhere doubt much: every file is written and read."""
    cfg = tiny_cfg(tmp_path / "run", "tiny_sweep")
    # So many boxes that some meet an object.
    cfg.MODEL.RPN.PRE_NMS_TOPK_TEST = cfg.MODEL.RPN.POST_NMS_TOPK_TEST = 500
    cfg.TEST.DETECTIONS_PER_IMAGE = 500
    (tmp_path / "model.yaml").write_text(cfg.dump())
    weights = []
    for seed in range(2):
        torch.manual_seed(seed)
        model = build_model(cfg)
        model.roi_heads.box_predictor.cls_score.bias.data[seed] = 5.0
        DetectionCheckpointer(model, str(tmp_path)).save(f"fold_{seed}")
        weights.append(str(tmp_path / f"fold_{seed}.pth"))
    words = ["sweep", "--config-file", str(tmp_path / "model.yaml"), "--dataset", "tiny_sweep"]
    words += ["--register", "tiny_sweep", str(folder / "tiny.json"), str(folder / "images")]
    words += ["--output", str(tmp_path / "audit"), "--margin", "0.0", "--weights", *weights]
    audit = tool(words)
    names = {path.name for path in audit.iterdir()}
    assert names == {"proposals.jsonl", "review.csv", "report.html", "suspects.json"}
    suspects = json.loads((audit / "suspects.json").read_text())
    scores = [s["score"] for s in suspects]
    assert scores == sorted(scores, reverse=True) and scores
    proposals = RelabelStore.load(audit / "proposals.jsonl").entries
    assert len(proposals) == sum(s["kind"] == "class" for s in suspects) > 0
    assert tool(words).name == "audit-2", "nothing is overwritten"

    review = (audit / "review.csv").read_text().splitlines()
    (audit / "review.csv").write_text("\n".join([review[0], "accept" + review[1]]) + "\n")
    journal = ["--journal", str(audit / "proposals.jsonl")]
    added = tool(["apply", *journal, "--review", str(audit / "review.csv")])
    assert [e.status for e in added] == ["accepted"]
    path = tool(["export", *journal, "--output", str(tmp_path / "corrected.json")])
    given = {a["id"]: a for a in json.loads((folder / "tiny.json").read_text())["annotations"]}
    changed = [a["id"] for a in json.loads(path.read_text())["annotations"] if a != given[a["id"]]]
    assert changed == [added[0].annotation_id]


@pytest.fixture
def journal(tool, folder, tmp_path):
    register_tiny("tiny_tool", folder)
    _, annotations = load_indexed(["tiny_tool"])
    store = RelabelStore(annotations.datasets, {"margin": 0.2})
    for number, i in enumerate((0, 2)):
        store.record([Decision(i, 0, 1, 0.1, 0.9, 0.5, 9, 1.0)], annotations, number)
    store.save(tmp_path / "relabels.jsonl")
    return tmp_path / "relabels.jsonl"


def test_report_of_a_journal(tool, journal, tmp_path):
    report = tool(["report", "--journal", str(journal), "--output", str(tmp_path / "report")])
    assert (report / "report.html").read_text().count("<img") == 2
    assert len((report / "review.csv").read_text().splitlines()) == 3


def test_undo_keeps_the_journal_before(tool, journal):
    before = journal.read_bytes()
    words = ["undo", "--journal", str(journal)]
    assert len(tool([*words, "--annotations", "3"])) == 1
    kept = journal.with_name("relabels.before.jsonl")
    assert kept.read_bytes() == before
    assert len(tool([*words, "--round", "1"])) == 1
    assert tool([*words, "--all"]) == []
    with pytest.raises(KeyError, match="annotation 77"):
        tool([*words, "--annotations", "77"])


def test_undo_asks_which_data_set_is_meant(tool, folder, tmp_path):
    names = ["tiny_day", "tiny_night"]
    for name in names:
        register_tiny(name, folder)
    _, annotations = load_indexed(names)
    store = RelabelStore(annotations.datasets)
    for i in (0, 2, 16):  # annotations 1 and 3 of the first, 1 of the second
        store.record([Decision(i, 0, 1, 0.1, 0.9, 0.5, 9, 1.0)], annotations, i)
    path = tmp_path / "relabels.jsonl"
    store.save(path)
    words = ["undo", "--journal", str(path)]
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"--dataset among \['tiny_day', 'tiny_night'\]"):
        tool([*words, "--annotations", "3", "1"])
    assert path.read_bytes() == before
    with pytest.raises(KeyError, match="not of 'tiny_dusk'"):
        tool([*words, "--all", "--dataset", "tiny_dusk"])
    with pytest.raises(KeyError, match="annotation 3"):
        tool([*words, "--annotations", "3", "--dataset", "tiny_night"])
    (added,) = tool([*words, "--annotations", "1", "--dataset", "tiny_night"])
    assert added.key == ("tiny_night", 1)
    assert set(RelabelStore.load(path).corrections()) == {("tiny_day", 1), ("tiny_day", 3)}
    assert tool([*words, "--all", "--dataset", "tiny_night"]) == []
    assert [e.key for e in tool([*words, "--annotations", "3"])] == [("tiny_day", 3)]
    assert [e.key for e in tool([*words, "--all"])] == [("tiny_day", 1)]


def test_a_journal_that_grew_meanwhile_is_not_overwritten(tool, folder, journal, monkeypatch):
    """Training adds a round between a command's reading and its writing."""
    _, annotations = load_indexed(["tiny_tool"])
    undo = RelabelStore.undo

    def slow_undo(self, *args):
        training = RelabelStore.load(journal)
        training.record([Decision(4, 0, 1, 0.1, 0.9, 0.5, 9, 1.0)], annotations, 9)
        training.save(journal)
        return undo(self, *args)

    monkeypatch.setattr(RelabelStore, "undo", slow_undo)
    with pytest.raises(ValueError, match=r"has got entries meanwhile.*run this command again"):
        tool(["undo", "--journal", str(journal), "--all"])
    assert len(RelabelStore.load(journal).entries) == 3


def test_recovery_of_a_damaged_journal(tool, journal, tmp_path):
    journal.write_bytes(journal.read_bytes()[:-60])
    damaged = journal.read_bytes()
    with pytest.raises(ValueError, match=r"(?s)is damaged.*audit_labels\.py recover"):
        tool(["report", "--journal", str(journal), "--output", str(tmp_path / "report")])
    path = tool(["recover", "--journal", str(journal), "--output", str(tmp_path / "new.jsonl")])
    assert len(RelabelStore.load(path).entries) == 1
    assert journal.read_bytes() == damaged


@pytest.mark.parametrize("classes", [2, 3])
def test_sweep_refuses_labels_with_a_class_that_the_model_has_not(tool, folder, tmp_path, classes):
    """A root class that nothing is annotated with would shift all the others by one."""
    data = json.loads((folder / "tiny.json").read_text())
    data["categories"].insert(0, {"id": 0, "name": "shapes", "supercategory": "none"})
    (tmp_path / "labels.json").write_text(json.dumps(data))
    name = f"tiny_root_{classes}"
    cfg = tiny_cfg(tmp_path, name)
    DetectionCheckpointer(build_model(cfg), str(tmp_path)).save("model")
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = classes
    wanted = {
        2: "NUM_CLASSES is 2, but dataset .* has 3 classes",
        3: r"model\.pth does not fit the config: .*cls_score",
    }
    (tmp_path / "model.yaml").write_text(cfg.dump())
    words = ["sweep", "--config-file", str(tmp_path / "model.yaml"), "--dataset", name]
    words += ["--register", name, str(tmp_path / "labels.json"), str(folder / "images")]
    words += ["--weights", str(tmp_path / "model.pth"), "--output", str(tmp_path / "audit")]
    with pytest.raises(ValueError, match=wanted[classes]):
        tool(words)
    assert not (tmp_path / "audit").exists()


def test_folds_leave_out_each_picture_once(tool, folder, tmp_path):
    words = ["split", "--annotations", str(folder / "tiny.json"), "--output", str(tmp_path)]
    paths = tool([*words, "--folds", "3"])
    everything = {i["id"] for i in json.loads((folder / "tiny.json").read_text())["images"]}
    left_out = []
    for path in paths:
        part = json.loads(path.read_text())
        kept = {i["id"] for i in part["images"]}
        assert {a["image_id"] for a in part["annotations"]} <= kept
        left_out.append(everything - kept)
    assert sorted(i for part in left_out for i in part) == sorted(everything)
    # As the sweep takes them: by place among the sorted pictures.
    assert left_out[1] == set(sorted(everything)[1::3])
    with pytest.raises(ValueError, match="--folds 1"):
        tool([*words, "--folds", "1"])
    (tmp_path / "broken.json").write_text("{")
    words[2] = str(tmp_path / "broken.json")
    with pytest.raises(SystemExit, match=r"broken\.json: .*Expecting"):
        tool([*words, "--folds", "3"])
