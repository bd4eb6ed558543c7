"""What the clients rely on where images lie in a bucket; whether a server has one or not."""

from tests.support.cvat_under_test import CvatUnderTest

NOBODYS = 987_654_321


def test_a_storage_that_is_not_there_is_404(cvat: CvatUnderTest) -> None:
    with cvat.client() as client:
        answer = cvat.http("GET", f"/api/cloudstorages/{NOBODYS}", headers=cvat.signed_in(client))
    assert (answer.status, answer.json()) == (404, {"detail": "No CloudStorage matches the given query."})


def test_storages_are_listed_page_by_page(cvat: CvatUnderTest) -> None:
    with cvat.client() as client:
        answer = cvat.http("GET", "/api/cloudstorages", headers=cvat.signed_in(client))
    assert answer.status == 200
    assert {"count", "next", "previous", "results"} <= set(answer.json())


def test_nobody_lists_a_bucket_without_signing_in(cvat: CvatUnderTest) -> None:
    assert cvat.http("GET", f"/api/cloudstorages/{NOBODYS}/content-v2").status == 401
