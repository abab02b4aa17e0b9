"""Scalars of a step are read together."""

import torch
from detectron2.utils.events import EventStorage

from drfpn_da.modeling.step_scalars import put_scalars, read_with_scalars, scalars_read_at_once


def test_scalars_wait_for_the_end_of_the_outermost_block():
    heard = []
    with EventStorage() as storage:
        put_scalars({"at_once": torch.tensor(1.5)})
        assert storage.latest()["at_once"][0] == 1.5
        with scalars_read_at_once():
            with scalars_read_at_once():
                put_scalars({"a": torch.tensor(2.0, requires_grad=True), "b": torch.tensor(True)})
            put_scalars({"left_out": torch.tensor(3.0)}, where=torch.tensor(False))
            put_scalars({"c": torch.tensor(4)}, torch.tensor(True), heard.append)
            assert set(storage.latest()) == {"at_once"}
        latest = {name: value for name, (value, _) in storage.latest().items()}
    assert latest == {"at_once": 1.5, "a": 2.0, "b": 1.0, "c": 4.0} and heard == [{"c": 4.0}]


def test_what_is_read_in_a_block_comes_with_the_scalars():
    exact = torch.tensor([0.1], dtype=torch.float64)
    with EventStorage() as storage, scalars_read_at_once():
        put_scalars({"a": torch.tensor(2.0)}, where=torch.tensor(True))
        assert read_with_scalars([torch.tensor(5.0), exact]) == [5.0, 0.1]
        assert storage.latest()["a"][0] == 2.0
    assert read_with_scalars([]) == []


def test_names_have_the_scope_of_where_they_were_put():
    """As the stages of a cascade have."""
    with EventStorage() as storage:
        with scalars_read_at_once():
            with storage.name_scope("stage0"):
                put_scalars({"a": torch.tensor(1.0)})
            put_scalars({"a": torch.tensor(2.0)})
        with storage.name_scope("stage1"):
            put_scalars({"a": torch.tensor(3.0)})
        latest = {name: value for name, (value, _) in storage.latest().items()}
    assert latest == {"stage0/a": 1.0, "a": 2.0, "stage1/a": 3.0}
