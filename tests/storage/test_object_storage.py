"""Exports and datasets at addresses, on an S3 server of our own."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.storage.s3_server import SECRET, Door, S3Server, s3_server
from tests.storage.test_shards import BOXES, export, image_of
from tests.support.conversions import converted
from tests.support.script_runs import run_program, run_script, script_command

SHARDS = ("--format", "webdataset", "--shard-size", "30KB")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The server, with two exports in its bucket."""
    with s3_server() as running:
        client = running.client()
        client.create_bucket(Bucket="data")
        client.upload_file(str(export(tmp_path_factory.mktemp("export") / "e.zip", 8)), "data", "in/tags.zip")
        client.upload_file(str(BOXES), "data", "in/boxes.zip")
        yield running


def run(server: S3Server, script: str, *arguments: object, **more: str) -> CompletedProcess[str]:
    """Run a script that may not write one byte into a file, and must not tell the secret."""
    command = script_command(script, *arguments)
    environment = {**server.environment, "PYTHONDONTWRITEBYTECODE": "1", **more}
    if shutil.which("prlimit") and script != "report_dataset":
        command = ["prlimit", "--fsize=0", *command]
    done = run_program(command, environment=environment)
    assert SECRET not in done.stdout + done.stderr
    return done


def convert(server: S3Server, target: str, *arguments: object, source: str = "tags", **more: str) -> None:
    base = f"s3://data/in/{source}.zip"
    done = run(server, "convert_dataset", "--base-file", base, "--output-dir", target, *arguments, **more)
    assert done.returncode == 0, done.stderr


def keys(server: S3Server, prefix: str) -> set[str]:
    found = server.client().list_objects_v2(Bucket="data", Prefix=f"{prefix}/").get("Contents", [])
    return {entry["Key"].removeprefix(f"{prefix}/") for entry in found}


def content(server: S3Server, key: str) -> bytes:
    body: bytes = server.client().get_object(Bucket="data", Key=key)["Body"].read()
    return body


