# Hadal as an image: the kernels are built in the first stage, and the second has neither compiler nor development packages.
#
#   docker build -t hadal .
#   docker run --read-only --tmpfs /tmp -v hadal:/var/lib/hadal -p 10935:10935 hadal
#
# Everything that is written goes to HADAL_HOME, which is a volume. The kernels hold code for each instruction set and choose
# at run time, so the image runs on any processor of its architecture.

# The Node of package.json.
FROM node:24.21.0-bookworm-slim AS build
RUN apt-get update \
  && apt-get install --yes --no-install-recommends g++ \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY . .
RUN npm ci --ignore-scripts --no-audit --no-fund \
  && node packages/kernels/build.ts \
  && rm -rf packages/kernels/build/objects node_modules \
  && npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
  && npm cache clean --force

FROM node:24.21.0-bookworm-slim
ENV NODE_ENV=production HADAL_HOME=/var/lib/hadal PORT=10935
# As scripts/server-process.mjs has it. What is compiled is kept from one start to the next.
ENV MALLOC_ARENA_MAX=2 NODE_COMPILE_CACHE=/var/lib/hadal/compiled
WORKDIR /app
COPY --from=build /app /app
# A number, so that whoever runs it can tell that it is not root.
RUN install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/hadal
USER 10001:10001
VOLUME /var/lib/hadal
EXPOSE 10935
# Stops as on any other machine: streams have ten seconds to end.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/healthz`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "--max-semi-space-size=16", "--heap-growing-percent=50", "apps/cli/hadal.ts"]
CMD ["serve", "--host", "0.0.0.0"]
