"""Long lists that take little memory."""

import pickle
import tracemalloc
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.core.sequences import Compact


class Row(NamedTuple):
    name: str
    size: int


rows = st.lists(st.builds(Row, st.text(st.characters()), st.integers(-(2**70), 2**70)), max_size=20)


@given(rows)
def test_it_holds_what_a_list_holds(given: list[Row]) -> None:
    found = Compact(Row, given)
    assert (len(found), list(found)) == (len(given), given)
    assert [found[at - len(given)] for at in range(len(given))] == given
    assert found[1:-1] == given[1:-1]
    assert all(type(row) is Row for row in found)
    assert list(pickle.loads(pickle.dumps(found))) == given


def test_it_has_no_row_behind_its_end() -> None:
    with pytest.raises(IndexError):
        Compact(Row, [Row("a", 1)])[1]


def test_it_takes_a_third_of_a_list() -> None:
    tracemalloc.start()
    compact = Compact(Row, (Row(f"cat/{number:020}.jpg", 1_000_000 + number) for number in range(10_000)))
    in_compact, _ = tracemalloc.get_traced_memory()
    objects = list(compact)
    in_objects = tracemalloc.get_traced_memory()[0] - in_compact
    tracemalloc.stop()
    assert len(objects) == len(compact)
    assert 3 * in_compact < in_objects
