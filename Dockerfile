# One image for operator and extender; the command chooses. The lock file fixes every dependency.
ARG PYTHON=python:3.12-slim-bookworm

FROM ${PYTHON} AS build
RUN pip install --no-cache-dir uv==0.13.8
ENV UV_PROJECT_ENVIRONMENT=/opt/ecoserve \
    UV_PYTHON_DOWNLOADS=never \
    UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1
WORKDIR /src
# Dependencies first: they change less often than the code, and so stay in the build cache.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --frozen --no-dev --no-install-project
COPY core core
COPY operator operator
COPY extender extender
COPY devcluster devcluster
RUN uv sync --frozen --no-dev --no-editable

FROM ${PYTHON}
LABEL org.opencontainers.image.title="ecoserve" \
      org.opencontainers.image.description="Carbon-aware placement of LLM serving on Kubernetes: operator and scheduler extender" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/ecoserve /opt/ecoserve
# Nothing is written outside /tmp, so the root file system may be read-only.
ENV PATH=/opt/ecoserve/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /tmp
USER 65532:65532
CMD ["ecoserve-operator"]
