"""The whole toolkit on the real CVAT: every claim that rests on what CVAT itself does."""

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from tests.support.throw_away import PASSWORD, ROOT, USERNAME, Cvat

HEALTHY_SECONDS = 240
PAGE_SECONDS = 60
CLASSIFICATION = {"cat": 3, "dog": 3, "日本": 2}
DETECTION_FORMATS = ("COCO 1.0", "PASCAL VOC 1.1", "CVAT for images 1.1", "Datumaro 1.0", "YOLO 1.1")


def ask(cvat: Cvat, path: str, authorization: str | None = None) -> Any:
    headers = {"Accept": "application/vnd.cvat+json"} | ({"Authorization": authorization} if authorization else {})
    request = urllib.request.Request(cvat.url + path, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def post(cvat: Cvat, path: str, body: dict[str, str], headers: dict[str, str]) -> tuple[int, Message]:
    """Send JSON and return the status and the headers of the answer, whatever they are."""
    request = urllib.request.Request(
        cvat.url + path, json.dumps(body).encode(), {"Content-Type": "application/json", **headers}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.headers


def session_of(headers: Message) -> dict[str, str]:
    """Return what a browser sends that has signed in."""
    cookies = dict(cookie.split(";")[0].split("=", 1) for cookie in headers.get_all("Set-Cookie", []))
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return {"Cookie": header, "X-CSRFToken": cookies["csrftoken"]}


def version(cvat: Cvat) -> tuple[int, int]:
    """Return the first two numbers of the server's version, for what differs by version."""
    major, minor, *_ = ask(cvat, "/api/server/about")["version"].split(".")
    return int(major), int(minor)


def token(cvat: Cvat) -> str:
    kept = json.loads((cvat.root / "config" / "access-token").read_text())
    return f"Bearer {kept['value']}"


def draw_images(folder: Path, labels: dict[str, int], size: tuple[int, int] = (96, 64)) -> list[str]:
    """Draw images in nested folders, equal base names among them; return their paths in the folder."""
    names = []
    for shade, (label, count) in enumerate(labels.items()):
        for number in range(count):
            name = f"{label}/{'deep dir/' if number % 2 else ''}{number}.jpg"
            image = Image.new("RGB", size, (60 * shade, 40 * number, 90))
            ImageDraw.Draw(image).rectangle((10, 10, 40 + number, 50), fill=(250, 20 * number, 60 * shade))
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            image.save(folder / name, quality=90)
            names.append(name)
    return sorted(names)


def new_project(cvat: Cvat, labels: dict[str, int] | list[str], kind: str = "classification") -> int:
    name = f"test {secrets.token_hex(4)}"
    made = cvat.make(
        "project", f"NAME={name}", f"LABELS={' '.join(labels)}", f"TYPE={kind}", "ARGS=--json", CVAT_URL=cvat.url
    )
    found = ask(cvat, "/api/projects?page_size=100", token(cvat))["results"]
    (number,) = [project["id"] for project in found if project["name"] == name]
    assert str(number) in made.stdout
    return int(number)


def fill(cvat: Cvat, folder: Path) -> int:
    """Import tagged images into a new project and return its number."""
    project = new_project(cvat, CLASSIFICATION)
    draw_images(folder, CLASSIFICATION)
    options = f"--project-id {project} --import-dir {folder} --extension jpg --task-name tagged --tags-from-folders"
    cvat.make("import", f"ARGS={options}", CVAT_URL=cvat.url)
    return project


def exported(cvat: Cvat, project: int, folder: Path, format_name: str = "ImageNet 1.0") -> Path:
    options = f"--project-id {project} --export-dir {folder} --format '{format_name}'"
    cvat.make("export", f"ARGS={options}", CVAT_URL=cvat.url)
    (file,) = folder.glob("*.zip")
    return file


def members(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def lacks_its_tool(container: Any) -> bool:
    """Tell whether another image stands in the upstream one's place, without the program that the healthcheck runs."""
    return any(
        "executable file not found" in entry["Output"] or "no such file or directory" in entry["Output"]
        for entry in container.attrs["State"]["Health"]["Log"]
    )


def test_every_container_becomes_healthy(cvat: Cvat) -> None:
    deadline = time.monotonic() + HEALTHY_SECONDS
    while time.monotonic() < deadline:
        states = {
            one.labels["com.docker.compose.service"]: one.attrs["State"]["Health"]["Status"]
            for one in cvat.containers()
            if not lacks_its_tool(one)
        }
        if set(states.values()) == {"healthy"}:
            break
        time.sleep(2)
    logs = {one.name: one.attrs["State"]["Health"]["Log"][-1:] for one in cvat.containers()}
    assert set(states.values()) == {"healthy"}, logs
    assert {"cvat_db", "cvat_server", "cvat_worker", "cvat_ui"} <= set(states)
    assert len(cvat.containers()) == 7
    assert max(one.attrs["RestartCount"] for one in cvat.containers()) < 3
    assert not any(one.attrs["State"]["OOMKilled"] for one in cvat.containers())


def test_up_again_status_and_doctor_find_all_well(cvat: Cvat) -> None:
    before = {one.id for one in cvat.containers()}
    assert cvat.make("up", "ARGS=--timeout 300").stdout.strip() == cvat.url
    assert {one.id for one in cvat.containers()} == before
    status = cvat.status()
    assert status["problem"] is None
    assert status["ui_seconds"] < 1.2
    assert status["api_seconds"] < 1.2
    assert "FAIL" not in cvat.make("doctor").stdout


def test_the_superuser_is_one_and_can_get_a_new_password(cvat: Cvat) -> None:
    user = ask(cvat, "/api/users/self", token(cvat))
    assert user["username"] == USERNAME
    assert user["is_superuser"]
    names = {"CVAT_SUPERUSER_USERNAME": USERNAME, "CVAT_SUPERUSER_PASSWORD": PASSWORD}
    assert "exists already" in cvat.make("superuser", **names).stderr
    assert "has a new password" in cvat.make("superuser", "RESET=1", **names).stderr
    cvat.make("token", **cvat.signed_in())
    assert ask(cvat, "/api/users/self", token(cvat))["username"] == USERNAME


def test_the_front_door_serves_the_web_ui_and_refuses_foreign_origins(cvat: Cvat) -> None:
    for path in ("/", "/auth/login", "/tasks/1"):
        with urllib.request.urlopen(cvat.url + path, timeout=60) as page:
            assert page.status == 200
            assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert b"<script" in page.read()
    public = {"X-Forwarded-Host": "name-8080.app.github.dev", "X-Forwarded-Proto": "https"}
    sign_in = {"username": USERNAME, "password": PASSWORD}
    session = session_of(post(cvat, "/api/auth/login", sign_in, {})[1])
    cases = [
        ({"Origin": cvat.url}, True),
        ({"Origin": f"http://localhost:{cvat.port}", **public}, True),
        ({"Origin": "https://name-8080.app.github.dev", **public}, True),
        ({"Origin": "https://evil.example.com"}, False),
        ({"Origin": "https://evil.example.com", **public}, False),
    ]
    for headers, own in cases:
        # Newer versions let anyone sign in who has no session, as that uses nothing of the browser's.
        checked = version(cvat) == (2, 54)
        if own or checked or version(cvat) >= (2, 73):
            assert post(cvat, "/api/auth/login", sign_in, headers)[0] == (200 if own or not checked else 403), headers
        name = {"name": f"test {secrets.token_hex(4)}"}
        assert post(cvat, "/api/projects", name, {**session, **headers})[0] == (201 if own else 403), headers


def test_a_browser_shows_the_login_form(cvat: Cvat) -> None:
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    try:
        browser = webdriver.Chrome(options=options)
    except WebDriverException as error:
        pytest.skip(
            f"needs Chromium and its driver (apt-get install chromium-driver), then make test-cvat: {error.msg}"
        )
    try:
        browser.get(f"{cvat.url}/auth/login")
        WebDriverWait(browser, PAGE_SECONDS).until(
            lambda page: [one for one in page.find_elements(By.CSS_SELECTOR, "form input") if one.is_displayed()]
        )
    finally:
        browser.quit()


def test_the_contract_suite_passes(cvat: Cvat) -> None:
    outside = {
        name: value for name, value in os.environ.items() if not name.startswith(("CVAT_", "COMPOSE_", "PYTEST_"))
    }
    call = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/contract", "--against-real-cvat"],
        cwd=ROOT,
        env={**outside, **cvat.signed_in()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert call.returncode == 0, call.stdout[-8000:] + call.stderr[-2000:]


def test_images_become_a_dataset_with_their_folders(cvat: Cvat, tmp_path: Path) -> None:
    images = tmp_path / "images"
    project = fill(cvat, images)
    (task,) = ask(cvat, f"/api/tasks?project_id={project}", token(cvat))["results"]
    frames = ask(cvat, f"/api/tasks/{task['id']}/data/meta", token(cvat))["frames"]
    names = sorted(path.relative_to(images).as_posix() for path in images.rglob("*.jpg"))
    assert sorted(frame["name"] for frame in frames) == names

    file = exported(cvat, project, tmp_path / "dataset")
    # CVAT's own datumaro leaves out a first folder that is the label's; the one of PyPI repeats it.
    repeated = {f"{name.split('/')[0]}/{name}": (images / name).read_bytes() for name in names}
    merged = {name: (images / name).read_bytes() for name in names}
    assert members(file) in (repeated, merged)

    options = f"--base-file {file} --output-dir {tmp_path / 'converted'} --validation-split 0.25 --seed 1"
    cvat.make("convert", f"ARGS={options}")
    converted = tmp_path / "converted"
    assert set(json.loads((converted / "labels.json").read_text())) == set(CLASSIFICATION)
    found = [path for side in ("training", "validation") for path in (converted / side).rglob("*.jpg")]
    assert len(found) == sum(CLASSIFICATION.values())


@pytest.mark.parametrize("format_name", DETECTION_FORMATS)
def test_a_detection_project_exports(cvat: Cvat, tmp_path: Path, format_name: str) -> None:
    project = new_project(cvat, ["thing"], "detection")
    images = tmp_path / "images"
    names = draw_images(images, {"thing": 2})
    options = f"--project-id {project} --import-dir {images} --extension jpg --task-name boxes"
    cvat.make("import", f"ARGS={options}", CVAT_URL=cvat.url)
    assert ask(cvat, f"/api/tasks?project_id={project}", token(cvat))["count"] == 1
    content = members(exported(cvat, project, tmp_path / "dataset", format_name))
    assert sum(name.endswith(".jpg") for name in content) == len(names)


def test_labels_survive_stop_and_start(cvat: Cvat, tmp_path: Path) -> None:
    project = fill(cvat, tmp_path / "images")
    before = members(exported(cvat, project, tmp_path / "before"))
    cvat.make("restart", "ARGS=--timeout 300")
    assert members(exported(cvat, project, tmp_path / "after")) == before


def test_backup_verify_destroy_and_restore(cvat: Cvat, tmp_path: Path) -> None:
    project = fill(cvat, tmp_path / "images")
    before = members(exported(cvat, project, tmp_path / "before"))
    file = Path(cvat.make("backup").stdout.strip())
    proof = cvat.make("backup-verify", f"FILE={file}")
    assert "restores to a healthy CVAT" in proof.stdout
    assert members(exported(cvat, project, tmp_path / "meanwhile")) == before
    cvat.make("destroy", f"CONFIRM={cvat.project}")
    assert cvat.volumes() == []
    cvat.make("restore", f"FILE={file}", "ARGS=--timeout 600")
    assert members(exported(cvat, project, tmp_path / "after")) == before
    assert ask(cvat, "/api/users/self", token(cvat))["username"] == USERNAME


def test_upgrade_to_the_next_version(cvat: Cvat, tmp_path: Path) -> None:
    target = os.environ.get("CVAT_UPGRADE_TO")
    if not target:
        pytest.skip("names no version to go to: make test-cvat CVAT_VERSION=v2.54.0 CVAT_UPGRADE_TO=v2.73.0")
    project = fill(cvat, tmp_path / "images")
    before = members(exported(cvat, project, tmp_path / "before"))
    cvat.make("upgrade", "ARGS=--timeout 900", CVAT_VERSION=target)
    cvat.settings["CVAT_VERSION"] = target
    assert members(exported(cvat, project, tmp_path / "after")) == before
