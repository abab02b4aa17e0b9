"""Metrics by slenderness of pictures that two processes share."""

import json

from detectron2.utils import comm

from tests.slender_sets import evaluator_for, random_set, run
from tests.two_processes import run_in_two_processes

TASKS = ("bbox", "segm")


def evaluate_half(folder):
    data, found = random_set(5, images=9, masks=True)
    rank = comm.get_rank()
    mine = data["images"][:5] if rank == 0 else data["images"][5:]
    (folder / str(rank)).mkdir()
    evaluator = evaluator_for(folder / str(rank), data, TASKS, distributed=True)
    results = run(evaluator, {**data, "images": mine}, found)
    (folder / f"results_{rank}.json").write_text(json.dumps(results))


def test_two_processes_give_the_results_of_one(tmp_path):
    run_in_two_processes(evaluate_half, tmp_path)
    (tmp_path / "one").mkdir()
    data, found = random_set(5, images=9, masks=True)
    expected = run(evaluator_for(tmp_path / "one", data, TASKS), data, found)
    results = [json.loads((tmp_path / f"results_{rank}.json").read_text()) for rank in range(2)]
    assert json.dumps(results[0]) == json.dumps(expected)
    assert expected["bbox_slender"]["AP"] > 0
    assert not results[1], "the main process alone has results"
