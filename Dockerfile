# Three images from one file: edge, cloud, sim. Each holds only its own part's libraries, pinned and hash-checked.
#   docker build --target edge -t linli-edge .
# All run as user 10001. A new named volume mounted on /data takes over its owner, so what one part writes the others read.
FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
RUN groupadd --gid 10001 linli && useradd --create-home --uid 10001 --gid 10001 linli \
  && mkdir -p /data && chown linli:linli /data
COPY pyproject.toml README.md ./

# The web pages are built where Node is, and only the result goes on.
FROM node:24-bookworm-slim AS web
WORKDIR /web
COPY dashboards/package.json dashboards/package-lock.json dashboards/.npmrc ./
RUN npm ci --ignore-scripts
COPY dashboards/ ./
RUN npm run build

FROM base AS edge
COPY requirements-edge.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-edge.lock
COPY contract/ contract/
COPY edge/ edge/
COPY linli/ linli/
COPY config/ config/
# Editable: the programs find config/ and the web pages beside themselves, in /app.
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .
USER linli
VOLUME /data
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
  CMD ["linli", "edge", "status", "--config", "/data/edge.yaml"]
ENTRYPOINT ["linli", "edge"]
CMD ["run", "--config", "/data/edge.yaml"]

FROM base AS cloud
COPY requirements-cloud.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-cloud.lock
COPY contract/ contract/
COPY cloud/ cloud/
COPY linli/ linli/
COPY config/ config/
COPY --from=web /web/dist/ dashboards/dist/
# Editable: the programs find config/ and the web pages beside themselves, in /app.
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .
USER linli
VOLUME /data
EXPOSE 8600
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8600/api/health', timeout=4)"]
ENTRYPOINT ["linli", "cloud"]
CMD ["serve", "--config", "/data/cloud/cloud.yaml"]

FROM base AS sim
COPY requirements-sim.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements-sim.lock
COPY contract/ contract/
COPY firmware_sim/ firmware_sim/
COPY linli/ linli/
COPY config/ config/
# Editable: the programs find config/ and the web pages beside themselves, in /app.
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .
USER linli
VOLUME /data
ENTRYPOINT ["linli", "sim"]
CMD ["run", "/data/fleet"]
