"""Names, files and servers that mean harm, or are just odd."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
import requests

from tests.support.images import jpeg
from tests.support.script_runs import ROOT, run_program
from tests.support.sweeps import some
from tests.transfer.conftest import Shell
from tests.transfer.test_import import one_line, settings
from toolkit.core.errors import ToolkitError
from toolkit.transfer.export import check_archive

from .servers import make_certificate, recorder, tls_in_front_of, with_slow_head, without_end

TEXT_DIRECTION = "invoice\u202egpj.exe.jpg"

ODD_NAMES = (
    "-rf.jpg",
    "--help.jpg",
    "'single' \"double\".jpg",
    "$(touch executed).jpg",
    "`touch executed`.jpg",
    "a;b&c|d>e.jpg",
    "%s%n{0}.jpg",
    "<script>alert(1)<script>.jpg",
    f"{'x' * 251}.jpg",
    TEXT_DIRECTION,
)


def frames_of(shell: Shell, task: int) -> list[str]:
    auth = (shell.server.username, shell.server.password)
    meta = requests.get(f"{shell.server.url}/api/tasks/{task}/data/meta", auth=auth, timeout=120).json()
    return [frame["name"] for frame in meta["frames"]]


def test_odd_names_are_only_names(shell):
    project = shell.project("x")
    folder = shell.images(*ODD_NAMES)
    answer = shell.run("import_images", *settings(project, folder, "../../$(touch executed)"), "--json")
    assert answer.returncode == 0, answer.stderr
    assert sorted(frames_of(shell, json.loads(answer.stdout)["task_id"])) == sorted(ODD_NAMES)
    assert list(shell.folder.rglob("executed*")) == []
    assert shell.leftovers() == []


def test_names_that_no_server_can_keep_are_refused_and_printed_on_one_line_each(shell):
    project = shell.project("x")
    folder = shell.images("good.jpg")
    for name in (b"new\nline.jpg", b"\x1b[31mred.jpg", b"not utf-8 \xff.jpg", b"back\\slash.jpg"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(jpeg())
    answer = shell.run("import_images", *settings(project, folder))
    assert "4 problems with the images, nothing was sent" in one_line(answer)
    assert "\x1b" not in answer.stderr
    for shown in ("new\\nline.jpg", "\\x1b[31mred.jpg", "not utf-8 \\udcff.jpg", "back\\slash.jpg"):
        assert f"  - {shown}: its name" in answer.stderr


def test_a_name_in_a_message_cannot_turn_the_text_around(shell):
    folder = shell.images("good.jpg")
    (folder / TEXT_DIRECTION).write_bytes(b"no image")
    answer = shell.run("import_images", *settings(1, folder))
    assert "invoice\\u202egpj.exe.jpg: not a JPEG image" in answer.stderr
    assert "\u202e" not in answer.stderr


def test_a_project_with_a_path_for_a_name_stays_in_its_place(shell):
    refused = shell.run("create_project", "--name=../../x", "--labels=cat ../../dog")
    assert (refused.returncode, "cannot be class folders of a dataset" in refused.stderr) == (2, True)
    answer = shell.run("create_project", "--name=../../x", "--labels=cat", "--json")
    assert answer.returncode == 0, answer.stderr
    project = json.loads(answer.stdout)["project_id"]
    assert shell.run("import_images", *settings(project, shell.images("1.jpg"), "../../y")).returncode == 0
    before = set(shell.folder.parent.iterdir())
    answer = shell.run("export_dataset", f"--project-id={project}", "--export-dir=out", "--format=ImageNet 1.0")
    assert answer.returncode == 0, answer.stderr
    assert [path.name for path in (shell.folder / "out").iterdir()] == [f"project_id_{project}.zip"]
    assert set(shell.folder.parent.iterdir()) == before


def test_a_configuration_of_ten_megabytes_is_refused(shell):
    (shell.folder / "configuration.json").write_text(json.dumps({"x": "y" * 10_000_000}))
    answer = shell.run("import_images")
    assert (answer.returncode, "larger than 1 MiB" in one_line(answer)) == (2, True)


@pytest.mark.parametrize("variable", ["CONFIG", "NAME"])
def test_shell_characters_in_make_variables_are_only_text(shell, variable):
    value = "a b$(touch executed)`touch executed`; touch executed '\" $HOME.json"
    target = {"CONFIG": "import", "NAME": "project"}[variable]
    command = ["make", "-s", "-C", str(ROOT), "-o", ".venv/.runtime", target, f"{variable}={value}", "LABELS=a"]
    if not (ROOT / ".venv/bin/python").exists():
        pytest.skip("needs .venv (make setup)")
    answer = run_program(command, environment=shell.environment())
    assert list(ROOT.glob("executed*")) == []
    if variable == "CONFIG":
        assert f"{value} does not exist" in answer.stderr, answer.stderr
    else:
        assert f"{value} with 1 classification labels" in answer.stdout, answer.stderr


LOGIN = {"method": "POST", "path": "/api/auth/login"}
BY_CLIENT = {"before cvat-cli": 0, "in cvat-cli": 1}
"""Sign-ins before the one that goes wrong: the script asks the server itself before cvat-cli makes a project."""


@pytest.mark.parametrize("skip", BY_CLIENT.values(), ids=BY_CLIENT)
def test_a_web_page_in_place_of_an_answer(faulty_shell, skip):
    shell = faulty_shell
    page = {"status": 200, "body": "<html><body>Wi-Fi login</body></html>", "headers": {"Content-Type": "text/html"}}
    shell.server.order_fault("status", skip=skip, count=None, **LOGIN, **page)
    answer = shell.run("create_project", "--name=x", "--labels=cat")
    assert answer.returncode == 1
    assert "does not answer as CVAT does: is CVAT_URL right?" in one_line(answer)


@pytest.mark.parametrize("status", some([301, 302, 303, 307, 308], 2))
@pytest.mark.parametrize("skip", BY_CLIENT.values(), ids=BY_CLIENT)
def test_credentials_do_not_follow_a_redirect(faulty_shell, skip, status):
    shell = faulty_shell
    with recorder() as other:
        headers = {"Location": f"{other.url}/api/auth/login"}
        shell.server.order_fault("status", skip=skip, count=None, status=status, headers=headers, **LOGIN)
        answer = shell.run("create_project", "--name=x", "--labels=cat")
        assert other.heard == []
    assert answer.returncode == 1
    assert f"redirects to {other.url}, where your credentials were not sent" in one_line(answer)


def test_credentials_do_not_follow_the_place_of_a_download(faulty_shell):
    shell = faulty_shell
    project = shell.project("x")
    options = settings(project, shell.images("1.jpg"))
    assert shell.run("import_images", *options).returncode == 0
    with recorder() as other:
        operation = {"type": "export:dataset", "target": "project", "project_id": project, "format": "ImageNet 1.0"}
        finished = {
            "status": "finished",
            "message": "",
            "id": "x",
            "operation": operation,
            "created_date": "2026-01-01T00:00:00Z",
            "result_url": f"{other.url}/stolen?rq_id=1",
        }
        headers = {"Content-Type": "application/vnd.cvat+json"}
        shell.server.order_fault(
            "status", method="GET", path="/api/requests/*", status=200, headers=headers, body=json.dumps(finished)
        )
        answer = shell.run("export_dataset", f"--project-id={project}", "--export-dir=out", "--format=ImageNet 1.0")
        assert other.heard == []
    asked = [entry["path"] for entry in shell.server.requests()]
    assert "/stolen?rq_id=1" in asked
    assert answer.returncode == 1
    assert one_line(answer)
    assert shell.leftovers() == []


def test_an_answer_without_end_is_given_up(shell):
    with recorder(without_end) as server:
        answer = shell.run("import_images", *settings(1, shell.images("1.jpg")), CVAT_URL=server.url)
    assert answer.returncode == 1
    assert "gave an answer without end" in one_line(answer)


@pytest.mark.parametrize(
    ("reply", "seconds", "words"),
    [(without_end, "600", "its answer has no end, is it a CVAT?"), (with_slow_head, "1", "it took too long")],
)
def test_status_and_token_give_up_a_server_that_never_ends(shell, tmp_path, reply, seconds, words):
    with recorder(reply) as server:
        given = {"CVAT_URL": server.url, "CVAT_ANSWER_TIMEOUT": seconds, "CVAT_ATTEMPTS": "1"}
        status = shell.run("show_status", **given)
        token = shell.run("create_token", **given, CVAT_TOKEN_FILE=str(tmp_path / "token"))
    assert (status.returncode, token.returncode) == (3, 1)
    assert words in one_line(status)
    assert words in one_line(token)
    assert not (tmp_path / "token").exists()


def test_a_name_for_the_download_cannot_choose_its_place(faulty_shell):
    shell = faulty_shell
    project = shell.project("x")
    assert shell.run("import_images", *settings(project, shell.images("1.jpg"))).returncode == 0
    empty_zip = "PK\x05\x06" + "\0" * 18
    headers = {"Content-Disposition": 'attachment; filename="../../evil.zip"', "Content-Type": "application/zip"}
    shell.server.order_fault(
        "status", method="GET", path="*/dataset/download*", status=200, headers=headers, body=empty_zip
    )
    before = set(shell.folder.parent.iterdir())
    answer = shell.run("export_dataset", f"--project-id={project}", "--export-dir=out", "--format=ImageNet 1.0")
    assert answer.returncode == 1
    assert "holds no image, nothing was kept" in one_line(answer)
    assert set(shell.folder.parent.iterdir()) == before
    assert list(shell.folder.rglob("*.zip")) == []


def test_an_archive_that_unpacks_to_far_more_is_refused_unread(tmp_path):
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/1.jpg", b"\0" * 1_000_000)
        archive.infolist()[0].file_size = 3 * 1024**3
    with pytest.raises(ToolkitError, match=r"would unpack to 3\.0 GiB, nothing was kept"):
        check_archive(bomb, "ImageNet 1.0")


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs the program openssl to make a certificate")
def test_a_self_signed_certificate_is_refused_until_it_is_named(shell, tmp_path):
    certificate = make_certificate(tmp_path)
    project = shell.project("x")
    options = settings(project, shell.images("1.jpg"))
    with tls_in_front_of(shell.server.url, certificate) as url:
        answer = shell.run("import_images", *options, CVAT_URL=url)
        assert answer.returncode == 1
        assert "could not be verified: name the file of your authority in REQUESTS_CA_BUNDLE" in one_line(answer)
        wish = {"name": "x", "expiry_date": "2036-01-01T00:00:00Z", "read_only": False}
        auth = (shell.server.username, shell.server.password)
        token = requests.post(f"{shell.server.url}/api/auth/access_tokens", json=wish, auth=auth, timeout=120).json()
        trusted = str(tmp_path / "certificate.pem")
        variables = {"CVAT_URL": url, "REQUESTS_CA_BUNDLE": trusted, "CVAT_ACCESS_TOKEN": token["value"]}
        answer = shell.run("import_images", *options, **variables)
    assert answer.returncode == 0, answer.stderr
