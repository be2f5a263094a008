# Yours to fill, as docs/deployment.md says; one that is empty is as good as unset.
for name in BACKUPS__KEY BACKUPS__ACCESS_KEY BACKUPS__SECRET_KEY; do write "$name" ""; done
