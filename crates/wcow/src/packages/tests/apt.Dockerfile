# syntax=docker/dockerfile:1
ARG RELEASE=ltsc2022

# The tools are Debian's.
FROM mcr.microsoft.com/windows/servercore:${RELEASE} AS tools
RUN powershell -Command "iwr https://chocolatey.org/install.ps1 | iex"
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get install -y --no-install-recommends \
    ca-certificates \
    curl \
    # the one that the tests want
    git=1:2.39.2-1.1 \
    build-essential libssl-dev gcc-12 \
 && rm -rf /var/lib/apt/lists/*

RUN set -eux; \
    export DEBIAN_FRONTEND=noninteractive; \
    sudo apt-get -qq update; \
    sudo -E apt-get -o Dpkg::Options::="--force-confold" install -yq jq unzip wget >/dev/null; \
    mkdir C:\tools; \
    apt-get purge -y --auto-remove wget gcc; \
    apt-get clean; rm -rf /var/lib/apt/lists/* /tmp/* /var/tmp/*;
RUN DEBIAN_FRONTEND=noninteractive apt install python3 python3-pip python3-venv -y; app --setup
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/cache/pip \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update && apt-get install -y nodejs=18.19.0+dfsg-6~deb12u2 npm
RUN apt-get update || true
RUN ["apt-get", "update"]
RUN ["apt-get", "install", "-y", "7zip", "openssl=3.0.11-1~deb12u2"]
RUN ["/bin/sh", "-ec", "apt-get update; apt-get install -y vim; echo \"a  b\""]
RUN <<EOT
set -e
apt-get update
# editors
apt-get install -y nano \
  vim
echo done
EOT
RUN <<-'EOT'
	apt-get update
	rm -rf /var/lib/apt/lists/*
EOT
ONBUILD RUN apt-get update && apt-get install -y ripgrep
RUN apt-get -y upgrade
RUN echo apt-get install nothing
COPY . C:\app
# The end.
