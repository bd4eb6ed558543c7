"""The licences of the packages that the toolkit installs, as the packages state them."""

import re
from collections.abc import Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

_REQUIREMENT = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==(\S+)")
_CLASSIFIER = "License :: "


class Package(NamedTuple):
    """A locked package.

    Attributes:
        name: Its name.
        version: Its locked version.
        licence: What it says of its licence, "not installed" where it is not there to be asked.
    """

    name: str
    version: str
    licence: str


def read_packages(requirements: Path) -> list[Package]:
    """Read a locked requirements file.

    Args:
        requirements: The file, as `make lock` writes it.

    Returns:
        The packages in the order of their names.
    """
    found = [_REQUIREMENT.match(line) for line in requirements.read_text(encoding="utf-8").splitlines()]
    return sorted(Package(match[1], match[2], _licence_of(match[1])) for match in found if match)


def _licence_of(name: str) -> str:
    try:
        package = distribution(name)
    except PackageNotFoundError:
        return "not installed"
    return _stated(package) or "not stated"


def _stated(package: Distribution) -> str:
    metadata = package.metadata
    if expressions := metadata.get_all("License-Expression"):
        return str(expressions[0])
    classifiers = [line for line in metadata.get_all("Classifier") or [] if line.startswith(_CLASSIFIER)]
    names = [line.rpartition(" :: ")[2] for line in classifiers if line != "License :: OSI Approved"]
    if names:
        return ", ".join(sorted(set(names)))
    lines = "\n".join(metadata.get_all("License") or []).strip().splitlines()
    return lines[0].strip() if lines else ""


def markdown(packages: Sequence[Package]) -> str:
    """Describe packages for the documentation.

    Args:
        packages: The packages.

    Returns:
        A Markdown page with a table.
    """
    lines = [
        "# Licences of the dependencies",
        "",
        "What `make setup` installs, with the licence that each package states (written by `make audit`).",
        "",
        "| package | version | licence |",
        "|---|---|---|",
        *(f"| {package.name} | {package.version} | {package.licence.replace('|', ',')} |" for package in packages),
    ]
    return "\n".join(lines) + "\n"
