# One image per app, built by BuildKit (docker compose and current versions of docker use it):
#   docker build --build-arg APP=image-service --build-arg HTTP_PORT=9471 -t stowage/image-service .
#   docker build --target docker-shim --build-arg APP=docker-shim --build-arg HTTP_PORT=9473 -t stowage/docker-shim .
# --platform linux/arm64 (or linux/amd64) makes an image for another processor: bundles are the same
# on both, and nothing is run in the stages that become images.
#
# NODE_IMAGE builds, and is any Debian-based image with Node.js 22.14 or later: nothing is compiled.
# BASE_IMAGE is what images are made on: Node.js with the program at /nodejs/bin/node, no shell.
ARG NODE_IMAGE=node:24-bookworm-slim
ARG BASE_IMAGE=gcr.io/distroless/nodejs24-debian13

FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS build
WORKDIR /src
ENV CI=true
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund --ignore-scripts
COPY tsconfig.json tsconfig.base.json ./
COPY tools tools
COPY libs libs
COPY apps apps
# stowctl has the roles in it.
COPY deploy/nats/roles.cjs deploy/nats/
RUN for app in apps/*/; do node tools/build.mjs "$(basename "$app")" || exit 1; done

FROM build AS bundle
ARG APP
RUN test -n "$APP" && mv "dist/apps/$APP" /app && mkdir /state && mkdir -m 0775 /state/stowage

# stowctl, for whoever looks at a node from inside of a container: in a folder with the service, which it
# asks for its configuration, and started by the Node.js of the image, as there is no env.
RUN mkdir -p /usr-stowage/bin /usr-stowage/lib/stowage/apps \
  && mv dist/apps/stowctl /usr-stowage/lib/stowage/apps/ \
  && ln -s /app "/usr-stowage/lib/stowage/apps/$APP" \
  && ln -s ../lib/stowage/apps/stowctl/main.js /usr-stowage/bin/stowctl \
  && sed -i '1s,^#!.*$,#!/nodejs/bin/node,' /usr-stowage/lib/stowage/apps/stowctl/main.js

# What docker-shim enters the network of a pod with, for the processor of the image.
FROM ${NODE_IMAGE} AS nsenter

FROM ${BASE_IMAGE} AS service
ARG APP
# Port of metrics, health and status page, on all interfaces of the container.
ARG HTTP_PORT
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="stowage/${APP}" \
  org.opencontainers.image.description="${APP} of Stowage: node-side services for container images and runtimes" \
  org.opencontainers.image.vendor="Stowage" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"
# The malloc settings give freed memory back to the node (docs/adr/0012).
ENV NODE_ENV=production MALLOC_ARENA_MAX=2 MALLOC_TRIM_THRESHOLD_=131072
ENV STOWAGE_HTTP_ADDR=:${HTTP_PORT}
WORKDIR /app
STOPSIGNAL SIGTERM
# There is no HEALTHCHECK: it would start a Node.js process again and again (docs/adr/0048).
ENTRYPOINT ["/nodejs/bin/node", "/app/main.js"]
CMD []
# /var/lib/stowage, for root and for the user 65532 of the base image in group 0 (docs/operations.md#users).
COPY --from=bundle --chown=65532:0 /state/ /var/lib/
# main.js and what is beside it: other files of code, native parts of SQLite, bom.json.
COPY --from=bundle /app/ ./
# /usr/bin/stowctl (docs/stowctl.md#in-a-container).
COPY --from=bundle /usr-stowage/ /usr/

FROM service AS docker-shim
COPY --from=nsenter /usr/bin/nsenter /usr/bin/nsenter
COPY --from=nsenter /usr/lib/*-linux-gnu/libselinux.so.1 /usr/lib/*-linux-gnu/libpcre2-8.so.0 /usr/lib/

FROM service
