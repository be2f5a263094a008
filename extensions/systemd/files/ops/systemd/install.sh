#!/usr/bin/env bash
# Installs this checkout of {{ project_name }} on this machine, or upgrades to it: run it again for each version.
# What it does, what it asks for and how to go back: docs/deployment.md.
set -euo pipefail
umask 022

name={{ project_slug }}
{% raw %}
ports=(8000 8001)
keep=5 # releases on the disk
source=$(cd "$(dirname "$0")/../.." && pwd)
root=${ROOT:-} # a folder to install below, for a trial: then root is not required, and no user is created
home=$root/opt/$name
etc=$root/etc/$name
units=$root/etc/systemd/system
caddy=$root/etc/caddy

usage() {
    cat <<USAGE
usage: sudo ops/systemd/install.sh [--domain NAME] [--check | --rollback [--downgrade] | --uninstall | --help]

  --domain NAME  the host name that the proxy answers to and gets a certificate for; asked for once, then remembered
  --check        say what is missing, and change nothing
  --rollback     go back to the release before the current one
  --downgrade    with it, downgrade the database too: data of the newer revision is lost, and the service is down meanwhile
  --uninstall    stop and remove the service; its settings, secrets and data stay

Exit status: 0 done, 1 the new release does not work and the old one serves, 2 something is missing or wrong, and nothing
that runs was touched.
USAGE
}

say() { printf '%s: %s\n' "$name" "$*"; }
refuse() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 2
}

refuse_late() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

action=install
downgrade=
domain=
while (($#)); do
    case $1 in
        --domain)
            (($# > 1)) || refuse "--domain: takes a host name such as api.example.com"
            domain=$2
            shift
            ;;
        --check | --rollback | --uninstall) action=${1#--} ;;
        --downgrade) downgrade=yes ;;
        --help)
            usage
            exit 0
            ;;
        *) refuse "$1: there is no such option, see --help" ;;
    esac
    shift
done

has() { command -v "$1" >/dev/null 2>&1 || refuse "$1 is missing: $2"; }

known_domain() { sed -n 's/^Environment=DOMAIN=//p' "$units/caddy.service.d/$name.conf" 2>/dev/null || true; }

