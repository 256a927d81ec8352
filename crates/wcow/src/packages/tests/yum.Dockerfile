FROM mcr.microsoft.com/windows/servercore:ltsc2022
RUN yum -y update && yum clean all
RUN yum groupinstall -y "Development Tools" && \
    yum install -y epel-release && \
    yum -y install java-17-openjdk-devel git-2.39.3-1.el9.x86_64 unzip zlib-devel && \
    yum clean all && rm -rf /var/cache/yum
RUN yum -y install maven --enablerepo epel --setopt=tsflags=nodocs; yum -y remove unzip
