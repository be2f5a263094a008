#!/usr/bin/env bash
# Pushes the branch that `make template-update` has made, and opens its merge request: a draft where something is to settle.
set -euo pipefail

# A job's own token may not push.
if [[ -z ${TEMPLATE_UPDATE_TOKEN:-} ]]; then
    echo "set the masked variable TEMPLATE_UPDATE_TOKEN: a project access token with the scope write_repository" >&2
    exit 1
fi

options=(--push-option=merge_request.create "--push-option=merge_request.target=$CI_DEFAULT_BRANCH"
    --push-option=merge_request.remove_source_branch "--push-option=merge_request.title=$TITLE")
if ((UNSETTLED)); then
    options+=(--push-option=merge_request.draft)
fi
# A push option is one line; GitLab makes lines of \n again.
body=$(<"$REPORT")
options+=("--push-option=merge_request.description=${body//$'\n'/\\n}")

# shellcheck disable=SC2016 # the shell that git starts reads the token, and no list of processes shows it
helper='!f() { echo username=oauth2; echo "password=$TEMPLATE_UPDATE_TOKEN"; }; f'
git -c credential.helper= -c credential.helper="$helper" push --quiet "${options[@]}" "$CI_PROJECT_URL.git" "$BRANCH"
