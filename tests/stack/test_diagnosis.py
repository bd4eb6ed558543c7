"""What the last words of a container or of the engine are taken for."""

import pytest

from toolkit.stack.backup import Contents, differences
from toolkit.stack.readiness import OUT_OF_MEMORY, cause_of_refusal, likely_cause


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ('FATAL:  password authentication failed for user "root"', "another password than config/cvat.env holds"),
        ("write /var/lib/x: No space left on device", "the disk is full"),
        ("exec /usr/bin/x: exec format error", "for another processor"),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", "for another processor"),
        ("Bind for 127.0.0.1:8080 failed: port is already allocated", "`make up CVAT_PORT=8081`"),
        ("FATAL:  database files are incompatible with server", "of another PostgreSQL major version"),
        ('psycopg2.errors.DuplicateTable: relation "x" already exists', "of another version of CVAT"),
        (
            "Error: Format string 'smokescreen --listen-ip=127.0.0.1 %(ENV_SMOKESCREEN_OPTS)s' for "
            "'program:smokescreen.command' contains names ('ENV_SMOKESCREEN_OPTS') which cannot be expanded. Available "
            "names: ENV_HOME, here in section 'program:smokescreen' (file: 'reusable/smokescreen.conf')",
            "a variable that the image's supervisord needs is not set at all",
        ),
        (
            "1:M # Bad file format reading the append only file: make a backup of your AOF file, "
            "then use ./redis-check-aof --fix <filename.manifest>",
            "the queue's file is damaged",
        ),
        (
            "Failed to load config. Error: failed to open file '/var/lib/kvrocks/kvrocks.conf': No such file",
            "the cache's volume has lost its configuration file",
        ),
        ("fork: Cannot allocate memory", "memory ran out"),
        ("/data: Permission denied", "may not read or write its files"),
    ],
)
def test_known_words_have_a_cause_and_advice(line: str, cause: str) -> None:
    found = likely_cause(["starting", line, "stopped"], exit_code=1)
    assert found is not None
    assert cause in found


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("toomanyrequests: You have reached your pull rate limit", "`docker login`, or wait"),
        ("manifest for cvat/server:v9 not found: manifest unknown", "there is no such image: check CVAT_VERSION"),
        ("dial tcp: lookup registry-1.docker.io on 127.0.0.1:53: no such host", "the image registry cannot be reached"),
        ("Bind for 127.0.0.1:8080 failed: port is already allocated", "`make up CVAT_PORT=8081`"),
        ("write /var/lib/docker/tmp/x: no space left on device", "the disk is full"),
    ],
)
def test_the_engines_words_have_a_cause_and_advice(line: str, cause: str) -> None:
    assert cause in (cause_of_refusal(["Pulling", line]) or "")


@pytest.mark.parametrize(
    "line",
    [
        '{"level":"error","msg":"Bundle load failed: request failed: Get \\"http://cvat-server:8080/api/auth/rules\\": '
        'dial tcp 172.18.0.6:8080: connect: connection refused","name":"cvat","plugin":"bundle"}',
        '{"level":"error","msg":"Bundle load failed: Get \\"http://cvat-server:8080/api/auth/rules\\": dial tcp: '
        'lookup cvat-server on 127.0.0.11:53: no such host"}',
        "smokescreen: dial tcp: lookup hooks.example.com: i/o timeout",
    ],
)
def test_a_containers_network_is_not_taken_for_the_registry(line: str) -> None:
    assert likely_cause(["starting", line], exit_code=1) is None


def test_exit_codes_speak_where_words_do_not() -> None:
    assert likely_cause(["x"], exit_code=137) == (
        "killed from outside, mostly for want of memory: give the Docker engine 4 GB or more"
    )
    assert likely_cause(["No space left on device"], exit_code=1, out_of_memory=True) == OUT_OF_MEMORY
    assert likely_cause([], exit_code=1) is None
    assert likely_cause(["all is well"]) is None


def test_contents_are_told_in_one_line_and_compared_by_table() -> None:
    tables = {"engine_project": 1, "engine_task": 2, "engine_labeledimage": 3, "engine_labeledshape": 4, "auth_user": 5}
    assert str(Contents(tables, 6)) == "1 projects, 2 tasks, 6 frames, 7 annotations, 5 users"
    assert differences(tables, {**tables, "auth_user": 4, "new": 1}) == [
        "auth_user: 5 before, 4 now",
        "new: 0 before, 1 now",
    ]
    assert differences(tables, dict(tables)) == []
