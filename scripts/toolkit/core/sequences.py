"""Long sequences that take little memory: their items are made when they are asked for."""

import marshal
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, pairwise
from typing import Generic, NamedTuple, TypeVar, overload

_Item = TypeVar("_Item")
_Row = TypeVar("_Row", bound=NamedTuple)
_MARSHAL = 2
"""Of the form that marshal writes; those after it look for what is there twice, which is slow and finds nothing."""


class Computed(Sequence[_Item], Generic[_Item]):
    """A sequence whose items are made anew whenever they are asked for."""

    def at(self, index: int) -> _Item:
        """Make the item at an index from 0 on; raises IndexError behind the last."""
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> _Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[_Item]: ...
    def __getitem__(self, index: int | slice) -> _Item | list[_Item]:
        if isinstance(index, slice):
            return [self.at(place) for place in range(len(self))[index]]
        return self.at(index if index >= 0 else range(len(self))[index])

    def __iter__(self) -> Iterator[_Item]:
        return map(self.at, range(len(self)))


class Compact(Computed[_Row]):
    """Named tuples of texts and numbers, each made anew when it is asked for.

    As objects a million of them take several times the memory, and every round of the garbage collector looks at all.
    """

    def __init__(self, kind: type[_Row], rows: Iterable[_Row] = ()) -> None:
        self._kind = kind
        self._content = bytearray()
        self._edges = array("Q", [0])
        for row in rows:
            self.append(row)

    def append(self, row: _Row) -> None:
        """Add one at the end."""
        self._content += marshal.dumps(tuple(row), _MARSHAL)
        self._edges.append(len(self._content))

    def __len__(self) -> int:
        return len(self._edges) - 1

    def at(self, index: int) -> _Row:
        """Make a row."""
        return tuple.__new__(self._kind, marshal.loads(self._content[self._edges[index] : self._edges[index + 1]]))

    def __iter__(self) -> Iterator[_Row]:
        kind, content = self._kind, self._content
        for start, end in pairwise(self._edges):
            yield tuple.__new__(kind, marshal.loads(content[start:end]))


class Joined(Computed[_Item]):
    """Several of them as one, one behind the other."""

    def __init__(self, parts: Sequence[Computed[_Item]]) -> None:
        self._parts = parts
        self._ends = list(accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self._ends[-1]

    def at(self, index: int) -> _Item:
        """Make the item at an index from 0 on."""
        number = bisect_right(self._ends, index)
        return self._parts[number].at(index - (self._ends[number - 1] if number else 0))

    def __iter__(self) -> Iterator[_Item]:
        return chain.from_iterable(self._parts)
