"""Tasks and the images that go into them."""

import io
import re
from pathlib import Path

import pytest
from cvat_sdk import models
from cvat_sdk.core.uploading import DataUploader
from PIL import Image

from tests.support.cvat_under_test import POLL_SECONDS, CvatUnderTest, read_zip, write_zip
from tests.support.images import jpeg

CREATED = re.compile(r"Created task ID: (\d+) ")


def frame_names(cvat: CvatUnderTest, task_id: int) -> list[str]:
    with cvat.client() as client:
        return [frame.name for frame in client.tasks.retrieve(task_id).get_meta().frames]


def create(cvat: CvatUnderTest, project_id: int, *files: Path) -> tuple[int, str, int]:
    """Run task create, which may fail; return exit code, standard error, and the id of the task."""
    done = cvat.run(
        *("task", "create", cvat.unique("task"), "--project_id", project_id),
        *("--completion_verification_period", POLL_SECONDS, "local", *files),
    )
    found = CREATED.search(done.stderr)
    assert found, done.stderr
    return done.returncode, done.stderr, int(found[1])


def test_a_zip_keeps_its_folders_in_frame_names_in_order(cvat: CvatUnderTest, tree: Path) -> None:
    names = frame_names(cvat, cvat.new_task(cvat.new_project("cat"), tree))
    assert names == sorted(read_zip(tree))


def test_single_files_keep_their_base_names_only(cvat: CvatUnderTest, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    files = [tmp_path / "a" / "1.jpg", tmp_path / "日本 語.jpg"]
    for file in files:
        file.write_bytes(jpeg())
    assert frame_names(cvat, cvat.new_task(cvat.new_project("cat"), *files)) == ["1.jpg", "日本 語.jpg"]


def test_equal_base_names_fail_and_leave_a_task_without_data(cvat: CvatUnderTest, tmp_path: Path) -> None:
    files = [tmp_path / folder / "1.jpg" for folder in ("a", "b")]
    for file in files:
        file.parent.mkdir()
        file.write_bytes(jpeg())
    code, errors, task_id = create(cvat, cvat.new_project("cat"), *files)
    assert code == 1
    assert "Status Code: 500" in errors
    assert "Server Error (500)" in errors
    with cvat.client() as client:
        assert client.tasks.retrieve(task_id).jobs.count == 0


@pytest.mark.parametrize(("name", "content"), [("broken.jpg", b"broken"), ("notes.txt", b"no image\n")])
def test_what_is_no_image_fails_and_leaves_the_task(
    cvat: CvatUnderTest, tmp_path: Path, name: str, content: bytes
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    code, errors, task_id = create(cvat, cvat.new_project("cat"), file)
    assert code == 1
    assert "BackgroundRequestException" in errors
    assert re.search("cannot identify image file|[Ff]ailed to parse image file|No media data found", errors)
    with cvat.client() as client:
        assert client.tasks.retrieve(task_id).jobs.count == 0


def test_one_broken_image_fails_the_whole_zip(cvat: CvatUnderTest, tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "images.zip", {"good.jpg": jpeg(), "sub/broken.jpg": b"broken"})
    code, errors, _ = create(cvat, cvat.new_project("cat"), archive)
    assert code == 1
    assert "BackgroundRequestException" in errors


def test_an_unknown_project_makes_no_task(cvat: CvatUnderTest, tmp_path: Path) -> None:
    project_id = cvat.new_project("cat")
    cvat.cli("project", "delete", project_id)
    file = tmp_path / "1.jpg"
    file.write_bytes(jpeg())
    done = cvat.run("task", "create", cvat.unique("task"), "--project_id", project_id, "local", file)
    assert done.returncode == 1
    assert "Status Code: 400" in done.stderr
    assert "Project matching query does not exist." in done.stderr


def test_deleting_a_missing_task_is_no_failure(cvat: CvatUnderTest, tree: Path) -> None:
    task_id = cvat.new_task(cvat.new_project("cat"), tree)
    cvat.cli("task", "delete", task_id)
    done = cvat.run("task", "delete", task_id)
    assert done.returncode == 0
    assert f"Task #{task_id} not found" in done.stderr


def test_a_task_tells_what_is_in_it(cvat: CvatUnderTest, tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "images.zip", {"wide.jpg": jpeg(size=(80, 20)), "tall.jpg": jpeg(size=(20, 80))})
    project_id = cvat.new_project("cat")
    task_id = cvat.new_task(project_id, archive)
    with cvat.client() as client:
        task = client.tasks.retrieve(task_id)
        meta = task.get_meta()
        (job,) = task.get_jobs()
        assert client.projects.retrieve(project_id).tasks.count == 1
    assert (task.size, task.mode, task.project_id) == (2, "annotation", project_id)
    assert [(frame.name, frame.width, frame.height) for frame in meta.frames] == [
        ("tall.jpg", 20, 80),
        ("wide.jpg", 80, 20),
    ]
    assert (job.task_id, job.start_frame, job.stop_frame) == (task_id, 0, 1)


def test_frames_can_be_looked_at(cvat: CvatUnderTest, tmp_path: Path) -> None:
    content = jpeg(size=(80, 20))
    task_id = cvat.new_task(cvat.new_project("cat"), write_zip(tmp_path / "images.zip", {"wide.jpg": content}))
    with cvat.client() as client:
        task = client.tasks.retrieve(task_id)
        with Image.open(task.get_frame(0, quality="original")) as frame:
            assert frame.size == (80, 20)
        with Image.open(task.get_preview()) as preview:
            assert preview.width > preview.height


def test_a_large_file_goes_up_in_parts(cvat: CvatUnderTest, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((1500, 1500), 80).convert("RGB").save(buffer, "JPEG", quality=100, subsampling=0)
    count = 21 * 2**20 // buffer.tell() + 1  # the client sends 10 MiB a part
    archive = write_zip(tmp_path / "images.zip", {f"{number:02}.jpg": buffer.getvalue() for number in range(count)})
    with cvat.client() as client:
        spec = models.TaskWriteRequest(name=cvat.unique("parts"), project_id=cvat.new_project("cat"))
        task = client.tasks.create(spec)
        url = client.api_map.make_endpoint_url(task.api.create_data_endpoint.path, kwsub={"id": task.id})
        response = DataUploader(client, max_request_size=2**20).upload_files(url, [archive], image_quality=70)
        client.wait_for_completion(response.json()["rq_id"])
        assert len(task.get_meta().frames) == count
