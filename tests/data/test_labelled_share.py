"""Every batch of every process holds its labelled pictures; an epoch is one pass over the rest."""

import itertools

import pytest

from drfpn_da.data import LabelledShareSampler
from drfpn_da.data.loader import GlobalBatches, ProcessShare

LABELLED, OTHERS = range(7), range(7, 60)


def batches(count, start=0, rank=0, world=1, **changed):
    options = {"batch_size": 12, "labelled_per_process": 2, "world": world, "seed": 1, **changed}
    sampler = LabelledShareSampler(LABELLED, OTHERS, **options)
    share = ProcessShare(GlobalBatches(sampler, options["batch_size"]), start, rank, world)
    return [[index for _, index in batch] for batch in itertools.islice(share, count)]


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("start", [0, 3])
def test_each_batch_of_each_process_has_its_share(world, start):
    ranks = [batches(20, start, rank, world) for rank in range(world)]
    for rank in ranks:
        for batch in rank:
            assert len(batch) == 12 // world
            assert sum(index in LABELLED for index in batch) == 2


def test_resumed_stream_is_that_of_the_uninterrupted_one():
    assert batches(30)[11:] == batches(19, start=11)
    assert batches(3) != batches(3, seed=2)


def test_an_epoch_passes_once_over_the_others():
    sampler = LabelledShareSampler(LABELLED, OTHERS, batch_size=12, labelled_per_process=2, seed=1)
    assert sampler.batches_per_epoch == 5  # 53 // 10
    found = batches(10)
    for epoch in (found[:5], found[5:]):
        visited = [i for batch in epoch for i in batch if i in OTHERS]
        assert len(set(visited)) == len(visited) == 50
    left_out = [
        set(OTHERS) - {i for batch in epoch for i in batch} for epoch in (found[:5], found[5:])
    ]
    assert left_out[0] != left_out[1], "the same pictures would never be visited"
    # 20 places for 7 labelled pictures, in passes: 2 or 3 times each.
    counts = [sum(batch.count(i) for batch in found) for i in LABELLED]
    assert set(counts) <= {2, 3}


@pytest.mark.parametrize(("unlabelled", "left_out"), [(49500, 24), (49000, 28), (46000, 52)])
def test_published_number_of_pictures_left_out(unlabelled, left_out):
    sampler = LabelledShareSampler(
        range(16), range(16, 16 + unlabelled), batch_size=100, labelled_per_process=16
    )
    assert unlabelled - 84 * sampler.batches_per_epoch == left_out


def test_warm_up_has_labelled_pictures_only():
    found = batches(5, warmup=3)
    assert all(index in LABELLED for batch in found[:3] for index in batch)
    assert all(sum(index in LABELLED for index in batch) == 2 for batch in found[3:])


def test_without_a_share_all_pictures_are_drawn_alike():
    found = batches(5, labelled_per_process=0)
    visited = [i for batch in found for i in batch]
    assert len(set(visited)) == 60 and set(visited) == {*LABELLED, *OTHERS}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"unlabelled": []}, "no unlabelled picture .*DATASETS.LABELLED.COUNT"),
        ({"labelled": []}, "no labelled picture"),
        ({"unlabelled": range(5, 60)}, "2 pictures are labelled and unlabelled, .* index 5"),
        ({"labelled_per_process": 12}, "LABELLED_PER_BATCH is 12 .* from 0 to 11"),
        ({"labelled_per_process": -1}, "LABELLED_PER_BATCH is -1"),
        ({"labelled_per_process": 6, "world": 2}, "from 0 to 5"),
        ({"batch_size": 100}, "53 pictures for the 98 places"),
        ({"warmup": -1}, "WARMUP_ITERS is -1"),
    ],
)
def test_impossible_batches_are_refused(changed, message):
    options = {
        "labelled": LABELLED,
        "unlabelled": OTHERS,
        "batch_size": 12,
        "labelled_per_process": 2,
        **changed,
    }
    with pytest.raises(ValueError, match=message):
        LabelledShareSampler(**options)
