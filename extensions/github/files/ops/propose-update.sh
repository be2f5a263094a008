#!/usr/bin/env bash
# Pushes the branch of a bundle that `make template-update bundle=FILE` has made, and opens its pull request.
# It holds the token, so it runs git and gh alone, and nothing of what is in the bundle.
set -euo pipefail

fail() {
    echo "$1" >&2
    exit 1
}

# The run's own token may not push changes of workflows, and what it opens starts none.
[[ -n ${GH_TOKEN:-} ]] ||
    fail "set the secret TEMPLATE_UPDATE_TOKEN: a token that may write contents, pull requests and workflows"

# The bundle was made beside code of the new release: it may bring one commit on top of this one, on one branch.
read -r _ ref < <(git bundle list-heads "$1")
branch=${ref#refs/heads/}
[[ $branch =~ ^template-update/v?[0-9]+(\.[0-9]+)+$ ]] || fail "$1 has no branch template-update/VERSION"
git -c fetch.fsckObjects=true fetch --quiet --no-tags "$1" "$ref:$ref"
[[ $(git rev-parse "$ref^@") == $(git rev-parse HEAD) ]] || fail "$branch is not one commit on top of $(git rev-parse HEAD)"

if [[ -n $(git ls-remote --heads origin "$ref") ]]; then
    echo "nothing to do: the branch $branch is there; delete it to have it made again"
    exit 0
fi
title=$(git log -1 --format=%s "$ref")
report=$(mktemp)
printf '%s\n' "$(git log -1 --format=%b "$ref")" >"$report"
draft=()
if [[ $title == *" to settle" ]]; then
    draft=(--draft)
fi
git push --quiet origin "$ref:$ref"
# The branch hides the version from the next run: it goes where its pull request cannot be opened.
if ! gh pr create --head "$branch" --title "$title" --body-file "$report" "${draft[@]}"; then
    git push --quiet --delete origin "$ref"
    exit 1
fi
[[ -z ${draft[*]} ]] # a draft, and a red run, where something is to settle
