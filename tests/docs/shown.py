"""Each command of a service's pages with the test that runs it, or with what it needs that no test has."""

TESTED = {
    # Every service
    "make setup": "docs/test_readme::test_the_first_screen_scaffolds_and_the_next_command_passes",
    "make check": "docs/test_readme::test_the_first_screen_scaffolds_and_the_next_command_passes",
    "make test": "docs/test_readme::test_the_first_screen_scaffolds_and_the_next_command_passes",
    "make dev": "docs/test_readme::test_the_outputs_are_the_real_ones",
    "curl -i http://127.0.0.1:8000/health/ready": "docs/test_readme::test_the_outputs_are_the_real_ones",
    'make feature name=notes fields="text:str"': "docs/test_extending::test_a_slice_is_added_as_the_page_says",
    'make migration m="add notes"': "docs/test_extending::test_a_slice_is_added_as_the_page_says",
    "make migrate": "docs/test_extending::test_a_slice_is_added_as_the_page_says",
    "uvx copier update --defaults": "docs/test_pages::test_an_update_is_taken_as_the_page_says",
    'uvx copier update --defaults --vcs-ref=:current: --data "extensions=[...]"': (
        "docs/test_pages::test_an_update_is_taken_as_the_page_says"
    ),
    # Extensions
    'make api-key client=billing scopes="notes:read notes:write" days=365': (
        "docs/test_commands::test_a_key_is_made_as_the_guide_says"
    ),
    'uv run python -c "import jwt, ..."': "docs/test_commands::test_a_token_for_trying_out_is_made_as_the_guide_says",
    "curl -F files=@report.pdf -F files=@photo.png http://127.0.0.1:8000/api/v1/documents": (
        "docs/test_commands::test_files_are_sent_as_the_guide_says"
    ),
    # Delivery
    'make load ARGS="--host http://127.0.0.1:8000 --users 64 --run-time 60s --min-rate 500 --max-p95 100"': (
        "delivery/test_load::test_the_sample_is_read_and_written_and_the_report_shows_it"
    ),
    "sudo ops/systemd/install.sh --domain api.example.com": (
        "delivery/test_systemd::test_it_serves_and_another_run_changes_only_what_has_changed"
    ),
    "sudo ops/systemd/install.sh": (
        "delivery/test_systemd::test_it_serves_and_another_run_changes_only_what_has_changed"
    ),
    "make overlay name=production host=api.example.org image=registry.example.org/my-service:1.0.0 "
    "gateway=10.0.3.0/24": ("delivery/test_kubernetes_deploying::test_an_overlay_is_whole_and_valid"),
    "make deploy name=production": (
        "delivery/test_kubernetes_deploying::test_the_database_is_migrated_before_anything_is_rolled_out"
    ),
    **dict.fromkeys(
        (
            "sudo systemctl start my-service-backups",
            "sudo systemctl start my-service-drill",
            "sudo systemctl stop my-service@8000 my-service@8001 my-service-worker",
            "sudo systemctl start my-service-restore@newest",
            "sudo systemctl restart my-service-migrate my-service@8000 my-service@8001 my-service-worker",
        ),
        "delivery/test_systemd_backups::test_backups_begin_with_the_installation_and_are_restored_as_the_page_says",
    ),
    **dict.fromkeys(
        (
            "export COMPOSE_FILE=compose.production.yaml",
            "docker compose down",
            "docker compose up --detach --wait redis queue",
            "docker compose up --detach --wait postgres redis",
            "docker compose run --rm --no-deps backups python -m ops list",
            "docker compose run --rm --no-deps backups python -m ops restore",
            "docker compose run --rm --no-deps app python -m app.extensions.audit restored",
        ),
        "delivery/test_backup_drills::test_the_steps_for_compose_restore_it_too",
    ),
    "python -m app.extensions.audit restored": (
        "delivery/test_backup_drills::test_after_a_restore_the_audit_log_verifies_and_has_a_record_of_it"
    ),
    "python -m ops backup": "delivery/test_backups::test_each_command_of_the_page_does_what_it_says",
    "python -m ops drill": "delivery/test_backups::test_each_command_of_the_page_does_what_it_says",
    "python -m ops key": "delivery/test_backups::test_each_command_of_the_page_does_what_it_says",
    "python -m ops list": "delivery/test_backups::test_each_command_of_the_page_does_what_it_says",
    "python -m ops restore": "delivery/test_backups::test_each_command_of_the_page_does_what_it_says",
    "python -m ops verify --all": "delivery/test_backups::test_each_command_of_the_page_does_what_it_says",
    "alembic upgrade head": "delivery/test_backups::test_each_command_of_the_page_does_what_it_says",
    "litestream replicate -config ops/backups/litestream.yml": (
        "delivery/test_recovery::test_a_file_goes_back_to_a_moment"
    ),
    (
        'litestream restore -config ops/backups/litestream.yml -timestamp "$MOMENT" -o var/restored.db'
        ' "$LITESTREAM_DATABASE"'
    ): "delivery/test_recovery::test_a_file_goes_back_to_a_moment",
    (
        "mkdir -p var/before && find var -maxdepth 1 -name 'service.db*' -exec mv {} var/before/ ';'"
        " && mv var/restored.db var/service.db"
    ): "delivery/test_recovery::test_a_file_goes_back_to_a_moment",
    (
        'pgbackrest --stanza=my-service --delta --type=time --target="$MOMENT" --target-action=promote restore'
    ): "delivery/test_recovery::test_a_server_goes_back_to_a_moment",
    "pgbackrest --stanza=my-service --repo=2 --type=full backup": (
        "delivery/test_recovery::test_a_server_goes_back_on_a_machine_that_has_nothing"
    ),
    "pgbackrest --stanza=my-service --type=full backup": "delivery/test_recovery::test_a_server_goes_back_to_a_moment",
    "pgbackrest --stanza=my-service check": "delivery/test_recovery::test_a_server_goes_back_to_a_moment",
    "pgbackrest --stanza=my-service info": "delivery/test_recovery::test_a_server_goes_back_to_a_moment",
    "pgbackrest --stanza=my-service stanza-create": "delivery/test_recovery::test_a_server_goes_back_to_a_moment",
    "kubectl create job restore --from=cronjob/my-service-restore --namespace=my-service-production": (
        "delivery/test_kubernetes_restore::test_the_jobs_that_the_page_makes_restore_and_list"
    ),
    (
        "kubectl create job list --from=cronjob/my-service-backup --dry-run=client --output=yaml"
        " --namespace=my-service-production | sed 's/- backup$/- list/' | kubectl create --filename=-"
    ): "delivery/test_kubernetes_restore::test_the_jobs_that_the_page_makes_restore_and_list",
    (
        "kubectl create job restore --from=cronjob/my-service-restore --dry-run=client --output=yaml"
        ' --namespace=my-service-production | sed "s/- newest$/- $ID/" | kubectl create --filename=-'
    ): "delivery/test_kubernetes_restore::test_the_jobs_that_the_page_makes_restore_and_list",
    "make secrets": (
        "delivery/test_docker_production::test_secrets_are_random_closed_to_others_and_never_written_over"
    ),
    "sudo ops/systemd/install.sh --rollback --downgrade": (
        "delivery/test_systemd::test_an_upgrade_can_be_taken_back_and_the_service_be_removed"
    ),
}

