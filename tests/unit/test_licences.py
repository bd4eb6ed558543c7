"""The list of licences follows the locked requirements."""

from pathlib import Path

from dev.licences import markdown, read_packages

ROOT = Path(__file__).resolve().parents[2]


def test_the_list_names_what_is_locked_and_no_other():
    rows = [line.strip("| ").split(" | ") for line in (ROOT / "docs/licences.md").read_text("utf-8").splitlines()]
    listed = {(row[0], row[1]) for row in rows if len(row) == 3 and row[0] != "package"}
    locked = {(package.name, package.version) for package in read_packages(ROOT / "requirements.txt")}
    assert listed == locked, "make audit renews docs/licences.md"


def test_every_installed_package_states_its_licence():
    unknown = [package.name for package in read_packages(ROOT / "requirements.txt") if package.licence == "not stated"]
    assert unknown == []


def test_a_licence_is_stated_in_one_row():
    text = markdown(read_packages(ROOT / "requirements.txt"))
    assert all(line.count("|") == 4 for line in text.splitlines() if line.startswith("| "))
