-- Run once, by the container whose volume is empty: the service's role owns its database, and is no superuser.
{% if "backups" in delivery %}
-- With CREATEDB, since a backup is restored beside the database.
{% endif %}
\set password `cat /run/secrets/SERVICE_PASSWORD`
CREATE ROLE service LOGIN{{ " CREATEDB" if "backups" in delivery }} PASSWORD :'password';
CREATE DATABASE service OWNER service;
