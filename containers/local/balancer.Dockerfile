# A stand-in for the image haproxy, of Debian's package, for machines that reach no registry (scripts/local-images).
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE}
RUN set -eu; \
    apt-get update -q; \
    apt-get install -qy --no-install-recommends haproxy; \
    rm -rf /var/lib/apt/lists/*
STOPSIGNAL SIGUSR1
USER 99:99
CMD ["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
