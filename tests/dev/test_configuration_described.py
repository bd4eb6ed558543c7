"""What editors and readers are told about the keys follows from the model, and is committed as it follows."""

import json

from dev.configuration_docs import json_schema, markdown_table
from tests.support.script_runs import ROOT


def test_the_committed_schema_is_the_models():
    assert json.loads((ROOT / "config/configuration.schema.json").read_text("utf-8")) == json_schema()


def test_the_schema_names_its_dialect_and_every_key_once():
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["type"] == "object"
    assert next(iter(schema["properties"])) == "$schema"
    assert len(schema["properties"]) == 13
    assert all(value["description"] for key, value in schema["properties"].items() if key != "$schema")


def test_the_readmes_table_is_the_models():
    table = markdown_table()
    assert table in (ROOT / "README.md").read_text("utf-8")
    assert len(table.splitlines()) == 14
