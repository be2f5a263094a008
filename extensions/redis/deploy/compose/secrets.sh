random REDIS_PASSWORD
write REDIS_CONF "requirepass $(value REDIS_PASSWORD)"
write REDIS__URL "redis://:$(value REDIS_PASSWORD)@redis:6379/0"
