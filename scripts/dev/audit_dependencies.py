"""Look for known vulnerabilities of the dependencies, and list their licences."""

from toolkit.cli.script import run_script

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli import console


def main(
    licences_only: Annotated[
        bool, typer.Option("--licences-only", help="Write docs/licences.md and ask nothing of the network.")
    ] = False,
    debug: console.Debug = False,
) -> None:
    """Look for known vulnerabilities of the locked dependencies, and write their licences to docs/licences.md.

    Exit code 3 when there are vulnerabilities. Without a network this is skipped, and said so.

    Example: `make audit`
    """
    from dev.licences import markdown, read_packages
    from dev.vulnerabilities import audit
    from toolkit.core.errors import ProblemsFound
    from toolkit.core.files import write_atomically

    root = Path(__file__).resolve().parents[2]
    packages = read_packages(root / "requirements.txt")
    write_atomically(root / "docs" / "licences.md", markdown(packages))
    console.result(f"{len(packages)} packages with their licences in docs/licences.md")
    if licences_only:
        return
    found = audit(root / "requirements.txt")
    if found.skipped:
        console.warn(f"not looked for vulnerabilities: {found.skipped}")
        return
    if found.findings:
        raise ProblemsFound("pip-audit found something in requirements.txt: renew it with make lock", found.findings)
    console.result("no known vulnerabilities")


if __name__ == "__main__":
    run_script(main)
