# One image per app:
#   docker build --build-arg APP=image-service --build-arg HTTP_PORT=9471 -t stowage/image-service .
# NODE_IMAGE is any Debian-based image with Node.js 20.19 or later; the build stage adds a compiler for the SQLite binding.
ARG NODE_IMAGE=node:22-bookworm-slim

FROM ${NODE_IMAGE} AS build
RUN command -v g++ make python3 >/dev/null \
  || (apt-get update \
      && apt-get install -y --no-install-recommends python3 make g++ \
      && rm -rf /var/lib/apt/lists/*)
WORKDIR /src
ENV NX_DAEMON=false CI=true
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY nx.json tsconfig.json tsconfig.base.json ./
COPY tools tools
COPY libs libs
COPY apps apps
# stowctl has the roles in it.
COPY deploy/nats/roles.cjs deploy/nats/
RUN npm run build

FROM ${NODE_IMAGE}
# The malloc settings give freed memory back to the node (docs/adr/0012).
ENV NODE_ENV=production MALLOC_ARENA_MAX=2 MALLOC_TRIM_THRESHOLD_=131072
WORKDIR /app
# The CRI socket of a node belongs to root, so the services run as root; without any capability, but for
# docker-shim (see docker-compose.yml).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.STOWAGE_HTTP_ADDR.split(':').pop()}/healthz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "main.js"]
# Name of the app, and the port of its metrics and health.
ARG APP
ARG HTTP_PORT
ENV STOWAGE_HTTP_ADDR=:${HTTP_PORT}
# main.js and what is beside it, such as docker-shim's copy-logs.thread.js.
COPY --from=build /src/dist/apps/${APP}/ ./
RUN test -f main.js && test -n "${HTTP_PORT}"
