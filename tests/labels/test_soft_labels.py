"""The table of soft labels: what changes when, what never does, and whose table it is."""

import pytest
import torch

from drfpn_da.labels import SoftLabelStore

NAMES = ("a", "b", "c")
CLASSES = [0, 2, -1, -1, -1]


@pytest.fixture
def store():
    store = SoftLabelStore(CLASSES, NAMES, "digest")
    store.assign(torch.tensor([2, 3, 4]), torch.tensor([[0.5, 0.25, 0.25]]).repeat(3, 1))
    return store


def soft(*rows):
    return torch.tensor(rows)


def test_labels_are_replaced_at_the_end_of_an_epoch_only(store):
    store.visit(torch.tensor([4, 2]), soft([0.1, 0.8, 0.1], [0.0, 0.0, 1.0]))
    assert store.targets(torch.tensor([2]))[0].tolist() == [0.5, 0.25, 0.25]
    assert store.end_epoch() == 2
    torch.testing.assert_close(
        store.targets(torch.arange(5)),
        soft([1, 0, 0], [0, 0, 1], [0, 0, 1], [0.5, 0.25, 0.25], [0.1, 0.8, 0.1]),
    )
    assert torch.equal(store.table.sum(dim=1), torch.ones(5))
    assert store.end_epoch() == 0, "a visit counts for one epoch"


def test_parity_gives_pictures_left_out_a_zero_label(store):
    store.visit(torch.tensor([4]), soft([0.1, 0.8, 0.1]))
    store.end_epoch(zero_unvisited=True)
    assert store.table.sum(dim=1).tolist() == [1, 1, 0, 0, 1]


def test_no_training_on_a_picture_without_label():
    store = SoftLabelStore(CLASSES, NAMES, "digest")
    assert not store.is_complete
    store.targets(torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="picture 3 has no soft label yet"):
        store.targets(torch.tensor([0, 3]))


@pytest.mark.parametrize(
    ("index", "row", "message"),
    [
        (1, [0.5, 0.5, 0.0], "picture 1 is labelled: its label never changes"),
        (3, [0.5, 0.6, 0.0], "picture 3 .* sum 1"),
        (3, [0.0, 0.0, 0.0], "sum 1"),
        (3, [1.5, -0.5, 0.0], "sum 1"),
        (3, [float("nan"), 0.5, 0.5], "sum 1"),
        (3, [0.5, 0.5], r"shape \(1, 2\), expected \(1, 3\)"),
    ],
)
def test_what_is_no_soft_label_is_refused(store, index, row, message):
    for method in (store.assign, store.visit):
        with pytest.raises(ValueError, match=message):
            method(torch.tensor([index]), torch.tensor([row]))


def test_state_goes_on_amid_an_epoch(store):
    store.visit(torch.tensor([2]), soft([0.0, 1.0, 0.0]))
    other = SoftLabelStore(CLASSES, NAMES, "digest")
    other.load_state_dict(store.state_dict())
    for one in (store, other):
        one.visit(torch.tensor([3]), soft([0.0, 1.0, 0.0]))
        one.end_epoch()
    assert torch.equal(store.table, other.table) and other.epochs == 1


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (SoftLabelStore(CLASSES, ("a", "b", "d"), "digest"), r"of the classes \['a', 'b', 'd'\]"),
        (SoftLabelStore(CLASSES, NAMES, "another"), "of other pictures or given labels .*another"),
    ],
)
def test_table_of_other_data_is_refused(store, other, message):
    with pytest.raises(ValueError, match=message):
        store.load_state_dict(other.state_dict())


def test_classes_beyond_the_names_are_refused():
    with pytest.raises(ValueError, match="do not fit the 3 class names"):
        SoftLabelStore([0, 3], NAMES, "")
