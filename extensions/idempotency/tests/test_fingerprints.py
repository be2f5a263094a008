"""Fingerprints of requests: a change of meaning counts, and a change of encoding does not."""

import hashlib
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from sqlalchemy import text

from app.core.component import Component, State
from app.core.database import Database
from app.extensions.idempotency.fingerprint import Fingerprint
from app.extensions.idempotency.store import KEYS
from tests.answers import content
from tests.conftest import Start

pytestmark = pytest.mark.anyio
DEEDS = "/api/v1/deeds"
BODY = b'{"name":"paint"}'
UPLOAD = (
    b"--%(boundary)s\r\n"
    b'Content-Disposition: form-data; name="file"; filename="%(name)s"\r\n'
    b"Content-Type: text/plain\r\n\r\n"
    b"\r\n--bo\r\n%(text)s\r\n"
    b"--%(boundary)s--\r\n"
)


@pytest.fixture
async def client(start: Start, deeds: Component) -> httpx2.AsyncClient:
    """A client of a service with deeds."""
    return await start(extra=[deeds])


async def put(client: httpx2.AsyncClient, *, name: str = "paint", **headers: str) -> httpx2.Response:
    """Send a request with one key: `put(client, If_Match="...")`."""
    named = {header.replace("_", "-"): value for header, value in headers.items()}
    sent = {"Idempotency-Key": "key-1", "Content-Type": "application/json", **named}
    return await client.put(f"{DEEDS}/put", content=BODY.replace(b"paint", name.encode()), headers=sent)


async def upload(
    client: httpx2.AsyncClient, boundary: bytes, *, name: bytes = b"a.txt", text: bytes = b"abc", size: int = 1000
) -> httpx2.Response:
    """Send a file with one key, in parts of so many bytes."""
    body = UPLOAD % {b"boundary": boundary, b"name": name, b"text": text}

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    kind = f'multipart/form-data; boundary="{boundary.decode()}"'
    return await client.post(
        f"{DEEDS}/stream", content=parts(), headers={"Idempotency-Key": "key-1", "Content-Type": kind}
    )


