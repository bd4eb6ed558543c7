"""Each promise of SECURITY.md names tests that prove it, and they are there."""

import ast
import re

from tests.support.markdown_pages import TOP

TEXT = (TOP / "SECURITY.md").read_text("utf-8")
PROMISES = re.findall(
    r"^\*\*([^*]+?)\.?\*\*", TEXT.partition("## What is promised")[2].partition("\n## ")[0], re.MULTILINE
)
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.partition("## The test for each promise")[2].partition("\n## ")[0].splitlines()
    if line.startswith("| ")
][1:]


def test_every_promise_has_a_test_and_every_test_a_promise() -> None:
    assert PROMISES
    assert {promise for promise, *_ in ROWS} == set(PROMISES)


def test_every_test_that_is_named_exists() -> None:
    named = [(promise, name) for promise, _, tests in ROWS for name in re.findall(r"`([^`]+)`", tests)]
    assert len(named) >= len(ROWS)
    missing = []
    for promise, name in named:
        path, _, function = name.partition("::")
        file = TOP / path
        found = file.is_file() and any(
            isinstance(node, ast.FunctionDef) and node.name == function for node in ast.parse(file.read_bytes()).body
        )
        if not found:
            missing.append(f"{promise}: {name}")
    assert missing == []
