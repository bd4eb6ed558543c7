"""The configuration model described for editors, as a JSON Schema, and for readers, as a table."""

from typing import Any

from toolkit.config.model import Configuration, ConvertKeys, CredentialKeys, ExportKeys, ImportKeys, Keys, rule


def json_schema() -> dict[str, Any]:
    """Make the JSON Schema that editors check configuration.json with.

    Returns:
        A JSON Schema (2020-12) object. No key is required there, for each step needs others.
    """
    schema = Configuration.model_json_schema()
    properties = {
        "$schema": {"type": "string"},
        **{key: {k: v for k, v in value.items() if k != "title"} for key, value in schema["properties"].items()},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "configuration.json of the CVAT toolkit",
        "type": "object",
        "properties": properties,
    }


STEPS: dict[str, type[Keys]] = {"import": ImportKeys, "export": ExportKeys, "convert": ConvertKeys}
"""The steps that read configuration.json, with their part of the model (credentials come on top for the first two)."""


def markdown_table() -> str:
    """Describe the keys for the documentation.

    Returns:
        A Markdown table with a line for each key: its rule, the steps that need it, its meaning.
    """
    lines = ["| key | value | needed by | meaning |", "|---|---|---|---|"]
    for key, field in Configuration.model_fields.items():
        steps = [step for step, part in STEPS.items() if key in part.model_fields]
        if key in CredentialKeys.model_fields:
            steps = ["import", "export"]
        lines.append(f"| `{key}` | {rule(key)} | {', '.join(steps)} | {field.description} |")
    return "\n".join(lines) + "\n"
