FROM mcr.microsoft.com/windows/servercore:ltsc2022
RUN choco install -y temurin17 unzip && choco install -y git --version 2.39.3
RUN choco install -y maven & choco uninstall -y unzip
