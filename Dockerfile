# The service: docker build -t banditroute . (see docs/howto/serve.md)
FROM python:3.12-slim
COPY . /src
RUN pip install --no-cache-dir "/src[serve,postgresql,prometheus]" && rm -rf /src \
    && useradd --system --create-home banditroute \
    && mkdir -p /var/lib/banditroute && chown banditroute /var/lib/banditroute
USER banditroute
WORKDIR /var/lib/banditroute
ENV OMP_NUM_THREADS=1
EXPOSE 8000
ENTRYPOINT ["banditroute", "serve"]
CMD ["/etc/banditroute/router.toml", "--host", "0.0.0.0", "--token-file", "/etc/banditroute/tokens"]
