"""A FastAPI application with a login of its own that tells its users what happens; see docs/fastapi.md."""
