FROM node:20-slim AS build
WORKDIR /app
COPY . .
RUN npm run build && npm prune --omit=dev

FROM node:20-slim
# Data, and the token of callers if none is given (MILLRACE_API_TOKENS), are in the volume /data. The first start
# creates the token and prints it to the log.
ENV NODE_ENV=production \
    MILLRACE_HOST=0.0.0.0 \
    MILLRACE_PORT=3112 \
    MILLRACE_ADAPTER_CONFIG_FILE_PATH=/data/streams \
    MILLRACE_API_TOKEN_FILE=/data/api-token
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
RUN mkdir --mode=0700 /data && chown 10001:10001 /data
VOLUME /data
USER 10001:10001
EXPOSE 3112
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.MILLRACE_PORT}/healthz`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/src/server/cli.js"]
CMD ["serve"]
