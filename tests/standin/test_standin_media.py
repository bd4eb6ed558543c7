"""What the stand-in takes for a task's images, and how it takes it."""

import base64
import zipfile

import pytest

from standin.process import StandinProcess
from tests.support.images import jpeg
from tests.support.standin_api import Api, zipped


@pytest.fixture
def api(standin: StandinProcess) -> Api:
    return Api(standin)


def names(api: Api, task_id: int) -> list[str]:
    return [frame["name"] for frame in api.json("GET", f"tasks/{task_id}/data/meta")["frames"]]


def test_a_compressed_zip_is_taken_and_what_is_no_image_left_out(api: Api) -> None:
    contents = {"b.jpg": jpeg(1), "a/notes.txt": b"x", "__MACOSX/a.jpg": b"x", "a/.DS_Store": b"x", "a/1.png": jpeg(2)}
    task_id, ended = api.task(None, {"images.zip": zipped(contents, zipfile.ZIP_DEFLATED)})
    assert ended["status"] == "finished"
    assert names(api, task_id) == ["a/1.png", "b.jpg"]
    frame = api.ask("GET", f"tasks/{task_id}/data?type=frame&number=1&quality=original")
    assert frame.data == contents["b.jpg"]


def test_frames_come_in_the_order_of_their_names(api: Api) -> None:
    contents = {
        name: jpeg(number) for number, name in enumerate(["b/1.jpg", "a.jpg", "B.jpg", "b.jpg", "10.jpg", "9.jpg"])
    }
    assert names(api, api.images(None, contents)) == ["10.jpg", "9.jpg", "B.jpg", "a.jpg", "b.jpg", "b/1.jpg"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"broken.jpg": b"broken"}, "PIL.UnidentifiedImageError: cannot identify image file '/home/django/data/data/"),
        ({"notes.txt": b"text"}, "ValueError: No media data found"),
        ({"images.zip": zipped({"notes.txt": b"text"})}, "ValueError: No media data found"),
        ({"images.zip": zipped({"a/cut.jpg": jpeg()[:-20]})}, "image file is truncated"),
        ({"images.zip": zipped({"a.jpg": jpeg()}), "b.jpg": jpeg()}, "ValueError: Only one archive"),
        ({"images.zip": b"no zip"}, "BadZipFile"),
    ],
)
def test_a_failed_import_says_why_and_leaves_an_empty_task(api: Api, files: dict[str, bytes], message: str) -> None:
    task_id, ended = api.task(None, files)
    assert ended["status"] == "failed"
    assert message in ended["message"]
    assert "size" not in api.json("GET", f"tasks/{task_id}")
    assert api.json("GET", f"jobs?task_id={task_id}")["count"] == 0


def test_a_task_takes_data_once(api: Api) -> None:
    task_id = api.images(None, {"1.jpg": jpeg()})
    assert api.ask("POST", f"tasks/{task_id}/data", headers={"Upload-Start": ""}).status == 400


def test_a_long_task_is_cut_into_jobs(api: Api) -> None:
    task_id = api.images(None, {f"{number}.jpg": jpeg(number) for number in range(5)}, segment_size=2)
    jobs = api.json("GET", f"jobs?task_id={task_id}")["results"]
    assert sorted((job["start_frame"], job["stop_frame"]) for job in jobs) == [(0, 1), (2, 3), (4, 4)]
    last = next(job for job in jobs if job["start_frame"] == 4)
    assert [frame["name"] for frame in api.json("GET", f"jobs/{last['id']}/data/meta")["frames"]] == ["4.jpg"]


def announced(length: int, name: str) -> dict[str, str]:
    encoded = base64.b64encode(name.encode()).decode()
    return {"Upload-Length": str(length), "Upload-Metadata": f"filename {encoded}"}


def begin(api: Api, length: int, name: str = "images.zip") -> tuple[int, str]:
    task_id = api.json("POST", "tasks", json={"name": "t"})["id"]
    begun = api.ask("POST", f"tasks/{task_id}/data", headers=announced(length, name))
    assert begun.status == 201, begun.data
    return task_id, begun.headers["Location"].split("/api/")[1]


def test_an_upload_in_parts_goes_on_where_it_stopped(api: Api) -> None:
    content = zipped({"a/1.jpg": jpeg()})
    task_id, path = begin(api, len(content))
    assert api.ask("HEAD", path).headers["Upload-Offset"] == "0"
    assert api.ask("PATCH", path, headers={"Upload-Offset": "0"}, body=content[:100]).headers["Upload-Offset"] == "100"
    wrong = api.ask("PATCH", path, headers={"Upload-Offset": "0"}, body=content[:100])
    assert (wrong.status, wrong.headers["Upload-Offset"]) == (409, "100")
    too_much = api.ask("PATCH", path, headers={"Upload-Offset": "100"}, body=content)
    assert too_much.status == 413
    head = api.ask("HEAD", path)
    assert (head.headers["Upload-Offset"], head.headers["Upload-Length"]) == ("100", str(len(content)))
    assert api.ask("PATCH", path, headers={"Upload-Offset": "100"}, body=content[100:]).status == 204
    finish = api.json("POST", f"tasks/{task_id}/data", headers={"Upload-Finish": ""}, json={"image_quality": 70})
    assert api.wait(finish["rq_id"])["status"] == "finished"
    assert names(api, task_id) == ["a/1.jpg"]


def test_a_file_name_comes_once_in_an_upload(api: Api) -> None:
    task_id = api.json("POST", "tasks", json={"name": "t"})["id"]
    path = f"tasks/{task_id}/data"
    assert api.ask("POST", path, headers={"Upload-Start": ""}).status == 202
    several = {"Upload-Multiple": ""}
    assert api.ask("POST", path, headers=several, fields={"client_files[0]": ("a/1.jpg", jpeg())}).status == 200
    twice = {"client_files[0]": ("2.jpg", jpeg()), "client_files[1]": ("b/2.jpg", jpeg())}
    for fields in (twice, {"client_files[0]": ("b/1.jpg", jpeg())}):
        assert api.ask("POST", path, headers=several, fields=fields).status == 500
    assert api.ask("POST", path, headers=announced(10, "1.jpg")).status == 409


def test_25_gib_are_the_most(api: Api) -> None:
    begin(api, 25 * 2**30)
    task_id = api.json("POST", "tasks", json={"name": "t"})["id"]
    headers = {"Upload-Length": str(25 * 2**30 + 1), "Upload-Metadata": "filename YS56aXA="}
    assert api.ask("POST", f"tasks/{task_id}/data", headers=headers).status == 413


def test_a_path_in_a_file_name_stays_outside(api: Api) -> None:
    task_id, ended = api.task(None, {"../../../up.jpg": jpeg(), "C:\\temp\\win.jpg": jpeg(1)})
    assert ended["status"] == "finished"
    assert names(api, task_id) == ["up.jpg", "win.jpg"]
    task_id = api.json("POST", "tasks", json={"name": "t"})["id"]
    for name in ("..", "a/.."):
        encoded = base64.b64encode(name.encode()).decode()
        headers = {"Upload-Length": "1", "Upload-Metadata": f"filename {encoded}"}
        assert api.ask("POST", f"tasks/{task_id}/data", headers=headers).status == 400
