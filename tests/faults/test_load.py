"""Many scripts at once do not mix up their files."""

import hashlib
import json
import subprocess
import zipfile
from pathlib import Path

import pytest

PROJECTS = 10


def finish(processes: list["subprocess.Popen[str]"]) -> list[str]:
    outputs = []
    for process in processes:
        output, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        outputs.append(output)
    return outputs


def digests_of(folder: Path) -> set[str]:
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.jpg")}


@pytest.mark.slow
def test_ten_projects_at_once(shell):
    """All import from one parent folder, export into one folder and share TMPDIR and the journals' folder."""
    starts = [
        shell.start("create_project", f"--name={shell.folder}-{number}", "--labels=cat dog", "--json")
        for number in range(PROJECTS)
    ]
    projects = [json.loads(output)["project_id"] for output in finish(starts)]
    assert len(set(projects)) == PROJECTS
    folders = [shell.images("cat/1.jpg", "dog/1.jpg", "dog/2.jpg", folder=f"images-{n}") for n in range(PROJECTS)]
    imports = [
        shell.start(
            "import_images",
            f"--project-id={project}",
            f"--import-dir={folder}",
            "--extension=jpg",
            "--task-name=same",
            "--tags-from-folders",
        )
        for project, folder in zip(projects, folders, strict=True)
    ]
    finish(imports)
    exports = [
        shell.start("export_dataset", f"--project-id={project}", "--export-dir=out", "--format=ImageNet 1.0")
        for project in projects
    ]
    finish(exports)
    for project, folder in zip(projects, folders, strict=True):
        with zipfile.ZipFile(shell.folder / f"out/project_id_{project}.zip") as archive:
            exported = [hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist() if "/" in name]
        assert sorted(exported) == sorted(digests_of(folder))
    assert len(list((shell.folder / "out").iterdir())) == PROJECTS
    assert shell.leftovers() == []


def test_two_exports_of_one_project_at_once_share_the_servers_work(faulty_shell):
    shell = faulty_shell
    project = shell.project("cat")
    options = [f"--project-id={project}", f"--import-dir={shell.images('cat/1.jpg')}", "--extension=jpg"]
    assert shell.run("import_images", *options, "--task-name=t").returncode == 0
    shell.server.order_fault("hang", method="GET", path="/api/requests/*", seconds=3, stage="response")
    options = [f"--project-id={project}", "--format=ImageNet 1.0", "--timeout=240"]
    finish([shell.start("export_dataset", *options, f"--export-dir={name}") for name in ("one", "two")])
    for name in ("one", "two"):
        assert zipfile.is_zipfile(shell.folder / f"{name}/project_id_{project}.zip")
    assert shell.leftovers() == []


def test_an_export_that_another_process_has_queued_is_waited_for_but_not_taken_back(faulty_shell):
    import requests

    shell = faulty_shell
    project = shell.project("cat")
    options = [f"--project-id={project}", f"--import-dir={shell.images('cat/1.jpg')}", "--extension=jpg"]
    assert shell.run("import_images", *options, "--task-name=t").returncode == 0
    shell.server.order_fault("stay-queued", path="export:dataset")
    auth = (shell.server.username, shell.server.password)
    address = f"{shell.server.url}/api/projects/{project}/dataset/export?format=ImageNet%201.0&save_images=true"
    requests.post(address, auth=auth, timeout=120).raise_for_status()
    options = [f"--project-id={project}", "--format=ImageNet 1.0", "--export-dir=out", "--timeout=5"]
    answer = shell.run("export_dataset", *options)
    assert answer.returncode == 1
    assert "warning: the server prepares this export already, waiting for that" in answer.stderr
    assert "error: no export after 5 s" in answer.stderr
    running = requests.get(f"{shell.server.url}/api/requests?status=queued", auth=auth, timeout=120).json()
    assert running["count"] == 1


def test_a_request_that_nobody_waits_for_is_taken_back(faulty_shell):
    import requests

    shell = faulty_shell
    project = shell.project("cat")
    options = [f"--project-id={project}", f"--import-dir={shell.images('cat/1.jpg')}", "--extension=jpg"]
    assert shell.run("import_images", *options, "--task-name=t").returncode == 0
    shell.server.order_fault("stay-queued", path="export:dataset")
    options = [f"--project-id={project}", "--format=ImageNet 1.0", "--export-dir=out"]
    assert shell.run("export_dataset", *options, "--timeout=5").returncode == 1
    auth = (shell.server.username, shell.server.password)
    assert requests.get(f"{shell.server.url}/api/requests?status=queued", auth=auth, timeout=120).json()["count"] == 0
    assert shell.run("export_dataset", *options).returncode == 0
