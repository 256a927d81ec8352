FROM fedora:40 AS build
RUN dnf -y install gcc make golang-1:1.22.2-1.fc40 && dnf clean all
FROM --platform=linux/amd64 fedora:40
RUN dnf -y install curl
FROM build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN set -e; dnf makecache --refresh; microdnf install -y curl openssh-clients; curl -fsS https://a.test | tar x; microdnf clean all
RUN <<EOF
dnf -y install jq
jq --version
EOF
