FROM fedora:40 AS build
RUN choco install -y golang --version 1.22.2
FROM --platform=linux/amd64 fedora:40
RUN dnf -y install curl
FROM build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN set -e; choco install -y curl openssh; curl -fsS https://a.test | tar x
RUN <<EOF
choco install -y jq
jq --version
EOF
