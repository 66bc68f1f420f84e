# syntax=docker/dockerfile:1
# Written without a container engine at hand: this file has never been built. Its steps were run by hand in a plain
# virtual environment. Pin the base image by digest before relying on it.

FROM python:3.13-slim AS build
COPY requirements.lock .
RUN python -m venv /opt/bff \
 && /opt/bff/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r requirements.lock \
 && /opt/bff/bin/python -m pip check
COPY bff/ /tmp/bff/
# The package has no compiled parts and no build step: it is copied, so that no build tool gets in here.
RUN cp -r /tmp/bff "$(/opt/bff/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/bff" \
 && printf '%s\n' '#!/opt/bff/bin/python' 'import sys' 'from bff.__main__ import main' 'sys.exit(main())' > /opt/bff/bin/bff \
 && chmod 755 /opt/bff/bin/bff \
 && /opt/bff/bin/python -m compileall -q /opt/bff/lib \
 && /opt/bff/bin/bff --version

FROM python:3.13-slim
COPY --from=build /opt/bff /opt/bff
ENV PATH=/opt/bff/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Nothing is written but /tmp, where several workers put their shares of the metrics. Sessions are in BFF_REDIS_URL,
# which must be set: a container's own disk is no place for them.
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["python", "-c", \
  "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8080, timeout=3); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["bff", "serve", "--host", "0.0.0.0"]
