{% from "extensions/docker" ~ "/deploy/compose.jinja" import gathered with context %}
{% set optional = gathered("optional", 0).split() %}
#!/bin/sh
# What compose.production.yaml needs: `secrets` writes what is missing below secrets/, `check` says what is missing.
set -eu
cd "$(dirname "$0")/../.."
umask 077

# The folder is closed to others on this machine, so its files may be open: each container reads them as a user of its own.
write() { # NAME VALUE: never over one that is there
    [ ! -e "secrets/$1" ] || return 0
    (umask 222 && printf '%s' "$2" >"secrets/.new")
    mv "secrets/.new" "secrets/$1"
    echo "wrote secrets/$1"
}
random() { # NAME: 256 bits that any URL can hold
    write "$1" "$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"
}
value() { cat "secrets/$1"; }
fail() {
    echo "$1" >&2
    exit 2
}

secrets() {
    mkdir -p secrets
    chmod 700 secrets
    rm -f secrets/.new
{% set lines = gathered("secrets.sh", 4) %}
{% if lines %}
{{ lines }}
{% endif %}
{% if optional %}
    # Yours to fill; one that is empty is as good as unset.
{% for name in optional %}
    write {{ name }} ""
{% endfor %}
{% endif %}
{% if not lines and not optional %}
    echo "nothing here needs a secret yet"
{% endif %}
}

{% if gathered("secrets", 0) %}
written() { # NAME
    [ -s "secrets/$1" ] || fail "secrets/$1 is missing or empty: \`make secrets\` writes it"
}

{% endif %}
{% if optional or gathered("secrets", 0, place="production") != gathered("secrets", 0) %}
there() { # NAME: it may be empty
    [ -e "secrets/$1" ] || fail "secrets/$1 is missing: \`make secrets\` writes it, for you to fill"
}

{% endif %}
check() {
    domain=${DOMAIN:-$(sed -n 's/^DOMAIN=//p' .env 2>/dev/null | tail -n 1)}
    [ -n "$domain" ] || fail "DOMAIN is not set: put DOMAIN=api.example.com, the name of this machine, into .env"
    label='[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?'
    echo "$domain" | grep -qxE "localhost|($label\.)+[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])" ||
        fail "DOMAIN: '$domain' is no domain: write it like api.example.com, without https:// and without a port"
{% set files = namespace(named=[]) %}
{% for line in gathered("secrets", 0).splitlines() %}
{% set files.named = files.named + [line.split("./secrets/")[1].rstrip("}")] %}
{% endfor %}
{% for name in files.named | unique %}
    written {{ name }}
{% endfor %}
{% for line in gathered("secrets", 0, place="production").splitlines() if line.split("./secrets/")[1].rstrip("}") not in files.named %}
    there {{ line.split("./secrets/")[1].rstrip("}") }}
{% endfor %}
{% for name in optional %}
    there {{ name }}
{% endfor %}
{% set checks = gathered("check.sh", 4, place="production") %}
{% if checks %}
{{ checks }}
{% endif %}
    [ -f uv.lock ] || fail "uv.lock is missing, and an image has exactly what it lists: \`make setup\` writes it"
}

case "${1:-}" in
    secrets | check) "$1" ;;
    *) fail "usage: $0 secrets|check" ;;
esac
