# A stand-in for the image postgres, of Debian's packages, for machines that reach no registry (scripts/local-images).
# It knows what docker-compose.replicas.yml sets, no more.
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE}
RUN set -eu; \
    groupadd --gid 999 postgres; useradd --uid 999 --gid 999 --home-dir /var/lib/postgresql postgres; \
    install -d /etc/postgresql-common; echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf; \
    apt-get update -q; \
    apt-get install -qy --no-install-recommends postgresql; \
    rm -rf /var/lib/apt/lists/*; \
    ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/; \
    install -d -o 999 -g 999 -m 700 /var/lib/postgresql/data
COPY database /usr/local/bin/database
ENV LANG=C.UTF-8 PGDATA=/var/lib/postgresql/data
VOLUME /var/lib/postgresql/data
# Smart shutdown, which SIGTERM would ask for, waits for every client to leave.
STOPSIGNAL SIGINT
USER 999:999
ENTRYPOINT ["database"]
