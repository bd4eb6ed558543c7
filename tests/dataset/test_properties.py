"""For any archive the result is the exact dataset, or a refusal with nothing written."""

import json
import shutil
import tempfile
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.conversions import OWN, names_in, side, tree
from toolkit.core.errors import ToolkitError
from toolkit.dataset.assignment import Rules
from toolkit.dataset.convert import Request, convert
from toolkit.dataset.selection import Layout, Unlabelled
from toolkit.dataset.verify import verify

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
LETTERS = st.sampled_from("aAbéz日\u0301\u212b\U0001f600ß .-_\\\n\x00\u202e")
ODD_PARTS = st.one_of(st.text(LETTERS, min_size=1, max_size=3), st.sampled_from(["..", ".", "", "a..b", "no_label"]))
PLAIN_PARTS = st.sampled_from(["a", "a-b", "b", "no_label", "é", "日本", "x y", "__MACOSX", ".h", "jpg"])
ENDINGS = st.sampled_from([".jpg", ".JPG", ".Jpeg", ".png", ".txt", ".webp", "", "/"])


def names(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    folders = st.lists(parts, min_size=0, max_size=3)
    return st.builds(lambda path, last, end: "/".join([*path, last]) + end, folders, parts, ENDINGS)


ARCHIVES = st.one_of(st.lists(names(PLAIN_PARTS), max_size=25, unique=True), st.lists(names(ODD_PARTS), max_size=8))


def expected(members: list[str], share: float, seed: int, keep: bool) -> tuple[list[str], set[str], set[str]]:
    """Say in another way than the toolkit does what the reference makes of an export."""
    import numpy

    members = [name for name in members if ".." not in name and "/" in name]
    if not keep:
        members = [name for name in members if not name.startswith("no_label/")]
    classes = sorted({name.split("/")[0] for name in members})
    listed: list[str] = []
    for class_name in classes:
        inside = [name for name in members if name.split("/")[0] == class_name]
        own = {name: name.replace(f"{class_name}/{class_name}/", f"{class_name}/", 1) for name in inside}
        for folder in sorted({path.rpartition("/")[0] for path in own.values()}):
            files = sorted(
                (own[name].rpartition("/")[2], name) for name in inside if own[name].rpartition("/")[0] == folder
            )
            listed += [name for _, name in files if name.lower().endswith(EXTENSIONS)]
    numpy.random.RandomState(seed).shuffle(listed)
    size = int(share * len(listed))
    return classes, set(listed[: len(listed) - size]), set(listed[len(listed) - size :])


def check(members: list[str], target: Path, share: float, seed: int, keep: bool) -> None:
    classes, training, validation = expected(members, share, seed, keep)
    assert names_in(target) == OWN
    assert (target / "labels.json").read_text(encoding="utf-8") == json.dumps(
        {name: number for number, name in enumerate(classes)}, ensure_ascii=False
    )
    assert side(target, "training") == training
    assert side(target, "validation") == validation
    assert names_in(target / "training") == names_in(target / "validation") == set(classes)
    files = [name for name in members if not name.endswith("/")]
    assert side(target, "cvat_exported") == set(files)
    for name in files:
        content = f"content of {name}".encode()
        assert (target / "cvat_exported" / name).read_bytes() == content
        for where, chosen in (("training", training), ("validation", validation)):
            if name in chosen:
                assert (target / where / name).read_bytes() == content
    assert verify(target).problems == []


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ARCHIVES, st.floats(0.01, 0.99), st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_any_archive_gives_the_exact_dataset_or_a_refusal(
    members: list[str], share: float, seed: int, keep: bool, deflated: bool
) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        with (
            warnings.catch_warnings(),
            zipfile.ZipFile(
                folder / "export.zip", "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
            ) as archive,
        ):
            warnings.simplefilter("ignore")
            for name in members:
                entry = zipfile.ZipInfo("x")
                entry.filename = entry.orig_filename = name  # as it is: ZipInfo would repair some names
                archive.writestr(entry, b"" if name.endswith("/") else f"content of {name}".encode())
        target = folder / "dataset"
        unlabelled = Unlabelled.KEEP if keep else Unlabelled.DROP
        try:
            request = Request([folder / "export.zip"], target, Rules(share, seed), unlabelled)
            convert(replace(request, layout=Layout.NESTED, keep_junk=True))
        except ToolkitError:
            assert set(tree(folder)) == {"export.zip"}
        else:
            check(members, target, share, seed, keep)
    finally:
        shutil.rmtree(folder)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_damage_is_noticed_or_harmless(data: st.DataObject) -> None:
    """Change one byte anywhere: either it is refused, or what comes out is what went in."""
    members = [f"{name}/{number}.jpg" for name in ("a", "b") for number in range(6)]
    folder = Path(tempfile.mkdtemp())
    try:
        path = folder / "export.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name in members:
                archive.writestr(name, f"content of {name}")
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        try:
            convert(Request([path], folder / "dataset", Rules(0.3, 1)))
        except ToolkitError:
            assert set(tree(folder)) == {"export.zip"}
            return
        kept = side(folder / "dataset", "cvat_exported")
        found = {(folder / "dataset" / "cvat_exported" / name).read_text() for name in kept}
        assert found == {f"content of {name}" for name in members}
    finally:
        shutil.rmtree(folder)
