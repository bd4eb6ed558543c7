"""The stand-in answers as a real CVAT was recorded to answer, word for word but for times, colours and keys."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from standin.process import StandinProcess
from tests.support.recorded import EXPORTS, RECORDINGS, Replay, cases, images, plain, primed_folder

# Other tests had made projects before; which ones is no matter of the stand-in.
OF_THE_RECORDINGS = ("--cvat-version", "2.54")
LISTS_OTHERS = ("/api/projects?page=1", "/api/tasks?page=1")
ANNOTATIONS = b"""<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<image id="0" name="a/1.jpg" width="320" height="240"><tag label="cat" source="manual"></tag></image>
</annotations>
"""


def zipped(contents: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def uploads() -> dict[str, bytes]:
    sent = images()
    return {
        "imgs.zip": zipped(sent),
        "img/a/1.jpg": sent["a/1.jpg"],
        "img/b/1.jpg": sent["b/1.jpg"],
        "img/日本 語.jpg": sent["日本 語.jpg"],
        "broken.jpg": b"broken",
        "annotations.xml": ANNOTATIONS.ljust(781),
    }


@pytest.fixture(scope="module")
def recorded() -> Iterator[StandinProcess]:
    with StandinProcess(options=OF_THE_RECORDINGS) as server:
        yield server


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    folder = primed_folder(tmp_path_factory.mktemp("data"), projects=6, tasks=14, labels=14, annotations=16)
    with StandinProcess(folder, OF_THE_RECORDINGS) as server:
        yield Replay(server, uploads())


def members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def play(replay: Replay, case: str) -> list[urllib3.BaseHTTPResponse]:
    exchanges = [
        exchange
        for exchange in cases()[case]
        if exchange["path"] not in (*LISTS_OTHERS, "/api/server/about")
        and (exchange["response_body"] or {} if isinstance(exchange["response_body"], dict) else {}).get("status")
        not in ("queued", "started")
    ]
    assert exchanges
    return [replay.run(exchange) for exchange in exchanges]


def test_the_recorded_run_of_the_clients(replay: Replay) -> None:
    names = list(cases())
    for case in names[: names.index("cvat-cli project export-dataset: ImageNet 1.0 with images")]:
        if case == "cvat-cli: wrong password":
            continue  # it would have to be known which wrong one
        play(replay, case)

    with_images = play(replay, "cvat-cli project export-dataset: ImageNet 1.0 with images")[-1]
    assert members(with_images.data) == members((EXPORTS / "classification_imagenet_1.0.zip").read_bytes())
    without = play(replay, "cvat-cli project export-dataset: ImageNet 1.0 without images")[-1]
    recorded = EXPORTS / "classification_imagenet_1.0_without_images.zip"
    assert members(without.data) == members(recorded.read_bytes())

    for case in names[names.index("cvat-cli project export-dataset: unknown format") :][:4]:
        play(replay, case)


def test_the_recorded_import_with_annotations(tmp_path: Path) -> None:
    folder = primed_folder(tmp_path, projects=1, tasks=3, labels=4)
    with StandinProcess(folder, OF_THE_RECORDINGS) as server:
        replay = Replay(server, uploads())
        exchanges = cases()["cvat-cli task create with --annotation_path (CVAT 1.1 tags)"]
        replay.run(exchanges[0])
        headers = {"Authorization": f"Token {replay.key}"}
        spec = {"name": "pre", "labels": [{"name": name, "type": "tag"} for name in ("cat", "dog", "日本", "empty")]}
        assert urllib3.request("POST", f"{server.url}/api/projects", json=spec, headers=headers).json()["id"] == 2
        upload = ""
        for exchange in exchanges[2:]:
            if (exchange["response_body"] or {}).get("status") == "started":
                continue
            path = exchange["path"].replace("1_253bfdd0-f569-4532-b9de-03e63eef8022", upload)
            response = replay.run({**exchange, "path": path})
            upload = response.headers.get("Upload-Filename", upload)


def test_the_recorded_access_token(recorded: StandinProcess) -> None:
    replay = Replay(recorded)
    exchanges = cases()["access token: create, use"]
    login, create, use, health = exchanges
    replay.run(login)
    create["request_body"]["expiry_date"] = "2099-12-22T13:11:59.002992Z"
    value = replay.run(create).json()["value"]
    assert replay.run(health).json()
    headers = {"Authorization": f"Bearer {value}"}
    user = urllib3.request("GET", f"{recorded.url}/api/users/self", headers=headers).json()
    assert list(user) == list(use["response_body"])


def test_the_formats_are_those_of_the_recording(recorded: StandinProcess) -> None:
    headers = urllib3.make_headers(basic_auth=f"{recorded.username}:{recorded.password}")
    listed = urllib3.request("GET", f"{recorded.url}/api/server/annotation/formats", headers=headers).json()
    formats = json.loads((RECORDINGS / "formats.json").read_text(encoding="utf-8"))
    assert listed["exporters"] == formats["exporters"]
    assert [item["name"] for item in listed["importers"]] == formats["importers"]


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StandinProcess, dict[str, str]]]:
    """The recorded detection project, made again."""
    folder = primed_folder(tmp_path_factory.mktemp("street"), projects=7, tasks=18, jobs=11)
    with StandinProcess(folder, OF_THE_RECORDINGS) as server:
        headers = urllib3.make_headers(basic_auth=f"{server.username}:{server.password}")

        def ask(method: str, path: str, **options: object) -> urllib3.BaseHTTPResponse:
            response = urllib3.request(method, f"{server.url}/api/{path}", headers=headers, **options)
            assert response.status < 300, response.data
            return response

        labels = [{"name": name, "type": "rectangle"} for name in ("car", "person")]
        ask("POST", "projects", json={"name": "street", "labels": labels})
        ask("POST", "tasks", json={"name": "street-1", "project_id": 8})
        form = {"image_quality": "70", "client_files[0]": ("images.zip", zipped(images()))}
        ask("POST", "tasks/19/data", fields=form)
        while ask("GET", "requests/action=create&target=task&target_id=19").json()["status"] != "finished":
            pass
        ids = {label["name"]: label["id"] for label in ask("GET", "labels?project_id=8").json()["results"]}
        boxes = [
            ("car", 0, [10, 20, 110, 120]),
            ("person", 0, [200, 30, 260, 200]),
            ("car", 1, [5, 5, 50, 60]),
            ("person", 4, [100, 100, 140, 220]),
        ]
        shapes = [
            {"type": "rectangle", "frame": frame, "label_id": ids[label], "points": points}
            for label, frame, points in boxes
        ]
        ask("PATCH", "tasks/19/annotations?action=create", json={"shapes": shapes})
        yield server, headers


def export(street: tuple[StandinProcess, dict[str, str]], format_name: str) -> dict[str, bytes]:
    server, headers = street
    asked = urllib3.request(
        "POST",
        f"{server.url}/api/projects/8/dataset/export?format={format_name}&save_images=True",
        headers=headers,
    )
    assert asked.status == 202, asked.data
    while True:
        answer = urllib3.request("GET", f"{server.url}/api/requests/{asked.json()['rq_id']}", headers=headers).json()
        assert answer["status"] != "failed", answer["message"]
        if answer["status"] == "finished":
            return members(urllib3.request("GET", answer["result_url"], headers=headers).data)


@pytest.mark.parametrize(
    ("format_name", "recorded"),
    [
        ("ImageNet 1.0", "imagenet_1.0.zip"),
        ("COCO 1.0", "coco_1.0.zip"),
        ("CVAT for images 1.1", "cvat_for_images_1.1.zip"),
    ],
)
def test_the_recorded_exports(street: tuple[StandinProcess, dict[str, str]], format_name: str, recorded: str) -> None:
    found = export(street, format_name)
    expected = members((EXPORTS / "detection" / recorded).read_bytes())
    assert set(found) == set(expected)
    for name, content in expected.items():
        if name.endswith(".jpg"):
            assert found[name] == content
        else:
            assert plain(found[name].decode()) == plain(content.decode())
