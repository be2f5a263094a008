"""The failures that the pages of a service list, and the test that shows each.

A path below `core/` is in tests/service/core/, and one below the name of a database in its folder there. One below the
name of an extension is in that extension's tests/. All others are in tests/.
"""

EVERY_SERVICE = {
    "the service is killed (`kill -9`)": "live/test_lifecycle::test_being_killed_loses_no_committed_order",
    "a request is given up, or its client leaves, while it commits": "core/test_transactions::"
    "test_a_commit_that_has_begun_is_not_given_up",
    "the code catches the error of a statement and goes on": "core/test_follow_ups::"
    "test_a_caught_error_stores_all_or_nothing_of_the_rest",
    "a follow-up of a commit fails": "core/test_follow_ups::"
    "test_a_follow_up_that_fails_keeps_no_other_from_being_called",
    "the connection is lost, or the server does not answer, during a COMMIT": "postgres/test_postgres_commits::"
    "test_a_connection_that_is_lost_at_the_commit_is_an_unknown_outcome",
    "the file is removed or replaced while the service runs": "sqlite/test_sqlite_file::"
    "test_a_file_that_is_no_longer_the_one_that_was_opened_takes_no_writes",
    "the file is replaced by one of an older revision": "sqlite/test_sqlite_file::"
    "test_a_database_that_was_replaced_by_an_older_one_is_not_ready",
    "a client sends its headers too slowly": "live/test_hostile_clients::test_slow_headers_are_let_go",
    "a client sends headers without end": "live/test_hostile_clients::"
    "test_what_is_malformed_is_a_4xx_of_the_one_format",
    "a client sends its body too slowly": "live/test_hostile_clients::test_a_slow_body_is_let_go",
    "a client does not take its answer": "live/test_hostile_clients::test_a_slow_reader_is_let_go",
    "a body is too large": "live/test_hostile_clients::test_a_large_body_is_refused_before_it_is_read",
    "a route takes too long": "core/test_limits::test_a_request_that_takes_too_long_is_given_up",
    "a background task takes longer than that": "live/test_answers::"
    "test_a_background_task_may_take_longer_than_a_request",
    "a WebSocket message is too large": "core/test_websocket_limits::"
    "test_a_message_that_is_too_large_is_1009_and_the_client_learns_it",
    "a WebSocket client answers no ping": "core/test_websocket_limits::test_a_client_that_answers_no_ping_is_1011",
    "a background task fails": "live/test_answers::"
    "test_a_background_task_that_fails_is_logged_and_the_connection_serves_on",
    "the code fails": "core/test_problems::test_an_unexpected_error_is_a_500_that_says_nothing_internal",
    "a migration fails, or is killed": "live/test_migration_rows::test_a_migration_that_is_killed_changes_nothing",
    "a revision would lose rows or values": "live/test_migration_rows::"
    "test_every_row_is_there_after_a_revision_and_back",
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

OF_AN_EXTENSION = {
    "redis": {
        "the server is gone, frozen, or refuses to store": "extensions/test_redis::"
        "test_the_server_goes_and_comes_back_under_load",
        "something changes meanwhile": "redis/test_invalidation::"
        "test_what_was_to_be_forgotten_during_an_outage_is_forgotten_after_it",
        "the service starts again meanwhile": "extensions/test_redis::"
        "test_what_changed_during_an_outage_is_new_though_the_service_started_again",
        "a process starts": "redis/test_start::test_a_start_voids_what_is_stored",
        "the outcome of a commit is unknown": "redis/test_transactions::"
        "test_it_is_also_forgotten_if_the_outcome_of_the_commit_is_unknown",
        "the server starts again, empty": "extensions/test_redis::test_the_server_goes_and_comes_back_under_load",
        "the server is full": "redis/test_outage::test_a_server_that_refuses_to_store_is_as_good_as_none",
        "a process is killed while it loads": "extensions/test_redis::"
        "test_a_process_that_is_killed_while_it_loads_leaves_the_load_to_another",
        "the server loses a lock: it starts again, or is full": "redis/test_locks::"
        "test_a_lock_that_the_server_lost_is_logged",
        "a release changes what is stored": "redis/test_values::"
        "test_an_entry_that_cannot_be_read_is_loaded_with_one_warning",
        "a function returns what JSON cannot carry": "redis/test_values::"
        "test_a_value_that_json_would_change_is_not_stored",
    },
    "sentry": {
        "Sentry is down, frozen, or answers nonsense": "extensions/test_sentry::"
        "test_whatever_becomes_of_sentry_requests_and_the_stop_do_not_wait",
        "the service stops meanwhile": "extensions/test_sentry::test_what_failed_last_is_sent_before_the_process_ends",
    },
    "tracing": {
        "the collector is down, frozen, or refuses spans": "extensions/test_tracing::"
        "test_whatever_becomes_of_the_collector_requests_and_the_stop_do_not_wait",
        "it is back": "extensions/test_tracing::test_a_collector_that_was_frozen_gets_what_comes_after",
        "the service stops meanwhile": "extensions/test_tracing::"
        "test_what_was_recorded_last_is_sent_before_the_process_ends",
    },
    "rate_limit": {
        "a client sends too much": "rate_limit/test_limits::test_a_refusal_is_a_problem_that_says_when_to_come_again",
        "all clients are refused at once": "rate_limit/test_limits::test_each_address_is_counted_for_itself",
        "the storage is gone, frozen or full": "extensions/test_rate_limit::"
        "test_without_the_storage_the_limit_holds_in_each_process_until_it_is_back",
    },
    "uploads": {
        "the disk is full": "extensions/test_uploads::test_a_disk_that_is_full_is_507_and_the_service_serves_on",
        "the directory or the store is gone, frozen or refuses": "uploads/test_bucket::"
        "test_a_store_that_is_gone_is_503_and_used_again_when_it_is_back",
        "a client goes away, stands still or sends too much": "extensions/test_uploads::"
        "test_a_slow_upload_has_its_time_and_a_client_that_stands_still_has_not",
        "a process is killed while files come in": "extensions/test_uploads::"
        "test_a_process_that_is_killed_leaves_nothing_that_the_next_does_not_remove",
    },
    "outbound": {
        "another service is down, frozen or fails": "extensions/test_outbound::"
        "test_another_service_that_is_gone_or_stands_still_is_left_alone_until_it_is_back",
    },
    "worker": {
        "a worker is killed (`kill -9`)": "extensions/test_worker::"
        "test_what_a_killed_worker_was_doing_is_done_by_another_one",
        "a worker meets a job that it does not know, as an old one does during a rollout": "extensions/test_worker::"
        "test_a_job_that_an_older_worker_does_not_know_is_done_by_a_newer_one",
        "a worker cannot read the arguments of a job, which another release enqueued": "worker/test_releases::"
        "test_arguments_that_cannot_be_read_are_told_with_their_cause_and_kept",
        "the clocks of workers differ": "extensions/test_worker::"
        "test_each_time_of_a_schedule_begins_one_run_though_clocks_differ",
        "no worker runs": "worker/test_status::test_operators_see_what_waits_and_who_works",
        "the server of `WORKER__URL` is away, or frozen": "extensions/test_worker::"
        "test_a_frozen_server_is_said_in_time_and_used_again_when_it_goes_on",
        "the service's own PostgreSQL is away, and jobs wait in it": "extensions/test_worker::"
        "test_a_frozen_server_is_said_in_time_and_used_again_when_it_goes_on",
        "the server of the queue starts again": "extensions/test_worker::"
        "test_no_job_is_lost_when_the_server_of_the_queue_is_killed",
        "a job fails for good": "worker/test_running::test_after_its_last_try_it_is_kept_until_somebody_tries_it_again",
    },
    "idempotency": {
        "a process is killed before its commit": "extensions/test_idempotency::"
        "test_a_process_that_is_killed_before_its_commit_leaves_the_key_free",
        "a process is killed after its commit": "extensions/test_idempotency::"
        "test_a_process_that_is_killed_after_its_commit_has_done_it_for_good",
        "the database is away": "idempotency/test_keys::test_a_503_leaves_the_key_free",
        "it goes between the commit and the keeping of the answer": "idempotency/test_store::"
        "test_an_answer_that_cannot_be_kept_is_given_all_the_same",
        "it is unknown whether a commit was carried out (504)": "extensions/test_idempotency_outcomes::"
        "test_while_nothing_is_decided_a_repetition_waits_its_turn",
    },
    "log_files": {
        "the folder cannot be made or written at the start": "log_files/test_service::"
        "test_a_folder_that_cannot_be_written_is_refused_in_one_line",
        "the disk is full, at the start or later": "extensions/test_log_files::"
        "test_a_full_disk_costs_no_request_and_what_waits_is_written_later",
        "a process is killed": "extensions/test_log_files::"
        "test_a_process_that_is_killed_loses_its_last_moment_and_nothing_of_the_others",
        "it is killed while it compresses": "log_files/test_tidying::test_what_a_crash_left_half_done_is_done_again",
        "a file is removed or moved": "log_files/test_file::test_a_file_that_somebody_removes_is_made_again",
    },
    "audit": {
        "the disk is full, or the file cannot be written to": "extensions/test_audit::"
        "test_a_disk_that_is_full_costs_no_request_and_no_record",
        "the service stops meanwhile": "extensions/test_audit::"
        "test_two_processes_write_one_chain_and_their_stop_writes_the_rest",
        "a process is killed (`kill -9`)": "extensions/test_audit::"
        "test_a_process_that_is_killed_loses_what_was_gathered_last_and_the_chain_goes_on",
        "the power goes": "audit/test_trail::test_a_batch_is_one_write",
        "an attack makes a great many events": "audit/test_outage::test_what_has_no_room_in_memory_is_in_the_log",
    },
    "systemd": {
        "an upgrade, while requests come in": "delivery/test_topology::test_an_upgrade_under_load_fails_no_request",
        "a new release does not become ready": "delivery/test_systemd::"
        "test_a_release_that_does_not_become_ready_is_taken_back",
        "a migration fails": "delivery/test_systemd::test_a_migration_that_fails_restarts_nothing",
        "an instance is killed": "delivery/test_topology::test_one_instance_serves_alone_and_without_any_it_is_said",
        "no instance is ready": "delivery/test_topology::test_one_instance_serves_alone_and_without_any_it_is_said",
    },
    "docker": {
        "the container is not ready": "delivery/test_image::test_the_health_check_fails_while_the_service_is_not_ready",
        "the container is replaced": "delivery/test_docker_proxy::"
        "test_the_proxy_waits_for_the_service_tells_who_calls_and_hides_what_is_for_operators",
        "a secret or the domain is missing at the start": "delivery/test_docker_production::"
        "test_a_missing_secret_and_a_missing_lock_file_are_one_line",
    },
}