HOSTED = {
    "echo DOMAIN=api.example.com >>.env": "a name that leads to the machine",
    "make production": "a container engine and a registry",
    "make image": "a container engine",
    "docker compose --file compose.production.yaml exec app alembic downgrade -1": "a container engine",
    (
        "docker run --rm my-service-ops:production python -m ops key"
        " | install --mode=444 /dev/stdin secrets/BACKUPS__KEY"
    ): "a container engine",
    "install --mode=444 /dev/stdin secrets/HEALTH__KEY": "a person who types the secret",
    "cp ops/kubernetes/secrets.env.example deploy/production/secrets.env": "a person who fills in the secrets",
    "cp ops/kubernetes/backups.env.example deploy/production/backups.env": "a person who fills in the secrets",
    (
        'export LITESTREAM_DATABASE="$PWD/var/service.db" LITESTREAM_REPLICA="file:///srv/replica"'
        ' LITESTREAM_ENDPOINT=""'
    ): "a folder below /srv; the test of the commands after it sets the same variables",
    "git pull": "a repository that has a newer version",
    "sudo install --mode=600 /dev/stdin /etc/my-service/secrets/HEALTH__KEY": "a machine of one's own",
    "kubectl create namespace my-service-production": "a cluster",
    "kubectl label namespace my-service-production pod-security.kubernetes.io/enforce=restricted": "a cluster",
    "kubectl label namespace gateway purpose=gateway": "a cluster",
    "kubectl label namespace monitoring purpose=monitoring": "a cluster",
    (
        "kubectl create secret generic my-service --namespace=my-service-production"
        " --from-env-file=deploy/production/secrets.env"
    ): "a cluster",
    (
        "kubectl create secret generic my-service-backups --namespace=my-service-production"
        " --from-env-file=deploy/production/backups.env"
    ): "a cluster",
    (
        "kubectl rollout undo deployment/my-service deployment/my-service-worker --namespace=my-service-production"
    ): "a cluster",
    (
        "kubectl scale deployment/my-service deployment/my-service-worker --replicas=0"
        " --namespace=my-service-production"
    ): "a cluster",
    (
        "kubectl scale deployment/my-service deployment/my-service-worker --replicas=1"
        " --namespace=my-service-production"
    ): "a cluster",
    (
        "kubectl exec deployment/my-service --namespace=my-service-production"
        " -- python -m app.extensions.audit restored"
    ): "a cluster",
    "kubectl logs job/restore --follow --namespace=my-service-production": "a cluster",
    "kubectl logs job/list --namespace=my-service-production": "a cluster",
    "kubectl delete job restore --namespace=my-service-production": "a cluster",
    "kubectl exec deployment/my-service --namespace=my-service-production -- alembic downgrade -1": "a cluster",
}
"""Commands that need a cluster, a registry, a machine of one's own or a hosted service, with the reason."""
