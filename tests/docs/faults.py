"""The faults that the pages of a service speak of, and the test that shows each.

A path below `core/` is a test of the service itself, in template/tests/core/. One that begins with the name of an
extension is a test of that extension in the service, and all others are tests of this repository, below tests/.
"""

EVERY_SERVICE = {
    "the service is killed (`kill -9`)": "live/test_lifecycle::test_being_killed_loses_no_committed_order",
    "a client sends its headers too slowly": "live/test_hostile_clients::test_slow_headers_are_let_go",
    "a client sends its body too slowly": "live/test_hostile_clients::test_a_slow_body_is_let_go",
    "a client does not take its answer": "live/test_hostile_clients::test_a_slow_reader_is_let_go",
    "a body is too large": "live/test_hostile_clients::test_a_large_body_is_refused_before_it_is_read",
    "a route takes too long": "core/test_limits::test_a_request_that_takes_too_long_is_given_up",
    "the code fails": "core/test_problems::test_an_unexpected_error_is_a_500_that_says_nothing_internal",
    "standard output takes no more lines": "live/test_logs::test_a_reader_that_goes_away_costs_lines_and_no_request",
    "many write at once": "live/test_outage::test_fifty_concurrent_writers_lose_nothing",
    "another process holds the file's lock": "live/test_outage::test_a_file_that_somebody_else_locks_is_a_503",
    "the disk is full": "docs/test_operations::test_a_file_that_cannot_grow_refuses_writes_and_recovers",
    "the server is gone, or takes no more connections": "live/test_outage::test_a_server_that_is_gone_is_a_503_at_once",
    "the server is frozen": "live/test_outage::test_a_frozen_server_costs_three_seconds_at_most",
    "idle connections are cut": "live/test_outage::test_connections_that_were_cut_while_idle_are_never_used",
    "all connections are in use": "live/test_outage::test_a_full_pool_is_a_503_in_time",
    "a statement takes too long": "live/test_outage::test_a_statement_that_takes_too_long_is_given_up",
}

OF_AN_EXTENSION: dict[str, dict[str, str]] = {}
