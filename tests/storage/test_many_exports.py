"""A project in several zips, from the server to a bucket, and from there to whoever trains."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from standin.process import StandinProcess
from tests.storage.s3_server import SECRET, Door, S3Server, s3_server
from tests.storage.test_shards import image_of
from tests.support.conversions import make_zip
from tests.support.dask_processes import OWN, running_scheduler, worker
from tests.support.images import jpeg
from tests.support.script_runs import run_program, script_command
from tests.support.standin_api import Api
from tests.support.waiting import wait_until

TASKS, IMAGES = 4, 6
CLASSES = ("cat", "dog", "owl")


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        running.client().create_bucket(Bucket="data")
        yield running


@pytest.fixture
def project(standin: StandinProcess, request: pytest.FixtureRequest) -> tuple[int, dict[bytes, tuple[str, str]]]:
    """A project with four tasks whose images are named alike: its number, and path and class by the image's bytes."""
    api = Api(standin)
    number = api.project(*CLASSES, name=request.node.name)
    expected = {}
    for _ in range(TASKS):
        images = {f"shelf/{place}.jpg": jpeg() for place in range(IMAGES)}
        tagged = [(place, CLASSES[place % len(CLASSES)]) for place in range(IMAGES)]
        api.tag(api.images(number, images), *tagged)
        for (name, content), (_, label) in zip(sorted(images.items()), tagged, strict=True):
            expected[content] = (name, label)
    return number, expected


def run(
    server: S3Server, standin: StandinProcess, script: str, *arguments: object, **more: str
) -> CompletedProcess[str]:
    """Run a script that may not write one byte into a file, and must not tell the secret."""
    environment = {**server.environment, **standin.environment(), "PYTHONDONTWRITEBYTECODE": "1", **more}
    command = script_command(script, *arguments)
    if shutil.which("prlimit"):
        command = ["prlimit", "--fsize=0", *command]
    done = run_program(command, environment=environment)
    assert SECRET not in done.stdout + done.stderr
    return done


def keys(server: S3Server, prefix: str) -> dict[str, int]:
    found = server.client().list_objects_v2(Bucket="data", Prefix=f"{prefix}/").get("Contents", [])
    return {entry["Key"].removeprefix(f"{prefix}/"): entry["Size"] for entry in found}


def content(server: S3Server, key: str) -> bytes:
    body: bytes = server.client().get_object(Bucket="data", Key=key)["Body"].read()
    return body