look() {
    [[ -n $root || $EUID -eq 0 ]] || refuse "must be run as root: sudo $0"
    has systemctl "this machine does not run systemd"
    if [[ $action == uninstall ]]; then return; fi
    has curl "install it, for example with: apt-get install curl"
    if [[ $action == rollback ]]; then return; fi
    has uv "install it for all users, see https://docs.astral.sh/uv/getting-started/installation/"
    has caddy "install it, see https://caddyserver.com/docs/install"
    [[ -f $source/uv.lock ]] || refuse "uv.lock is missing: run \`uv lock\` and commit it, so that every machine gets the same versions"
    domain=${domain:-$(known_domain)}
    [[ -n $domain ]] || refuse "--domain is missing: name the host that callers use, such as api.example.com"
    # Labels of letters, digits and inner hyphens (RFC 1123): no scheme, no port, no path.
    [[ ${#domain} -le 253 && $domain =~ ^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$ && ! $domain =~ ^[0-9.]+$ ]] ||
        refuse "--domain: $domain is no host name, it has to look like api.example.com"
    local file setting
    for file in "$etc"/secrets/*; do
        [[ ! -e $file || -s $file ]] || refuse "$file is empty: write the secret into it, or remove it"
    done
    setting=$(sed -n 's/^\([A-Z_]*__PORT\)=.*/\1/p' "$etc/settings.env" 2>/dev/null | head -n 1) || true
    [[ -z $setting ]] || refuse "$etc/settings.env: $setting would be the same for both instances, and the second never start: remove it"
}

# The settings as the service itself reads them, before anything is switched to it. Notes the revision that it needs, too.
settings_are_right() {
    (
        cd "$1"
        # What the units set, then what the machine sets.
        while IFS= read -r line; do
            if ! grep -q "^${line%%=*}=" "$etc/settings.env"; then export "${line?}"; fi
        done < <(sed -n 's/^Environment=//p' "$1/ops/systemd/common.conf")
        SECRETS_DIR=$etc/secrets ENV_FILE=$etc/settings.env PYTHONDONTWRITEBYTECODE=1 .venv/bin/python - "$etc" <<'PYTHON'
import sys

try:
    from app.core.errors import ConfigurationInvalid
    from app.core.data.migrations import heads
    from app.main import load_settings
except Exception as error:
    sys.exit(f"install.sh: this release cannot be imported: {error!r}")
try:
    load_settings()
except ConfigurationInvalid as error:
    for mistake in error.mistakes:
        print(f"install.sh: {mistake} (settings: {sys.argv[1]}/settings.env, secrets: {sys.argv[1]}/secrets/NAME)", file=sys.stderr)
    sys.exit(2)
with open(".revision", "w") as file:
    print(*sorted(heads()), file=file)
PYTHON
    )
}

parts=(app migrations ops alembic.ini pyproject.toml uv.lock)

contents() {
    (cd "$source" && find "${parts[@]}" -type f ! -path '*/__pycache__/*' ! -name '*.pyc' -print0)
}

# The version and what it is made of: the same files are the same release, whatever the checkout is called.
release_name() {
    local version
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$source/pyproject.toml" | head -n 1)
    printf '%s-%s' "$version" "$(contents | LC_ALL=C sort -z | (cd "$source" && xargs -0 sha256sum) | sha256sum | cut -c 1-10)"
}

build() {
    local to=$home/releases/$1
    if [[ -e $to/.complete ]]; then return; fi
    say "building $1"
    rm -rf "$to"
    mkdir -p "$to"
    # shellcheck disable=SC2064 # the folder is this one, also when the trap is run
    trap "rm -rf '$to'" EXIT
    contents | tar --directory="$source" --null --files-from=- --create | tar --directory="$to" --extract --no-same-owner
    # Python is below /opt too: one in a home directory could not be read from inside the sandbox.
    UV_PYTHON_INSTALL_DIR=${UV_PYTHON_INSTALL_DIR:-$home/python} UV_PROJECT_ENVIRONMENT=$to/.venv \
        uv sync --quiet --project "$to" --locked --no-dev --compile-bytecode --link-mode=copy ||
        refuse "uv sync: the dependencies could not be installed, see above"
    local python
    python=$(readlink -f "$to/.venv/bin/python")
    [[ -n $root || ! $python =~ ^/(home|root)/ ]] ||
        refuse "$python is in a home directory, which the units cannot see: name another one in UV_PYTHON"
    touch "$to/.complete"
    trap - EXIT
}

current() { basename "$(readlink "$home/current" 2>/dev/null)" 2>/dev/null || true; }

point_to() {
    ln -s "releases/$1" "$home/current.new"
    mv -T "$home/current.new" "$home/current" # one rename: the link always exists
}

needs_revision() {
    local found
    found=$(cat "$home/releases/$1/.revision")
    printf '%s' "${found:-base}"
}

# The name of a unit on this machine: app@.service is NAME@.service, and all others begin with NAME-.
unit() {
    case $1 in
        app@.service) printf '%s@.service' "$name" ;;
        *) printf '%s-%s' "$name" "$1" ;;
    esac
}

place() { # place FILE: standard input becomes FILE, at once or not at all
    mkdir -p "$(dirname "$1")"
    cat >"$1.new"
    chmod 644 "$1.new"
    mv -f "$1.new" "$1"
}

secrets() { # one line for each file: systemd hands them over in the folder %d, readable by no one else
    local file found=
    echo "[Service]"
    for file in "$etc"/secrets/*; do
        if [[ -f $file ]]; then
            echo "LoadCredential=${file##*/}:/etc/$name/secrets/${file##*/}"
            found=yes
        fi
    done
    if [[ $found ]]; then echo "Environment=SECRETS_DIR=%d"; fi # without one, systemd makes %d unreadable
}

# Its units by name, timers first. Other units may begin with the same word; leave them alone.
laid() { cat "$home/units" 2>/dev/null || true; }

discard() { # discard UNIT...
    local old
    for old; do
        if [[ $old != *@.* ]]; then systemctl --quiet disable --now "$old" || true; fi # no instance of those is enabled here
        rm -rf "${units:?}/$old" "$units/$old.d"
    done
}

first=() # timers that this machine has not had before

lay_units() { # lay_units RELEASE
    local from=$home/releases/$1/ops/systemd file service old=() new=()
    mapfile -t old < <(laid)
    first=()
    for file in "$from"/*.timer "$from"/*.service; do
        if [[ -e $file ]]; then new+=("$(unit "${file##*/}")"); fi
    done
    printf '%s\n' "${new[@]}" "${old[@]}" | place "$home/units" # before the first is laid: what breaks off is found again
    for file in "$from"/*.timer "$from"/*.service; do
        [[ -e $file ]] || continue
        service=$(unit "${file##*/}")
        if [[ $service == *.timer && " ${old[*]} " != *" $service "* ]]; then first+=("$service"); fi
        place "$units/$service" <"$file"
        if [[ $service == *.service ]]; then
            place "$units/$service.d/common.conf" <"$from/common.conf"
            secrets | place "$units/$service.d/secrets.conf"
        fi
    done
    for service in "${old[@]}"; do # what this release no longer has
        if [[ " ${new[*]} " != *" $service "* ]]; then discard "$service"; fi
    done
    printf '%s\n' "${new[@]}" | place "$home/units"
    systemctl daemon-reload
}

