# Yours to fill, as docs/deployment.md says: the key before the first start, the others for a bucket.
for name in BACKUPS__KEY BACKUPS__ACCESS_KEY BACKUPS__SECRET_KEY; do write "$name" ""; done
