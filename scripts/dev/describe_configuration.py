"""Write what follows from the configuration model: the JSON Schema and the table of keys in the README."""

from toolkit.cli.script import run_script

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli import console
from toolkit.core.errors import ProblemsFound, ToolkitError
from toolkit.core.files import write_atomically

ROOT = Path(__file__).resolve().parents[2]
TABLE = re.compile(r"(<!-- configuration keys -->\n).*?(<!-- end of configuration keys -->)", re.DOTALL)


def main(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 3 when a file is not current.")] = False,
    debug: console.Debug = False,
) -> None:
    """Write config/configuration.schema.json and the README's table of keys from the one typed model.

    Example: `make schema`
    """
    stale = [path for path, text in _texts().items() if not path.exists() or path.read_text("utf-8") != text]
    if check and stale:
        raise ProblemsFound("not current, run make schema", [str(path.relative_to(ROOT)) for path in stale])
    for path in stale:
        write_atomically(path, _texts()[path])
        console.say(f"wrote {path.relative_to(ROOT)}")


def _texts() -> dict[Path, str]:
    from dev.configuration_docs import json_schema, markdown_table

    readme = ROOT / "README.md"
    text = readme.read_text("utf-8")
    if not TABLE.search(text):
        raise ToolkitError(f"{readme} has lost the markers of its table of keys: put {TABLE.pattern!r} back")
    return {
        ROOT / "config/configuration.schema.json": json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n",
        readme: TABLE.sub(lambda marks: marks[1] + markdown_table() + marks[2], text),
    }


if __name__ == "__main__":
    run_script(main)
