{% if place == "production" %}
[ -s secrets/BACKUPS__KEY ] ||
    fail "secrets/BACKUPS__KEY is empty: make a key as docs/deployment.md says, or write a blank line for backups that are not encrypted"
{% endif %}
