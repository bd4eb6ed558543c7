"""What a CVAT tells of itself."""

import json

from tests.support.cvat_under_test import CvatUnderTest
from toolkit.core.formats import ALL_FORMATS

NAMED = {name for name in ALL_FORMATS if name != "TFRecord 1.0"} | {
    "Ultralytics YOLO Classification 1.0",
    "Ultralytics YOLO Detection 1.0",
    "Ultralytics YOLO Oriented Bounding Boxes 1.0",
    "Ultralytics YOLO Pose 1.0",
    "Ultralytics YOLO Segmentation 1.0",
}
"""What the toolkit and its pages tell people to export."""


def test_about_names_a_version_without_signing_in(cvat: CvatUnderTest) -> None:
    response = cvat.http("GET", "/api/server/about")
    assert response.status == 200
    assert response.json()["version"].count(".") == 2


def test_health_is_json_of_working_parts(cvat: CvatUnderTest) -> None:
    response = cvat.http("GET", "/api/server/health/?format=json")
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json"
    assert set(response.json().values()) == {"working"}
    assert {"DatabaseBackend", "DiskUsage", "MemoryUsage", "OPAHealthCheck"} <= set(response.json())


def test_formats_need_signing_in(cvat: CvatUnderTest) -> None:
    response = cvat.http("GET", "/api/server/annotation/formats")
    assert response.status == 401
    assert response.json() == {"detail": "Authentication credentials were not provided."}


def test_formats_are_offered(cvat: CvatUnderTest) -> None:
    with cvat.client() as client:
        listed, _ = client.api_client.server_api.retrieve_annotation_formats()
    exporters = {item.name for item in listed.exporters}
    assert exporters >= NAMED
    assert "TFRecord 1.0" not in exporters
    assert "CVAT 1.1" in {item.name for item in listed.importers}


def test_the_list_of_formats(each_cvat: CvatUnderTest) -> None:
    with each_cvat.client() as client:
        headers = each_cvat.signed_in(client)
        listed = each_cvat.http("GET", "/api/server/annotation/formats", headers=headers).json()
    keys = {"name", "ext", "version", "enabled", "dimension"}
    assert all(set(item) >= keys for items in listed.values() for item in items)
    new = {"name": "Generic TSV 1.0", "ext": "TSV", "version": "1.0", "enabled": True, "dimension": "1d"}
    if each_cvat.version == (2, 73):
        assert (len(listed["exporters"]), len(listed["importers"])) == (33, 31)
        assert new in listed["exporters"]
        assert new in listed["importers"]
    elif each_cvat.version == (2, 54):
        assert (len(listed["exporters"]), len(listed["importers"])) == (32, 30)
        assert new["name"] not in {item["name"] for item in listed["exporters"] + listed["importers"]}


def test_unknown_paths_are_not_found(cvat: CvatUnderTest) -> None:
    assert cvat.http("GET", "/api/no-such-resource").status == 404


def test_listings_are_pages(cvat: CvatUnderTest) -> None:
    project_id = cvat.new_project("cat")
    listed = json.loads(cvat.cli("project", "ls", "--json"))
    (mine,) = [project for project in listed if project["id"] == project_id]
    assert mine["tasks"]["count"] == 0
    assert mine["url"].endswith(f"/api/projects/{project_id}")
    assert mine["dimension"] is None
    assert str(project_id) in cvat.cli("project", "ls").split()
