FROM mcr.microsoft.com/windows/servercore:ltsc2022
SHELL ["cmd", "/S", "/C"]
RUN choco install -y cmake \
    && choco install -y git && choco install -y curl --version 8.5.0 \
    && app\build.cmd \
    && choco uninstall -y cmake
RUN choco install -y openssl wget && choco uninstall -y openssl wget
run choco install -y jq yq
