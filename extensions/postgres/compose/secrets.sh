random POSTGRES_PASSWORD
write DATABASE__URL "postgresql+asyncpg://service:$(value POSTGRES_PASSWORD)@postgres:5432/service"