# Processes beside the instances, such as a worker: services that a boot starts. Those with a timer are started by it.
beside() { # beside RELEASE
    local file
    for file in "$home/releases/$1"/ops/systemd/*.service; do
        case ${file##*/} in app@.service | migrate.service) continue ;; esac
        if grep -q '^WantedBy=' "$file"; then unit "${file##*/}" && echo; fi
    done
}

timers() { # timers RELEASE
    local file
    for file in "$home/releases/$1"/ops/systemd/*.timer; do
        [[ -e $file ]] && unit "${file##*/}" && echo
    done
    return 0
}

# Everything that a running process depends on, as one word: the same word again means that nothing is to be done.
applied() {
    local service
    {
        while read -r service; do cat "$units/$service" "$units/$service.d"/*.conf || true; done < <(laid)
        cat "$etc/settings.env" "$etc"/secrets/* "$caddy/Caddyfile" "$units/caddy.service.d/$name.conf" || true
    } 2>/dev/null | sha256sum | cut -c 1-64 # not every service has all of them
}

touched=() # what has been restarted since the link was moved

again() { # again UNIT...: returns when the last one is up, and for an instance that is when it is ready
    local service
    for service; do
        touched+=("$service")
        systemctl restart "$service" || return 1
        say "$service is up"
    done
}

# One instance after the other: the proxy goes on with the other one meanwhile.
roll() { # roll RELEASE
    local others
    mapfile -t others < <(beside "$1")
    again "${ports[@]/#/$name@}" "${others[@]}"
}

enable() {
    systemctl --quiet enable "$name-migrate" "${ports[@]/#/$name@}"
    while read -r service; do systemctl --quiet enable "$service"; done < <(beside "$1")
    while read -r timer; do systemctl --quiet enable --now "$timer"; done < <(timers "$1")
    # A new timer waits for its hour; what it is for does not: the first time is now.
    for timer in "${first[@]}"; do systemctl start --no-block "${timer%.timer}.service" || true; done
}

lay() { # lay RELEASE: its units, and the link; nothing that runs is touched
    lay_units "$1"
    point_to "$1"
}

switch() { # switch RELEASE
    lay "$1"
    systemctl restart "$name-migrate.service" && roll "$1"
}

take_back() { # take_back NEW OLD
    local restarted=("${touched[@]}")
    if [[ -z $2 ]]; then
        remove
        rm -f "$home/current"
        return
    fi
    if ((${#restarted[@]} > 1)) && [[ $(needs_revision "$1") != "$(needs_revision "$2")" ]]; then
        # One instance has served: taking the database back could lose what it has written.
        refuse_late "${restarted[-1]} did not become ready, but ${restarted[0]} has, and the database is at its revision: fix it and run this again"
    fi
    if ((${#restarted[@]})) && [[ $(needs_revision "$1") != "$(needs_revision "$2")" ]]; then
        # No instance of the new release ever was ready, so nothing is in what its revision brought. Its files know the way back.
        say "taking the database back to $(needs_revision "$2")"
        systemctl stop "${restarted[@]}"
        migrate_by "$1" "downgrade $(needs_revision "$2")" || say "the database stays where it is: see docs/operations.md"
    fi
    lay "$2"
    # Instances that were not restarted serve on: they have the old code.
    again "${restarted[@]}" || refuse_late "$2 is in place again, and does not start either: journalctl --unit '$name*'"
}

migrate_by() { # migrate_by RELEASE COMMAND: alembic with the settings, the secrets and the sandbox of the unit
    local drop=$units/$name-migrate.service.d/once.conf
    printf '[Service]\nWorkingDirectory=/opt/%s/releases/%s\nExecStart=\nExecStart=/opt/%s/releases/%s/.venv/bin/python -m alembic %s\n' \
        "$name" "$1" "$name" "$1" "$2" | place "$drop"
    systemctl daemon-reload
    local status=0
    systemctl restart "$name-migrate.service" || status=1
    rm "$drop"
    systemctl daemon-reload
    return "$status"
}

proxy_is_right() {
    local said
    said=$(DOMAIN=$domain caddy validate --adapter caddyfile --config "$1/ops/systemd/Caddyfile" 2>&1) ||
        refuse "ops/systemd/Caddyfile: $(tail -n 1 <<<"$said")"
}

proxy() {
    local from=$home/releases/$1/ops/systemd/Caddyfile known
    mkdir -p "$caddy/sites"
    if [[ -f $caddy/Caddyfile && ! -f $caddy/Caddyfile.before-$name ]] && ! cmp -s "$from" "$caddy/Caddyfile"; then
        cp "$caddy/Caddyfile" "$caddy/Caddyfile.before-$name"
    fi
    place "$caddy/Caddyfile" <"$from"
    known=$(grep -o '{\$[A-Z_]*' "$from" | tr -d '{$' | grep -vx DOMAIN | sort -u | paste -sd'|')
    {
        # Caddy writes its environment into its log, so it gets no more of the settings than its Caddyfile reads.
        # It may take 35 s to stop (`grace_period`), and systemd gives it more.
        printf '# Written by install.sh.\n[Service]\nTimeoutStopSec=40\nEnvironment=DOMAIN=%s\n' "$domain"
        sed -nE "s/^($known)=[\"']?([^\"']*)[\"']?\$/Environment=\"\1=\2\"/p" "$etc/settings.env"
    } | place "$units/caddy.service.d/$name.conf"
    systemctl daemon-reload
    systemctl --quiet enable caddy.service
    systemctl reload-or-restart caddy.service
}

remove() {
    local mine
    mapfile -t mine < <(laid)
    systemctl --quiet disable --now "${ports[@]/#/$name@}" || true
    discard "${mine[@]}"
    rm -f "$home/units"
    systemctl daemon-reload
}

prepare() {
    if [[ -z $root ]] && ! id "$name" >/dev/null 2>&1; then
        useradd --system --user-group --home-dir "/var/lib/$name" --no-create-home --shell /usr/sbin/nologin "$name"
        say "made the user $name"
    fi
    mkdir -p "$home/releases" "$etc"
    # A first run that is refused below leaves these two: that is where its answer tells to write.
    install --directory --mode=0700 "$etc/secrets"
    chmod 600 "$etc"/secrets/* 2>/dev/null || true
    if [[ ! -e $etc/settings.env ]]; then
        printf '# Settings of %s on this machine, as in docs/configuration.md. Secrets are files in secrets/.\n' "$name" | place "$etc/settings.env"
    fi
}

install_release() {
    local new old failed
    new=$(release_name)
    old=$(current)
    prepare
    build "$new"
    settings_are_right "$home/releases/$new" || exit 2
    proxy_is_right "$home/releases/$new"
    if [[ $new == "$old" && $(applied) == "$(cat "$home/applied" 2>/dev/null)" && $domain == "$(known_domain)" ]]; then
        say "$new serves already, and nothing has changed"
        return
    fi
    if ! switch "$new"; then
        printf 'install.sh: %s did not become ready; the last lines of its log:\n' "$new" >&2
        failed=${touched[*]: -1} # the last that was tried
        journalctl --no-pager --lines=5 --output=cat --unit "${failed:-$name-migrate}" >&2 || true
        if [[ $new == "$old" ]]; then
            refuse_late "what was changed in $etc does not work; an instance that was not restarted serves on"
        fi
        take_back "$new" "$old"
        refuse_late "${old:-nothing} serves${old:+ again}"
    fi
    enable "$new"
    proxy "$new"
    if [[ $new != "$old" && -n $old ]]; then printf '%s\n' "$old" >"$home/previous"; fi
    applied >"$home/applied"
    prune
    say "$new serves at https://$domain"
}

prune() {
    local release
    while read -r release; do
        if [[ $release != "$(current)" && $release != "$(cat "$home/previous" 2>/dev/null)" ]]; then rm -rf "$home/releases/$release"; fi
    done < <(find "$home/releases" -mindepth 1 -maxdepth 1 -printf '%T@ %f\n' | sort -rn | cut -d ' ' -f 2 | tail -n +$((keep + 1)))
}

go_back() {
    local now before
    now=$(current)
    before=$(cat "$home/previous" 2>/dev/null || true)
    [[ -n $now && -n $before && -e $home/releases/$before/.complete ]] || refuse "--rollback: there is no release before this one"
    if [[ $(needs_revision "$now") != "$(needs_revision "$before")" ]]; then
        [[ -n $downgrade ]] ||
            refuse "--rollback: $before needs the database at $(needs_revision "$before"), and it is at $(needs_revision "$now"): docs/operations.md has the way back"
        systemctl stop "${ports[@]/#/$name@}"
        if ! migrate_by "$now" "downgrade $(needs_revision "$before")"; then
            roll "$now" || refuse_late "--downgrade: the database could not be taken back, and $now does not start: journalctl --unit '$name*'"
            refuse_late "--downgrade: the database stays at $(needs_revision "$now"), and $now serves again: journalctl --unit $name-migrate"
        fi
    fi
    lay "$before"
    if ! roll "$before"; then
        take_back "$before" "$now"
        refuse_late "$before did not become ready: $now serves again"
    fi
    enable "$before"
    printf '%s\n' "$now" >"$home/previous"
    applied >"$home/applied"
    say "$before serves again"
}

uninstall() {
    remove
    rm -rf "$home" "$units/caddy.service.d/$name.conf"
    if [[ -f $caddy/Caddyfile.before-$name ]]; then
        mv -f "$caddy/Caddyfile.before-$name" "$caddy/Caddyfile"
    else
        rm -f "$caddy/Caddyfile"
    fi
    systemctl daemon-reload
    systemctl reload-or-restart caddy.service || true
    say "is gone; $etc and /var/lib/$name are yours to keep or to remove"
}

look
case $action in
    check) say "nothing is missing; $(release_name) can be installed for $domain" ;;
    install) install_release ;;
    rollback) go_back ;;
    uninstall) uninstall ;;
esac
{% endraw %}
