#!/usr/bin/env bash
# Pushes the branch of a bundle that `make template-update bundle=FILE` has made, and opens its merge request.
# It holds the token, so it runs git alone, and nothing of what is in the bundle.
set -euo pipefail

fail() {
    echo "$1" >&2
    exit 1
}

if [[ ! -e $1 ]]; then
    echo "nothing to do: there is no newer version of the template"
    exit 0
fi

# A job's own token may not push.
[[ -n ${TEMPLATE_UPDATE_TOKEN:-} ]] ||
    fail "set the masked variable TEMPLATE_UPDATE_TOKEN: a project access token with the scope write_repository"

# The bundle was made beside code of the new release: it may bring one commit on top of this one, on one branch.
read -r _ ref < <(git bundle list-heads "$1")
branch=${ref#refs/heads/}
[[ $branch =~ ^template-update/v?[0-9]+(\.[0-9]+)+$ ]] || fail "$1 has no branch template-update/VERSION"
git -c fetch.fsckObjects=true fetch --quiet --no-tags "$1" "$ref:$ref"
[[ $(git rev-parse "$ref^@") == $(git rev-parse HEAD) ]] || fail "$branch is not one commit on top of $(git rev-parse HEAD)"

# shellcheck disable=SC2016 # the shell that git starts reads the token, and no list of processes shows it
helper='!f() { echo username=oauth2; echo "password=$TEMPLATE_UPDATE_TOKEN"; }; f'
remote() { git -c credential.helper= -c credential.helper="$helper" "$@"; }

if [[ -n $(remote ls-remote --heads "$CI_PROJECT_URL.git" "$ref") ]]; then
    echo "nothing to do: the branch $branch is there; delete it to have it made again"
    exit 0
fi
title=$(git log -1 --format=%s "$ref")
body=$(git log -1 --format=%b "$ref")
# A push option is one line; GitLab makes lines of \n again.
options=(--push-option=merge_request.create "--push-option=merge_request.target=$CI_DEFAULT_BRANCH"
    --push-option=merge_request.remove_source_branch "--push-option=merge_request.title=$title"
    "--push-option=merge_request.description=${body//$'\n'/\\n}")
draft=()
if [[ $title == *" to settle" ]]; then
    draft=(--push-option=merge_request.draft)
fi
remote push --quiet "${options[@]}" "${draft[@]}" "$CI_PROJECT_URL.git" "$ref:$ref"
[[ -z ${draft[*]} ]] # a draft, and a red job, where something is to settle
