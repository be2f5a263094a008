"""Everything that a caller can make grow, as the pages of a service list it, and the test that reaches each bound.

The paths are like those in faults.py.
"""

BOUNDS = {
    "connections": "core/test_server::test_a_connection_too_many_is_closed_and_the_others_are_served",
    "headers, trailers": "live/test_hostile_clients::test_trailers_without_end_are_cut_off",
    "requests sent ahead": "live/test_hostile_clients::test_requests_sent_far_ahead_of_their_answers_are_cut_off",
    "body": "live/test_hostile_clients::test_a_large_body_without_a_length_is_refused_on_the_way",
    "request": "core/test_limits::test_a_request_that_takes_too_long_is_given_up",
    "response": "live/test_hostile_clients::test_a_slow_reader_is_let_go",
    "background tasks": "core/test_streams::test_a_background_task_is_cancelled_after_its_limit_with_a_line",
    "WebSockets": "core/test_websockets::test_a_socket_too_many_is_503_and_a_slow_handshake_too",
    "wait for the database": "core/test_pool::test_who_waits_too_long_is_told_that_the_database_is_busy",
    "errors of a request": "core/test_problems::test_a_thousand_mistakes_are_answered_with_fifty",
    "rows of a page": "core/test_pagination::test_pages_have_bounds",
    "path in a log": "core/test_redaction::test_a_long_path_is_cut_off",
    "counted clients": "rate_limit/test_windows::test_the_number_of_clients_in_memory_is_bounded",
    "remembered credentials": "rate_limit/test_owners::test_a_bounded_number_of_credentials_is_remembered",
    "kept answers": "idempotency/test_keys::test_an_answer_that_is_too_large_is_not_kept_and_nothing_is_done_again",
    "files": "uploads/test_hostile::test_more_than_may_come_at_once_is_refused_whole",
    "waiting audit records": "audit/test_outage::test_what_has_no_room_in_memory_is_in_the_log",
    "waiting lines": "log_files/test_file::test_what_has_no_place_in_the_backlog_is_counted",
    "waiting spans": "tracing/test_outage::test_a_bounded_number_of_spans_waits",
    "reported errors": "sentry/test_reports::test_of_a_storm_of_errors_the_first_of_each_second_are_sent",
    "parallel calls": "outbound/test_client::test_so_many_calls_at_a_time_and_the_rest_wait_so_long",
    "cached entries": "redis/test_cache::test_times_to_live_differ_and_are_never_longer_than_asked",
}
