random POSTGRES_PASSWORD
random SERVICE_PASSWORD
write DATABASE__URL "postgresql+asyncpg://service:$(value SERVICE_PASSWORD)@postgres:5432/service"