def test_from_a_bucket_to_shards_in_it_and_back_into_webdataset(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec
    import webdataset

    convert(server, "s3://data/shards", *SHARDS)
    assert run(server, "verify_dataset", "s3://data/shards").returncode == 0
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    webdataset.gopen_schemes["s3"] = lambda url, mode="rb", bufsize=8192: fsspec.open(url, "rb").open()
    labels = json.loads(content(server, "shards/labels.json"))
    found = set()
    for name in sorted(name for name in keys(server, "shards") if name.endswith(".tar")):
        reader: Any = webdataset.WebDataset([f"s3://data/shards/{name}"], shardshuffle=False)
        for sample in reader:
            facts = json.loads(sample["json"])
            assert facts["class_id"] == labels[facts["class"]]
            digest = hashlib.sha256(image_of(sample)).hexdigest()
            found.add((name.partition("-")[0], facts["path"], facts["class"], digest))
    archive = tmp_path / "tags.zip"
    archive.write_bytes(content(server, "in/tags.zip"))
    converted(archive, tmp_path / "folders")
    recorded = json.loads((tmp_path / "folders/manifest.json").read_text("utf-8"))["images"]
    assert found == {(image["side"], image["frame"], image["class"], image["sha256"]) for image in recorded}
    converted(archive, tmp_path / "shards", *SHARDS)
    assert keys(server, "shards") == {path.name for path in (tmp_path / "shards").iterdir()}
    for path in (tmp_path / "shards").iterdir():
        assert content(server, f"shards/{path.name}") == path.read_bytes(), path.name


@pytest.mark.parametrize(("source", "images"), [("tags", 17), ("boxes", 3)])
def test_folders_in_a_bucket_are_verified_and_reported(
    server: S3Server, tmp_path: Path, source: str, images: int
) -> None:
    target = f"s3://data/folders-{source}"
    convert(server, target, "--validation-split", "0.4", source=source)
    assert run(server, "verify_dataset", target).returncode == 0
    done = run(server, "report_dataset", target, "--output", tmp_path / "report.html", "--json")
    answer = json.loads(done.stdout)
    assert (answer["images"], answer["broken"]) == (images, [])
    victim = next(key for key in keys(server, f"folders-{source}") if key.endswith(".jpg"))
    client = server.client()
    client.put_object(Bucket="data", Key=f"folders-{source}/{victim}", Body=b"other")
    client.delete_object(Bucket="data", Key=f"folders-{source}/labels.json")
    done = run(server, "verify_dataset", target, "--json")
    assert done.returncode == 3
    problems = {(problem["kind"], problem["path"]) for problem in json.loads(done.stdout)["problems"]}
    assert problems == {("changed", victim), ("missing", "labels.json")}


def test_what_a_killed_conversion_left_is_no_dataset_and_is_cleared_up(server: S3Server) -> None:
    client = server.client()
    left = {"id": "of a killed one", "parts": ["training-{000000..000007}.tar", "index.parquet"]}
    client.put_object(Bucket="data", Key="killed/.converting", Body=json.dumps(left).encode())
    client.put_object(Bucket="data", Key="killed/training-000007.tar", Body=b"half")
    client.put_object(Bucket="data", Key="killed/mine.txt", Body=b"mine")
    done = run(server, "verify_dataset", "s3://data/killed")
    assert (done.returncode, "is not complete" in done.stderr) == (3, True)
    convert(server, "s3://data/killed", *SHARDS)
    assert run(server, "verify_dataset", "s3://data/killed").returncode == 0
    assert keys(server, "killed") >= {"mine.txt", "training-000000.tar"}
    assert not keys(server, "killed") & {".converting", "training-000007.tar"}


def test_overwrite_replaces_the_dataset_and_nothing_else(server: S3Server) -> None:
    convert(server, "s3://data/again", *SHARDS)
    server.client().put_object(Bucket="data", Key="again/mine.txt", Body=b"mine")
    base = ("--base-file", "s3://data/in/tags.zip", "--output-dir", "s3://data/again")
    done = run(server, "convert_dataset", *base)
    assert (done.returncode, "already contains a dataset" in done.stderr) == (1, True)
    convert(server, "s3://data/again", "--overwrite")
    assert run(server, "verify_dataset", "s3://data/again").returncode == 0
    assert {key.partition("/")[0] for key in keys(server, "again")} == {
        *("training", "validation", "labels.json", "classes.txt", "manifest.json", "mine.txt")
    }


@pytest.mark.parametrize("shut", ["validation-000000", "manifest.json"])
def test_a_broken_upload_leaves_nothing(server: S3Server, shut: str) -> None:
    door = Door(server.port, shut)
    base = ("--base-file", "s3://data/in/tags.zip", "--output-dir", "s3://data/broken")
    done = run(server, "convert_dataset", *base, *SHARDS, AWS_ENDPOINT_URL=door.url)
    door.server.shutdown()
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "error" in line and "access denied" in line]
    assert keys(server, "broken") == set()


def test_what_is_not_there_is_said_in_one_line(server: S3Server) -> None:
    base = "s3://data/in/tags.zip"
    for source, target, message in (
        ("s3://data/in/none.zip", "s3://data/x", "s3://data/in/none.zip does not exist"),
        (base, "s3://nobody/x", "there is no such bucket"),
    ):
        done = run(server, "convert_dataset", "--base-file", source, "--output-dir", target, "--debug")
        assert done.returncode in (1, 2)
        assert message in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("script", "option", "address", "message"),
    [
        ("convert_dataset", "--output-dir", "http://a.example/x", "is no address that is known here"),
        ("convert_dataset", "--base-file", "s3://key:pass@bucket/x.zip", "credentials do not belong into an address"),
        ("convert_dataset", "--output-dir", "s3://", "is no address of an object"),
        ("convert_dataset", "--labels", "s3://data/labels.json", "not an address"),
        ("verify_dataset", "--dataset-dir", "ftp://a.example/x", "is no address that is known here"),
        ("report_dataset", "--output", "s3://data/report.html", "not an address"),
        ("import_images", "--import-dir", "gs://data/images", "not an address"),
        ("export_dataset", "--export-dir", "http://a.example/x", "is no address that is known here"),
        ("restore_cvat", "--file", "az://data/backup", "not an address"),
    ],
)
def test_an_address_never_becomes_a_local_folder(
    tmp_path: Path, script: str, option: str, address: str, message: str
) -> None:
    more = ("--base-file", "x.zip", "--output-dir", "y") if script == "convert_dataset" else ()
    done = run_script(script, *more, option, address, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "key:pass" not in done.stderr
    assert list(tmp_path.iterdir()) == []
