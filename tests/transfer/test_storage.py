"""Images in a bucket: a task of them without an upload, an export without them, an index of their addresses."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from standin.process import StandinProcess
from tests.support.images import jpeg
from tests.support.standin_api import Api
from tests.support.waiting import HELD
from tests.transfer.conftest import Shell, new_shell
from toolkit.core.errors import UsageError
from toolkit.transfer.images import StoredImage, check_stored

OBJECTS = (
    "flowers/rose/1.jpg", "flowers/rose/deep/2.jpg", "flowers/tulip/1.jpg", "flowers/tulip/3.jpg", "flowers/top.jpg",
    "flowers/notes.txt", "flowers/rose/.thumbs/1.jpg", "flowers/tulip/4.JPG", "other/rose/1.jpg",
)  # fmt: skip
TAKEN = [
    "flowers/rose/1.jpg",
    "flowers/rose/deep/2.jpg",
    "flowers/top.jpg",
    "flowers/tulip/1.jpg",
    "flowers/tulip/3.jpg",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandinProcess]:
    bucket, many = tmp_path_factory.mktemp("bucket"), tmp_path_factory.mktemp("many")
    for key in OBJECTS:
        (bucket / key).parent.mkdir(parents=True, exist_ok=True)
        (bucket / key).write_bytes(jpeg())
    for number in range(1100):  # more than two pages
        (many / f"{number:04}.jpg").touch()
    (many / "A.jpg").write_bytes(jpeg())
    (many / "a.jpg").write_bytes(jpeg())
    gone = tmp_path_factory.mktemp("gone")
    places = (f"pictures={bucket}", f"shown={bucket}::flowers/tulip/", f"many={many}", f"gone={gone}")
    with StandinProcess(options=tuple(word for place in places for word in ("--bucket", place))) as one:
        gone.rmdir()
        yield one


@pytest.fixture
def shell(tmp_path: Path, server: StandinProcess) -> Shell:
    return new_shell(tmp_path, server)


def words(project: int, *more: str, storage: int = 1) -> list[str]:
    return [f"--project-id={project}", f"--from-storage={storage}", "--extension=jpg", "--task-name=stored", *more]


def frames(shell: Shell, task: int) -> list[str]:
    return [frame["name"] for frame in Api(shell.server).json("GET", f"tasks/{task}/data/meta")["frames"]]


def without_images(project: int) -> list[str]:
    return [f"--project-id={project}", "--format=ImageNet 1.0", "--export-dir=e", "--without-images", "--json"]


def refused(shell: Shell, *arguments: str, code: int = 1) -> str:
    """Import, expect a refusal that leaves no task, and give its text."""
    done = shell.run("import_images", *arguments)
    assert (done.returncode, done.stdout) == (code, ""), done
    assert "Traceback" not in done.stderr
    assert shell.leftovers() == []
    return done.stderr


def test_the_whole_way_without_the_images(shell: Shell, server: StandinProcess) -> None:
    project = shell.project("rose", "tulip", "unused")
    done = shell.run("import_images", *words(project, "--prefix=/flowers", "--tags-from-folders", "--json"))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert frames(shell, answer["task_id"]) == TAKEN
    assert answer["left_out"] == {
        "not an image with this extension": 1,
        "hidden": 1,
        "other spelling of the extension": 1,
    }
    assert "1 images lie in no folder" in done.stderr
    assert shell.leftovers() == []

    export = shell.run("export_dataset", *without_images(project))
    assert export.returncode == 0, export.stderr
    told = json.loads(export.stdout)
    assert (told["frames"], told["unlisted"]) == (5, [])
    assert Path(told["file"]).stat().st_size < 2000

    index = shell.run(
        "convert_dataset", f"--base-file={told['file']}", "--output-dir=index", "--format=index",
        "--base-url=s3://pictures/", "--validation-split=0.3",
    )  # fmt: skip
    assert index.returncode == 0, index.stderr
    rows = [json.loads(line) for line in (shell.folder / "index/index.jsonl").read_text().splitlines()]
    assert {(row["url"], row["class"]) for row in rows} == {
        (f"s3://pictures/{key}", key.split("/")[1]) for key in TAKEN if key != "flowers/top.jpg"
    }


def test_a_time_limit_holds_while_cvat_cli_does_not_take_all_the_names(tmp_path: Path) -> None:
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    for number in range(1000):
        (bucket / f"{number:0100}.jpg").touch()  # all of them are more than a pipe holds
    with StandinProcess(options=("--faults", "--bucket", f"long={bucket}")) as server:
        shell = new_shell(tmp_path, server)
        options = [f"--project-id={shell.project('x')}", "--from-storage=1", "--extension=jpg", "--task-name=t"]
        server.order_fault("hang", path="/api/server/about", seconds=HELD, count=None)
        done = shell.run("import_images", *options, "--timeout=2", CVAT_ANSWER_TIMEOUT=str(HELD))
        assert done.returncode == 1
        assert "no import after 2 s" in done.stderr


def test_names_that_an_export_changes_are_told(shell: Shell) -> None:
    project = shell.project("tulip")
    done = shell.run("import_images", *words(project, "--prefix=flowers/tulip", "--extension=images", "--json"))
    assert done.returncode == 0, done.stderr
    assert "exports write these extensions in small letters: flowers/tulip/4.JPG" in done.stderr
    export = shell.run("export_dataset", *without_images(project))
    assert json.loads(export.stdout)["unlisted"] == ["flowers/tulip/4.JPG"]
    assert "an index would have wrong addresses: flowers/tulip/4.JPG" in export.stderr


def test_a_storage_that_shows_a_part_of_its_bucket(shell: Shell) -> None:
    done = shell.run("import_images", *words(shell.project("tulip"), "--json", storage=2))
    assert done.returncode == 0, done.stderr
    assert frames(shell, json.loads(done.stdout)["task_id"]) == ["flowers/tulip/1.jpg", "flowers/tulip/3.jpg"]
    assert "no image with the extension jpg in s3://shown/other/" in refused(
        shell, *words(shell.project("tulip"), "--prefix=other", storage=2)
    )


def test_several_tasks_share_the_images_in_their_order(shell: Shell) -> None:
    project = shell.project("rose", "tulip")
    done = shell.run("import_images", *words(project, "--prefix=flowers", "--images-per-task=2", "--json"))
    assert done.returncode == 0, done.stderr
    tasks = json.loads(done.stdout)["tasks"]
    assert [frames(shell, task["task_id"]) for task in tasks] == [TAKEN[:2], TAKEN[2:4], TAKEN[4:]]


def test_what_is_wrong_with_a_bucket_is_told_before_any_task(shell: Shell) -> None:
    project = shell.project("rose")
    assert "there is no cloud storage 9" in refused(shell, *words(project, storage=9))
    assert refused(shell, *words(project, storage=4)).count("error: ") == 1
    assert "no image with the extension jpg in s3://pictures/nowhere/" in refused(
        shell, *words(project, "--prefix=nowhere")
    )
    unknown = refused(shell, *words(project, "--prefix=flowers", "--tags-from-folders"))
    assert "no label: tulip" in unknown
    alike = refused(shell, *words(project, "--images-per-task=500", storage=3))
    assert "A.jpg and a.jpg: these names differ only by case" in alike


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--from-storage=1", "--import-dir=images"], "leave out --import-dir"),
        (["--prefix=flowers"], "give --from-storage as well"),
    ],
)
def test_options_that_exclude_each_other(shell: Shell, options: list[str], told: str) -> None:
    given = ["--project-id=1", "--extension=jpg", "--task-name=x", *options]
    assert told in refused(shell, *given, code=2)


def test_more_names_than_a_command_line_takes(tmp_path: Path) -> None:
    images = [StoredImage(f"{number:06}-{'x' * 90}.jpg", tmp_path, 0) for number in range(5000)]
    check_stored(images, 4900)
    with pytest.raises(UsageError, match="give --images-per-task 4901 or a smaller number"):
        check_stored(images, None)
