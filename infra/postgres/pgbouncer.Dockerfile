# PgBouncer from the packages of the system that the image of Postgres is made of.
ARG POSTGRES_IMAGE
FROM ${POSTGRES_IMAGE}
RUN if command -v apk >/dev/null; then apk add --no-cache pgbouncer; \
    else apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends pgbouncer && rm -rf /var/lib/apt/lists/*; fi
USER postgres
COPY pgbouncer /usr/local/bin/livetally-pgbouncer
ENTRYPOINT ["sh", "/usr/local/bin/livetally-pgbouncer"]
CMD []
