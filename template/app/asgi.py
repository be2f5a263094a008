"""The application as `app`, for `fastapi dev`, `uvicorn app.asgi:app` and debuggers. `python -m app` serves it too."""

from app.main import served

app = served()
