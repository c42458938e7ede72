# One image for the worker and the gateway; the command says which of them runs.
#
#   docker build -t sse-bridge .
#   docker run -e BRIDGE_BROKER_URL=redis://… sse-bridge                                    a worker
#   docker run -e BRIDGE_BROKER_URL=redis://… sse-bridge uvicorn bridge.gateway:app --host 0.0.0.0
#
# Any image with Python 3.11 or later and its venv module will do as a base.
ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
RUN python3 -m venv /opt/bridge
WORKDIR /src
# The dependencies are a layer of their own, which a change of the code leaves alone.
COPY pyproject.toml constraints.txt ./
RUN mkdir bridge && touch bridge/__init__.py README.md LICENSE \
    && /opt/bridge/bin/pip install --constraint constraints.txt '.[worker,gateway,ops]' \
    && /opt/bridge/bin/pip uninstall --yes sse-bridge
COPY README.md LICENSE ./
COPY bridge bridge
COPY sse_bridge sse_bridge
COPY sse_bridge_pytest sse_bridge_pytest
RUN /opt/bridge/bin/pip install --no-deps .

FROM ${PYTHON_IMAGE}
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin bridge
COPY --from=build /opt/bridge /opt/bridge
# Celery keeps its soft shutdown for SIGQUIT: without the remap a SIGTERM ignores worker_soft_shutdown_timeout.
ENV PATH=/opt/bridge/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    REMAP_SIGTERM=SIGQUIT
USER 10001
WORKDIR /home/bridge
EXPOSE 8000
STOPSIGNAL SIGTERM
CMD ["celery", "-A", "bridge.worker", "worker", "--loglevel=INFO"]
