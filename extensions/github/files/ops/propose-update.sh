#!/usr/bin/env bash
# Pushes the branch that `make template-update` has made, and opens its pull request: a draft where something is to settle.
set -euo pipefail

# The run's own token may not push changes of workflows, and what it opens starts none.
if [[ ${TOKEN_IS_SET:-false} != true ]]; then
    echo "set the secret TEMPLATE_UPDATE_TOKEN: a token that may write contents, pull requests and workflows" >&2
    exit 1
fi

draft=()
if ((UNSETTLED)); then
    draft=(--draft)
fi
git push --quiet origin "$BRANCH"
# The branch hides the version from the next run: it goes where its pull request cannot be opened.
if ! gh pr create --head "$BRANCH" --title "$TITLE" --body-file "$REPORT" "${draft[@]}"; then
    git push --quiet --delete origin "$BRANCH"
    exit 1
fi
