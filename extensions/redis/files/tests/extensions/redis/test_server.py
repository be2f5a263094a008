"""The server of `make dev` and `make run`: shared by all who use it at a time, and gone with the last of them."""

from pathlib import Path

from dev.servers import redis


def port_of(url: str) -> int:
    """The port of redis://127.0.0.1:1234/0."""
    return int(url.rpartition(":")[2].partition("/")[0])


def test_a_server_is_shared_and_stops_with_its_last_user(tmp_path: Path) -> None:
    first, second = redis.serve(tmp_path), redis.serve(tmp_path)
    url = first.__enter__()
    assert second.__enter__() == url
    first.__exit__(None, None, None)
    assert redis.answers(port_of(url))
    second.__exit__(None, None, None)
    assert not redis.answers(port_of(url))
    with redis.serve(tmp_path) as again:
        assert redis.answers(port_of(again))
    assert not redis.answers(port_of(again))
