# Debian's gearmand, for the compose file and the Kubernetes manifests beside it.
FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --no-install-recommends -y gearman-job-server gearman-tools \
 && rm -rf /var/lib/apt/lists/*
USER gearman
EXPOSE 4730
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s CMD ["gearadmin", "--getpid"]
ENTRYPOINT ["/usr/sbin/gearmand"]
CMD ["--listen=0.0.0.0", "--keepalive", "--keepalive-idle=60", "--log-file=stderr"]
