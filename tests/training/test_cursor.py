"""The data's order knows seed and epoch, and no number of workers."""

from training.cursor import DataCursor, DataOrder, epoch_order, shares


def test_an_epochs_order_is_the_same_everywhere() -> None:
    assert epoch_order(8, seed=3, epoch=0) == [4, 0, 6, 5, 1, 3, 2, 7]


def test_epochs_and_seeds_differ() -> None:
    orders = {tuple(epoch_order(50, seed, epoch)) for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4


def test_each_sample_is_drawn_once_per_epoch() -> None:
    order = DataOrder(count=10, batch=4, epochs=2, seed=0)
    cursor, drawn = DataCursor(), []
    while not order.finished(cursor):
        batch, cursor = order.take(cursor)
        drawn.append(batch)
    assert [len(batch) for batch in drawn] == [4, 4, 2, 4, 4, 2]
    assert order.steps == 6
    for epoch in (drawn[:3], drawn[3:]):
        assert sorted(i for batch in epoch for i in batch) == list(range(10))


def test_a_cursor_alone_says_what_comes_next() -> None:
    order = DataOrder(count=10, batch=4, epochs=2, seed=0)
    _, after = order.take(DataCursor())
    expected = order.take(after)
    assert DataOrder(count=10, batch=4, epochs=2, seed=0).take(after) == expected


def test_shares_are_whole_and_about_equal() -> None:
    lengths = [30, 10, 20, 40, 25, 15]
    split = shares(lengths, 2)
    assert sorted(i for share in split for i in share) == list(range(6))
    assert [sum(lengths[i] for i in share) for share in split] == [70, 70]


def test_a_worker_may_have_nothing_to_do() -> None:
    assert shares([9], 3) == [[0], [], []]
