"""Two gloo processes on the CPU equal one process with the whole batch."""

import json

import torch

from tests.integration.two_patch_processes import train_in_double
from tests.integration.two_processes import KINDS, train_both, train_segmentor
from tests.tiny_coco import write_disparity, write_tiny_coco
from tests.two_processes import run_in_two_processes


def test_two_processes_equal_one(tmp_path):
    json_file, images = write_tiny_coco(tmp_path, mixed=False)
    write_tiny_coco(tmp_path / "target", count=6, mixed=False)
    write_disparity(tmp_path)
    # And a detector from the command line, as a user starts it.
    words = ["--register", "tiny_two_boxes", json_file, images, "--num-gpus", "2"]
    words += ["--config-file", "drfpn/bccd/faster_rcnn_mobilenetv2_drfpn.yaml"]
    words += ["MODEL.WEIGHTS", "", "MODEL.FPN.OUT_CHANNELS", "32", "MODEL.MOBILENETV2.NORM", "BN"]
    words += ["MODEL.ROI_HEADS.NUM_CLASSES", "2", "INPUT.MIN_SIZE_TRAIN", "(64,)"]
    words += ["INPUT.MIN_SIZE_TEST", "64", "SOLVER.MAX_ITER", "2", "SOLVER.STEPS", "(1,)"]
    words += ["TEST.EVAL_PERIOD", "0", "DATALOADER.NUM_WORKERS", "0"]
    words += ["DATASETS.TRAIN", "('tiny_two_boxes',)", "DATASETS.TEST", "('tiny_two_boxes',)"]
    words += ["OUTPUT_DIR", str(tmp_path / "boxes")]
    run_in_two_processes(train_both, tmp_path, words)

    for kind in KINDS:
        ranks = [torch.load(tmp_path / f"{kind}_{r}.pth", weights_only=True) for r in range(2)]
        # Student, teacher and statistics are equal in both.
        assert all(torch.equal(ranks[0][key], ranks[1][key]) for key in ranks[0])
        assert any(key.startswith("objectives.") for key in ranks[0]) == (
            kind in ("aligned_two", "stored_two")
        )
        assert any(key.startswith("teacher.") for key in ranks[0]) == (
            kind not in ("two", "stored_two")
        )
        assert all(v.dtype == torch.float64 for v in ranks[0].values() if v.is_floating_point())
        if kind == "mixed_two":
            mixed = ranks[0]  # other pairs than those of one process
            continue
        one = train_segmentor(tmp_path, f"one_of_{kind}", kind).model.state_dict()
        # DepthMix and DensePseudoLabel learn from float32 logits.
        tolerance = 1e-6 if kind in ("unmixed_two", "stored_two") else 1e-9
        for key, value in one.items():
            torch.testing.assert_close(ranks[0][key], value, rtol=0, atol=tolerance, msg=key)
    assert any(not torch.allclose(mixed[k], v, atol=1e-5) for k, v in one.items())
    assert_same_soft_labels(tmp_path / "patches")
    assert 0 <= json.loads((tmp_path / "results.json").read_text())["AP"] <= 100
    log = (tmp_path / "boxes" / "log.txt").read_text()
    assert "Training on the CPU with 2 gloo processes" in log
    assert (tmp_path / "boxes" / "model_final.pth").is_file()


def assert_same_soft_labels(folder):
    """Each process holds the table that one process with the whole batch makes."""
    train_in_double(folder, labelled_per_batch=2)
    one = torch.load(folder / "of_1_0.pth", weights_only=True)
    ranks = [torch.load(folder / f"of_2_{rank}.pth", weights_only=True) for rank in range(2)]
    assert one["epochs"] == ranks[0]["epochs"] == 2
    assert torch.equal(ranks[0]["table"], ranks[1]["table"])
    torch.testing.assert_close(ranks[0]["table"], one["table"], rtol=0, atol=1e-6)
    for key, value in one["model"].items():
        torch.testing.assert_close(ranks[0]["model"][key], value, rtol=0, atol=1e-8, msg=key)