@pytest.mark.parametrize(
    ("header", "value", "other"),
    [
        ("If_Match", '"1"', '"2"'),
        ("If_None_Match", "*", '"2"'),
        ("If_Modified_Since", "Sat, 31 Jan 2026 12:00:00 GMT", "Sat, 31 Jan 2026 12:00:01 GMT"),
        ("If_Unmodified_Since", "Sat, 31 Jan 2026 12:00:00 GMT", "Sat, 31 Jan 2026 12:00:01 GMT"),
        ("Content_Type", "application/json; charset=utf-8", "application/merge-patch+json"),
        ("Content_Encoding", "identity", "x-other"),
        ("Content_Language", "de", "fr"),
        ("Content_Range", "bytes 0-15/16", "bytes 0-15/32"),
    ],
)
async def test_a_header_that_changes_the_meaning_counts(
    client: httpx2.AsyncClient, header: str, value: str, other: str
) -> None:
    for _ in range(2):
        assert content(await put(client, **{header: value}))["times"] == 1
    for headers in ({header: other}, {}):
        answer = await put(client, **headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


async def test_a_header_that_is_added_counts(client: httpx2.AsyncClient) -> None:
    await put(client)
    assert (await put(client, If_Match='"1"')).status_code == 422


async def test_headers_that_only_shape_the_answer_do_not_count(client: httpx2.AsyncClient) -> None:
    await put(client, Accept="application/json", Accept_Language="de", User_Agent="a", X_Correlation_ID="a" * 32)
    again = await put(client, Accept="*/*", Accept_Language="fr", User_Agent="b", X_Correlation_ID="b" * 32)
    assert again.headers["idempotency-replayed"] == "true"


async def test_the_spelling_of_a_media_type_does_not_count(client: httpx2.AsyncClient) -> None:
    await put(client, Content_Type="application/json; charset=utf-8")
    for spelling in ("Application/JSON;charset=UTF-8", 'application/json; Charset="utf-8"'):
        assert (await put(client, Content_Type=spelling)).headers["idempotency-replayed"] == "true"


async def test_a_header_that_the_settings_name_counts(start: Start, deeds: Component) -> None:
    client = await start(extra=[deeds], idempotency={"headers": "X-Tenant"})
    await put(client, X_Tenant="a")
    assert (await put(client, X_Tenant="a")).headers["idempotency-replayed"] == "true"
    assert (await put(client, X_Tenant="b")).status_code == 422


async def test_a_path_is_the_same_however_it_is_encoded(client: httpx2.AsyncClient) -> None:
    await put(client)
    sent = {"Idempotency-Key": "key-1", "Content-Type": "application/json"}
    again = await client.put("/api/v1/%64eeds/put", content=BODY, headers=sent)
    assert again.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_an_upload_is_the_same_with_another_boundary(client: httpx2.AsyncClient, size: int) -> None:
    assert (await upload(client, b"bound-1", size=1000)).status_code == 200
    for boundary in (b"bound-1", b"a-longer-boundary", b"c"):
        again = await upload(client, boundary, size=size)
        assert again.headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize(
    ("name", "text"), [(b"b.txt", b"abc"), (b"a.txt", b"abd"), (b"a.txt", b"ab\r\n--c"), (b"a.txt", b"")]
)
async def test_another_upload_is_refused(client: httpx2.AsyncClient, name: bytes, text: bytes) -> None:
    await upload(client, b"bound-1")
    assert (await upload(client, b"bound-2", name=name, text=text)).status_code == 422


async def test_parts_that_are_divided_in_another_place_are_another_upload(client: httpx2.AsyncClient) -> None:
    bodies = (b"--b\r\n\r\na\r\n--b\r\n\r\nc\r\n--b--\r\n", b"--d\r\n\r\na\r\n--b\r\n\r\nc\r\n--d--\r\n")
    statuses = []
    for body, boundary in zip(bodies, "bd", strict=True):
        sent = {"Idempotency-Key": "key-1", "Content-Type": f"multipart/form-data; boundary={boundary}"}
        statuses.append((await client.post(f"{DEEDS}/stream", content=body, headers=sent)).status_code)
    assert statuses == [200, 422]


async def test_keys_of_release_0_3_2_are_known_to_the_next_one(start: Start, deeds: Component) -> None:
    opened: list[Database] = []

    @asynccontextmanager
    async def watch(state: State) -> AsyncIterator[State]:
        opened.append(state["database"])
        yield {}

    client = await start(extra=[deeds, Component(name="watch", lifespan=watch)])

    async def leave_as_before(**values: object) -> None:
        former = hashlib.sha256(BODY).hexdigest()  # after the query, which is empty
        async with opened[0].engine.begin() as connection:
            await connection.execute(KEYS.update().values(fingerprint=former, **values))

    assert content(await put(client, If_Match='"1"'))["times"] == 1
    await leave_as_before()
    assert (await put(client, If_Match='"1"')).headers["idempotency-replayed"] == "true"
    assert (await put(client, name="sand", If_Match='"1"')).status_code == 422
    # One that was killed: it is carried out, and its key is one of this release from then on.
    await leave_as_before(done=False, lease=0, status=None)
    assert content(await put(client, If_Match='"1"'))["times"] == 2
    assert (await put(client, If_Match='"2"')).status_code == 422
    async with opened[0].read() as connection:
        assert (await connection.execute(text(f"SELECT count(*) FROM {KEYS.name}"))).scalar_one() == 1  # noqa: S608


@pytest.mark.parametrize(
    "kind",
    [
        "",
        ";",
        "multipart",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary="',
        "multipart/form-data; boundary*=utf-8''%E2%82%AC",
        "multipart/form-data; boundary*0=a; boundary*1=b; charset*=utf-8''%FF",
        "a/b; charset; =; ==",
        "\xff/\xfe; charset=\xfd",
    ],
)
def test_a_media_type_that_makes_no_sense_is_as_good_as_any(kind: str) -> None:
    def digest(value: bytes, body: bytes) -> str:
        fingerprint = Fingerprint({"headers": [(b"content-type", value)]})
        fingerprint.update(body)
        return fingerprint.digest()

    value = kind.encode("latin-1")
    assert digest(value, b"a") == digest(value, b"a") != digest(value, b"b")


def test_an_upload_is_not_held() -> None:
    fingerprint = Fingerprint({"headers": [(b"content-type", b"multipart/form-data; boundary=b")]})
    data = bytes(64 * 1024)
    tracemalloc.start()
    for _ in range(160):  # 10 MiB
        fingerprint.update(data)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1024 * 1024
