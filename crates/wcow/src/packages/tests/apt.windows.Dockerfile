# syntax=docker/dockerfile:1
ARG RELEASE=ltsc2022

# The tools are Debian's.
FROM mcr.microsoft.com/windows/servercore:${RELEASE} AS tools
RUN powershell -Command "iwr https://chocolatey.org/install.ps1 | iex"
ENV DEBIAN_FRONTEND=noninteractive
RUN choco install -y curl && choco install -y git --version 2.39.2

RUN choco install -y jq unzip wget && \
    mkdir C:\tools && \
    choco uninstall -y wget
RUN choco install -y python3 & app --setup
RUN --mount=type=cache,target=/var/cache/pip \
    choco install -y nodejs --version 18.19.0
RUN ["choco", "install", "-y", "7zip"]
RUN ["choco", "install", "-y", "openssl", "--version", "3.0.11"]
RUN ["cmd", "/S", "/C", "choco install -y vim && echo \"a  b\""]
RUN choco install -y nano vim \
    && echo done
ONBUILD RUN choco install -y ripgrep
RUN echo apt-get install nothing
COPY . C:\app
# The end.
