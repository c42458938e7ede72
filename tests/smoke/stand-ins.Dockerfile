# Stand-ins for the public images, from Debian packages, for machines that cannot pull. Built by images.sh.
ARG DEBIAN_IMAGE

FROM ${DEBIAN_IMAGE} AS debian
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update

FROM debian AS python
RUN apt-get install --yes --no-install-recommends python3 python3-venv

FROM debian AS redis
RUN apt-get install --yes --no-install-recommends redis-server
WORKDIR /data
CMD ["redis-server", "--protected-mode", "no"]

FROM debian AS rabbitmq
RUN apt-get install --yes --no-install-recommends rabbitmq-server
# As the public image does: log to the console, and let the guest user in from other containers.
RUN printf 'log.console = true\nloopback_users = none\n' > /etc/rabbitmq/rabbitmq.conf
USER rabbitmq
# Not the one on PATH, which Debian wraps to write its output into files.
CMD ["/usr/lib/rabbitmq/bin/rabbitmq-server"]
