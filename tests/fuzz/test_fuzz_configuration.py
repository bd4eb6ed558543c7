"""Whatever a configuration holds: it is taken, or refused in words that give no secret away."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.config.file import ConfigurationFile, open_configuration
from toolkit.config.model import Configuration, ConvertKeys, CredentialKeys, ExportKeys, ImportKeys, read, unknown_keys
from toolkit.core.errors import ToolkitError, UsageError
from toolkit.core.text import printable

from .conftest import examples, refusal

PARTS = (CredentialKeys, ImportKeys, ExportKeys, ConvertKeys)
SECRET = "marker-secret-4711"

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
texts = st.sampled_from(["jpg", "ImageNet 1.0", "./images", "../x", "x\0y", "a/../../b"])
plausible = texts | st.sampled_from([1, 0.5, 123, 2**32, -1, 1.0])
secret_values = st.lists(st.just(SECRET)) | st.dictionaries(st.just(SECRET), st.just(SECRET))
keys = st.sampled_from(list(Configuration.model_fields)) | st.text(max_size=12)


def is_in_words(error: ToolkitError) -> bool:
    lines = [error.message, *error.details]
    return all(printable(line).isprintable() and line.strip() for line in lines)


@examples()
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | values.map(json.dumps).map(str.encode))
def test_any_bytes_are_a_configuration_or_a_clear_refusal(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "configuration.json"
        path.write_bytes(content)
        error = refusal(lambda: open_configuration(path))
        if error is None:
            file = open_configuration(path)
            assert isinstance(file.values, dict)
            assert all(isinstance(line, str) for line in unknown_keys(file))
        else:
            assert error.exit_code == 2
            assert is_in_words(error)


@pytest.mark.parametrize("part", PARTS)
@examples()
@given(given=st.dictionaries(keys, plausible | values, max_size=14))
def test_any_values_are_valid_or_all_named(part, given):
    file = ConfigurationFile(path=Path("configuration.json"), folder=Path("/nowhere"), values=given)
    error = refusal(lambda: read(part, file, environ={}))
    missing = set(part.model_fields) - set(given)
    if error is None:
        assert not missing
    else:
        assert is_in_words(error)
        named = {line.split(":")[0] for line in error.details}
        assert missing <= named <= set(part.model_fields)


@examples()
@given(username=plausible | values, password=secret_values)
def test_a_password_of_the_wrong_type_is_never_shown(username, password):
    given = {"cvat_username": username, "cvat_password": password}
    file = ConfigurationFile(path=Path("configuration.json"), folder=Path("/nowhere"), values=given)
    with pytest.raises(UsageError) as caught:
        read(CredentialKeys, file, environ={})
    assert SECRET not in "\n".join([caught.value.message, *caught.value.details])
