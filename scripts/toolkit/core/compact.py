"""Long lists that take little memory."""

import marshal
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Generic, NamedTuple, TypeVar, overload

_Row = TypeVar("_Row", bound=NamedTuple)
_VERSION = 2
"""Of the form that marshal writes; those after it look for what is there twice, which is slow and finds nothing."""


class Compact(Sequence[_Row], Generic[_Row]):
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
        self._content += marshal.dumps(tuple(row), _VERSION)
        self._edges.append(len(self._content))

    def __len__(self) -> int:
        return len(self._edges) - 1

    @overload
    def __getitem__(self, index: int) -> _Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[_Row]: ...
    def __getitem__(self, index: int | slice) -> _Row | list[_Row]:
        if isinstance(index, slice):
            return [self[at] for at in range(len(self))[index]]
        at = range(len(self))[index]
        return tuple.__new__(self._kind, marshal.loads(self._content[self._edges[at] : self._edges[at + 1]]))

    def __iter__(self) -> Iterator[_Row]:
        kind, content = self._kind, self._content
        for start, end in pairwise(self._edges):
            yield tuple.__new__(kind, marshal.loads(content[start:end]))
