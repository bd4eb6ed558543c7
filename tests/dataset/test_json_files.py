"""Long files of JSON, read piece by piece: whatever lies on the seam of two pieces is read as if there were none."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from toolkit.dataset import detection_json
from toolkit.dataset.export_files import LabelProblem

SCALARS = some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(max_size=8)
VALUES = some.recursive(SCALARS, lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner))
OBJECTS = some.dictionaries(some.text(max_size=3), VALUES, max_size=4)


@given(OBJECTS, some.sampled_from((1, 2, 3, 7, 64)), some.booleans())
def test_entries_are_those_of_the_whole(content: dict, piece: int, is_ascii: bool) -> None:
    text = json.dumps(content, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass" if is_ascii else "ignore")
    content = json.loads(text)
    wanted = [(key, one) for key, value in content.items() for one in (value if isinstance(value, list) else [value])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detection_json, "_PIECE", piece)
        assert list(detection_json.JsonFile(io.BytesIO(text)).entries()) == wanted
        with pytest.raises(LabelProblem):
            list(detection_json.JsonFile(io.BytesIO(text[:-1])).entries())
