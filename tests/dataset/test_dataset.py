"""What lies in the folder afterwards, and what is said about it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.conversions import (
    OWN,
    SCRIPTS,
    convert,
    converted,
    is_whole,
    make_zip,
    names_in,
    refused,
    run,
    side,
    tree,
    two_classes,
)
from tests.support.images import jpeg


def test_writes_exactly_what_the_specification_draws(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", [*two_classes(), "no_label/u.jpg", "top.txt", "cat/notes.txt"])
    target = tmp_path / "deep" / "er" / "dataset"
    answer = converted(archive, target)
    assert names_in(target) == OWN
    assert names_in(target.parent) == {"dataset"}
    assert (target / "labels.json").read_bytes() == b'{"cat": 0, "dog": 1}'
    assert len(side(target, "training")) == 16
    assert len(side(target, "validation")) == 4
    assert side(target, "training") | side(target, "validation") == set(two_classes())
    assert side(target, "cvat_exported") == {*two_classes(), "no_label/u.jpg", "top.txt", "cat/notes.txt"}
    assert answer["left_out"] == {
        "no label": 1,
        "not in a class folder": 1,
        "not an image by its extension": 1,
    }
    for name, content in tree(target).items():
        if content is not None and name not in OWN:
            assert content == f"content of {name.partition('/')[2]}".encode()


def test_nested_images_keep_their_folders_and_classes_are_on_both_sides(tmp_path: Path) -> None:
    names = ["cat/v1/a/1.jpg", "cat/v1/1.jpg", "cat/1.jpg", "dog/v1/1.jpg", "dog/v2/1.jpg", "bird/", "emu/egg/"]
    target = tmp_path / "dataset"
    converted(make_zip(tmp_path / "export.zip", names), target, "--layout", "nested")
    assert side(target, "training") | side(target, "validation") == {name for name in names if name[-1] != "/"}
    assert json.loads((target / "labels.json").read_text()) == {"bird": 0, "cat": 1, "dog": 2, "emu": 3}
    for name in ("training", "validation"):
        assert names_in(target / name) == {"bird", "cat", "dog", "emu"}
    assert (target / "cvat_exported" / "emu" / "egg").is_dir()
    assert is_whole(target)


def test_labels_are_sorted_by_code_point_and_written_as_they_are(tmp_path: Path) -> None:
    names = ["\U0001f600/1.jpg", "\uff21/1.jpg", "ä/1.jpg", "b/1.jpg", "Z/1.jpg", 'quo"te/1.jpg']
    target = tmp_path / "dataset"
    converted(make_zip(tmp_path / "export.zip", names), target)
    assert (target / "labels.json").read_text(encoding="utf-8") == (
        '{"Z": 0, "b": 1, "quo\\"te": 2, "ä": 3, "\uff21": 4, "\U0001f600": 5}'
    )


def test_names_with_two_dots_are_left_out_as_in_the_reference_but_not_silently(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", [*two_classes(), "cat/a..b.jpg", "hm..m/1.jpg"])
    answer = converted(archive, tmp_path / "one")
    assert answer["images"] == 20
    assert set(answer["labels"]) == {"cat", "dog"}
    assert "a..b.jpg" in " ".join(answer["warnings"])
    assert converted(archive, tmp_path / "two", "--split-method", "stratified")["images"] == 22


@pytest.mark.parametrize("mode", ["hardlink", "copy", "auto"])
def test_sides_share_the_bytes_as_asked(mode: str, tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", two_classes())
    answer = converted(archive, tmp_path / "dataset", "--link-mode", mode)
    links = {
        (tmp_path / "dataset" / "training" / name).stat().st_nlink for name in side(tmp_path / "dataset", "training")
    }
    assert links == ({2} if answer["link_mode"] == "hardlink" else {1})
    assert answer["link_mode"] == mode or mode == "auto"
    assert is_whole(tmp_path / "dataset")


def test_reflink_is_used_or_refused(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", two_classes())
    done = convert(archive, tmp_path / "dataset", "--link-mode", "reflink", "--json")
    if done.returncode:
        assert "--link-mode" in done.stderr
        assert not (tmp_path / "dataset").exists()
    else:
        assert json.loads(done.stdout)["link_mode"] == "reflink"


def test_same_input_and_options_give_the_same_manifest(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", two_classes())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    copy = elsewhere / "export.zip"
    copy.write_bytes(archive.read_bytes())
    converted(archive, tmp_path / "one", "--on-leak", "fix")
    converted(copy, elsewhere / "two", "--on-leak", "fix")
    text = (tmp_path / "one" / "manifest.json").read_bytes()
    assert text == (elsewhere / "two" / "manifest.json").read_bytes()
    assert str(tmp_path).encode() not in text
    record = json.loads(text)
    assert {len(image["sha256"]) for image in record["images"]} == {64}
    assert record["options"]["on_leak"] == "fix"
    assert all((tmp_path / "one" / image["path"]).stat().st_size == image["size"] for image in record["images"])


def test_dry_run_says_the_same_and_writes_nothing(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", two_classes())
    planned = converted(archive, tmp_path / "no" / "where", "--dry-run")
    assert names_in(tmp_path) == {"export.zip"}
    made = converted(archive, tmp_path / "dataset")
    differing = {key for key in made if made[key] != planned[key]}
    assert differing <= {"dataset", "link_mode", "seconds"}
    assert "nothing was written" in convert(archive, tmp_path / "no", "--dry-run").stdout


def test_table_names_every_class_and_side(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", [*two_classes(), "no_label/1.jpg", "日本/1.jpg"])
    done = convert(archive, tmp_path / "dataset")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].split() == ["id", "class", "training", "validation", "total"]
    assert "no label" in done.stdout
    assert "日本 has 1 image" in done.stderr


def test_unlabelled_images_are_left_out_kept_or_an_error(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", [*two_classes(), "no_label/u.jpg"])
    assert converted(archive, tmp_path / "one")["labels"] == {"cat": 0, "dog": 1}
    assert converted(archive, tmp_path / "two", "--unlabelled", "keep")["labels"] == {"cat": 0, "dog": 1, "no_label": 2}
    (tmp_path / "three").mkdir()
    assert "no_label/u.jpg" in refused(archive, tmp_path / "three" / "d", "--unlabelled", "error", code=3)


@pytest.mark.parametrize("names", [["cat/1.jpg"], [f"cat/{n}.jpg" for n in range(4)], ["cat/"], ["cat/1.txt"], []])
def test_a_side_that_would_be_empty_is_an_error_before_anything_is_written(names: list[str], tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", names)
    (tmp_path / "here").mkdir()
    text = refused(archive, tmp_path / "here" / "dataset")
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("name", ["labels.json", "training", "validation", "cvat_exported"])
def test_an_existing_dataset_is_refused(name: str, tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", two_classes())
    target = tmp_path / "dataset"
    (target / name).mkdir(parents=True)
    text = refused(archive, target)
    assert f"{target} already contains a dataset ({name})" in text
    assert "--overwrite" in text


def test_other_files_survive_and_so_do_mode_and_owner(tmp_path: Path) -> None:
    target = tmp_path / "dataset"
    (target / "mine" / "deep").mkdir(parents=True)
    (target / "mine" / "deep" / "file").write_text("mine")
    (target / "link").symlink_to("mine")
    archive = make_zip(target / "export.zip", two_classes())
    inode = archive.stat().st_ino
    target.chmod(0o751)
    (target / "mine").chmod(0o700)
    converted(archive, target)
    assert names_in(target) == OWN | {"mine", "link", "export.zip"}
    assert (target / "mine" / "deep" / "file").read_text() == "mine"
    assert (target / "link").readlink() == Path("mine")
    assert archive.stat().st_ino == inode
    assert target.stat().st_mode & 0o777 == 0o751
    assert (target / "mine").stat().st_mode & 0o777 == 0o700
    make_zip(tmp_path / "other.zip", ["a/1.jpg", "b/1.jpg", "b/2.jpg"])
    converted(tmp_path / "other.zip", target, "--overwrite", "--validation-split", 0.5)
    assert names_in(target) == OWN | {"mine", "link", "export.zip"}
    assert names_in(target / "training") == {"a", "b"}
    assert names_in(tmp_path) == {"dataset", "other.zip"}


def test_the_working_directory_can_be_the_target(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", two_classes())
    inode = tmp_path.stat().st_ino
    converted(archive, Path(), cwd=tmp_path)
    converted(archive, Path(), "--overwrite", cwd=tmp_path)
    assert tmp_path.stat().st_ino == inode
    assert names_in(tmp_path) == OWN | {"export.zip"}
    assert is_whole(tmp_path)


def test_a_dataset_that_was_removed_by_the_names_in_the_message_can_be_made_anew(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", two_classes())
    target = tmp_path / "dataset"
    converted(archive, target)
    for name in ("training", "validation", "cvat_exported"):
        shutil.rmtree(target / name)
    (target / "labels.json").unlink()
    converted(archive, target)
    assert is_whole(target)


def test_many_warnings_do_not_flood_the_terminal(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", {f"class {n}/1.jpg": jpeg(n) for n in range(50)})
    done = convert(archive, tmp_path / "dataset")
    assert len(done.stderr.splitlines()) == 21
    assert "81 more" in done.stderr


def test_overwrite_spares_a_manifest_of_somebody_else_and_an_archive_inside(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", two_classes())
    target = tmp_path / "dataset"
    target.mkdir()
    (target / "manifest.json").write_text('{"name": "an app"}')
    assert "manifest.json is in the way" in refused(archive, target, "--overwrite")
    assert "manifest.json is in the way" in refused(archive, target)
    (target / "manifest.json").unlink()
    (target / "training").mkdir()
    inside = make_zip(target / "training" / "export.zip", two_classes())
    assert "lies in the dataset" in refused(inside, target, "--overwrite", code=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--validation-split", "0"], "dataset_conversion_validation_split"),
        (["--validation-split", "1"], "dataset_conversion_validation_split"),
        (["--validation-split", "nan"], "dataset_conversion_validation_split"),
        (["--seed", "-1"], "dataset_conversion_seed"),
        (["--seed", "4294967296"], "dataset_conversion_seed"),
        (["--group-by", "("], "--group-by"),
        (["--group-by", "0"], "--group-by"),
        (["--group-by", ""], "--group-by is empty"),
        (["--labels", ""], "--labels is empty: is a variable of the shell not set?"),
        (["--output-dir="], "--output-dir is empty: is a variable of the shell not set?"),
        (["--split-method", "best"], "split-method"),
    ],
)
def test_wrong_options_exit_with_2(options: list[str], words: str, tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", two_classes())
    (tmp_path / "here").mkdir()
    assert words in refused(archive, tmp_path / "here" / "dataset", *options, code=2)


def test_wrong_paths_exit_with_2(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", two_classes())
    (tmp_path / "linked.zip").symlink_to(archive)
    (tmp_path / "linked").symlink_to(tmp_path)
    (tmp_path / "file").write_text("")
    assert "does not exist" in refused(tmp_path / "none.zip", tmp_path / "dataset", code=2)
    assert "is a folder" in refused(tmp_path, tmp_path / "dataset", code=2)
    assert "symbolic link" in refused(tmp_path / "linked.zip", tmp_path / "dataset", code=2)
    assert "symbolic link" in refused(archive, tmp_path / "linked", code=2)
    assert "is not a folder" in refused(archive, tmp_path / "file", code=2)


def test_stays_out_of_the_folders_of_another_dataset(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", two_classes())
    converted(archive, tmp_path / "outer")
    for inside in ("training/inner", "cvat_exported", "validation/cat/deeper/inner"):
        assert f"lies in the dataset {tmp_path / 'outer'}" in refused(archive, tmp_path / "outer" / inside, code=2)
    converted(archive, tmp_path / "outer" / "mine")
    assert run("verify_dataset", tmp_path / "outer").returncode == 0


def test_configuration_file_and_options_go_together(tmp_path: Path) -> None:
    make_zip(tmp_path / "export.zip", two_classes())
    settings = {
        "dataset_conversion_base_file": "./export.zip",
        "dataset_conversion_dir": "./dataset",
        "dataset_conversion_validation_split": 0.5,
        "dataset_conversion_seed": 7,
    }
    (tmp_path / "configuration.json").write_text(json.dumps(settings))
    done = run("convert_dataset", "--config", tmp_path / "configuration.json", "--seed", 8, "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "dataset" / "manifest.json").read_text())
    assert (record["options"]["validation_split"], record["options"]["seed"]) == (0.5, 8)
    assert run("verify_dataset", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("script", ["convert_dataset", "verify_dataset"])
def test_needs_neither_cvat_nor_docker_nor_a_network(script: str, tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "export.zip", {name: jpeg(number) for number, name in enumerate(two_classes())})
    arguments = ["--base-file", str(archive), "--output-dir", str(tmp_path / "dataset")]
    if script == "verify_dataset":
        converted(archive, tmp_path / "dataset")
        arguments = [str(tmp_path / "dataset")]
    program = (
        "import runpy, sys\n"
        f"sys.argv = {['x', *arguments]!r}\n"
        "try:\n"
        f"    runpy.run_path({str(SCRIPTS / f'{script}.py')!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "heavy = {'cvat_sdk', 'cvat_cli', 'docker', 'requests', 'ssl', 'rich', 'PIL', 'toolkit.config.model'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=SCRIPTS, check=True)
    assert done.stderr.splitlines()[-1] == "[]", done.stderr
