{% if database == "sqlite" %}
random QUEUE_PASSWORD
write QUEUE_CONF "requirepass $(value QUEUE_PASSWORD)"
write WORKER__URL "redis://:$(value QUEUE_PASSWORD)@queue:6379/0"
{% endif %}