def test_four_tasks_go_through_a_bucket_into_webdataset(
    server: S3Server,
    standin: StandinProcess,
    project: tuple[int, dict[bytes, tuple[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import fsspec
    import webdataset

    number, expected = project
    where = "s3://data/way"
    options = (f"--project-id={number}", "--format=ImageNet 1.0", f"--export-dir={where}/exports", "--per-task")
    done = run(server, standin, "export_dataset", *options, "--json")
    assert done.returncode == 0, done.stderr
    zips = [one["file"] for one in json.loads(done.stdout)["tasks"]]
    assert {name for name in keys(server, "way/exports") if name.endswith(".zip")} == {
        address.removeprefix(f"{where}/exports/") for address in zips
    }
    assert len(zips) == TASKS
    done = run(server, standin, "export_dataset", *options)
    assert "4 of 4 tasks were exported before and have not changed" in done.stderr, done.stderr

    exports = ("--base-file", f"{where}/exports/task-*.zip", "--output-dir", f"{where}/shards")
    done = run(server, standin, "convert_dataset", *exports, "--format", "webdataset")
    assert done.returncode == 0, done.stderr
    assert run(server, standin, "verify_dataset", f"{where}/shards").returncode == 0

    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    webdataset.gopen_schemes["s3"] = lambda url, mode="rb", bufsize=8192: fsspec.open(url, "rb").open()
    labels = json.loads(content(server, "way/shards/labels.json"))
    shards = sorted(f"{where}/shards/{name}" for name in keys(server, "way/shards") if name.endswith(".tar"))
    samples: list[Any] = list(webdataset.WebDataset(shards, shardshuffle=False))
    assert len(samples) == len(expected)
    for sample in samples:
        facts = json.loads(sample["json"])
        name, label = expected.pop(image_of(sample))
        assert facts["path"].endswith(name)
        assert (facts["class"], facts["class_id"]) == (label, labels[label])
    assert not expected


def test_an_export_is_there_whole_or_not_at_all(
    server: S3Server, standin: StandinProcess, project: tuple[int, dict[bytes, tuple[str, str]]]
) -> None:
    number, expected = project
    options = (f"--project-id={number}", "--format=ImageNet 1.0")
    done = run(server, standin, "export_dataset", *options, "--export-dir=s3://nobody/exports")
    assert done.returncode == 1
    assert "s3://nobody/exports" in done.stderr.splitlines()[-1]
    assert "there is no such bucket" in done.stderr.splitlines()[-1]

    door = Door(server.port, ".zip.part")
    done = run(server, standin, "export_dataset", *options, "--export-dir=s3://data/broken", AWS_ENDPOINT_URL=door.url)
    door.server.shutdown()
    assert done.returncode == 1
    assert "access denied" in done.stderr.splitlines()[-1]
    assert keys(server, "broken") == {}

    client = server.client()
    part = {"Bucket": "data", "Key": f"same/project_id_{number}.zip.part"}
    door = Door(server.port, on_copy=lambda: client.delete_object(**part))  # as another one does that ends before us
    done = run(server, standin, "export_dataset", *options, "--export-dir=s3://data/same", AWS_ENDPOINT_URL=door.url)
    door.server.shutdown()
    assert done.returncode == 1
    assert "another export to the same address has taken its place: run again" in done.stderr.splitlines()[-1]
    assert keys(server, "same") == {}

    client.put_object(Bucket="data", Key=f"one/project_id_{number}.zip.part", Body=b"of a killed one")
    done = run(server, standin, "export_dataset", *options, "--export-dir=s3://data/one", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["file"], answer["frames"]) == (f"s3://data/one/project_id_{number}.zip", len(expected))
    assert keys(server, "one") == {f"project_id_{number}.zip": answer["size"]}

    client.put_object(Bucket="data", Key=f"one/project_id_{number}.zip", Body=b"mine")
    done = run(server, standin, "export_dataset", *options, "--export-dir=s3://data/one")
    assert (done.returncode, "exists already" in done.stderr) == (1, True)
    assert content(server, f"one/project_id_{number}.zip") == b"mine"
    done = run(server, standin, "export_dataset", *options, "--export-dir=s3://data/one", "--overwrite")
    assert done.returncode == 0, done.stderr
    assert keys(server, "one") == {f"project_id_{number}.zip": answer["size"]}


def test_boxes_in_a_bucket_know_what_is_completed(server: S3Server, standin: StandinProcess) -> None:
    api = Api(standin)
    number = api.project("ship", name="ships-in-a-bucket", label_type="rectangle")
    api.images(number, {"1.jpg": jpeg(), "2.jpg": jpeg()})
    options = (f"--project-id={number}", "--format=COCO 1.0", "--export-dir=s3://data/boxes")
    done = run(server, standin, "export_dataset", *options)
    assert done.returncode == 0, done.stderr
    assert set(keys(server, "boxes")) == {f"project_id_{number}.zip", f"project_id_{number}.completed.json"}


def test_a_cluster_reads_from_a_bucket_and_a_killed_worker_costs_only_time(
    server: S3Server, standin: StandinProcess, tmp_path: Path
) -> None:
    import psutil

    content_of = {f"{label}/{number:02}.jpg": jpeg() + bytes(200_000) for label in CLASSES for number in range(8)}
    client = server.client()
    for number in range(TASKS):
        some = {name: content_of[name] for name in sorted(content_of)[number::TASKS]}
        client.upload_file(str(make_zip(tmp_path / f"{number}.zip", some)), "data", f"cluster/task-{number}.zip")
    call = ("--base-file", "s3://data/cluster/task-*.zip", "--format", "webdataset", "--shard-size", "1MB")
    done = run(server, standin, "convert_dataset", *call, "--output-dir", "s3://data/here")
    assert done.returncode == 0, done.stderr
    workers = {**OWN, **server.environment}
    with (
        running_scheduler(tmp_path) as address,
        worker(address, tmp_path / "w1", workers) as first,
        worker(address, tmp_path / "w2", workers),
    ):

        def reads() -> bool:
            """Tell whether the first worker is at the bucket."""
            return server.port in {one.raddr.port for one in psutil.Process(first.pid).net_connections() if one.raddr}

        there = script_command("convert_dataset", *call, "--output-dir", "s3://data/there", "--scheduler", address)
        with subprocess.Popen(there, env=dict(server.environment), stderr=subprocess.PIPE, text=True) as running:
            wait_until(reads)
            first.kill()
            _, said = running.communicate()
    assert running.returncode == 0, said
    assert keys(server, "here") == keys(server, "there")
    for name in keys(server, "here"):
        assert content(server, f"here/{name}") == content(server, f"there/{name}"), name
