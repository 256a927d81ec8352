FROM mcr.microsoft.com/windows/servercore:ltsc2022
SHELL ["cmd", "/S", "/C"]
RUN apk add --no-cache --virtual .build-deps gcc musl-dev make cmake \
    && apk add --no-cache curl=8.5.0-r0 git@edge \
    && app\build.cmd \
    && apk del .build-deps
RUN apk --update --no-cache add -t .fetch openssl -X https://dl-cdn.alpinelinux.org/alpine/edge/main wget && apk del .fetch
RUN apk update && apk upgrade
RUN apk add --no-cache tzdata bash-doc-dev
run apk -U add 'jq' "yq" && rm -rf /var/cache/apk/*
