# The service: docker build -t banditroute . (see docs/howto/serve.md)
FROM python:3.12-slim
COPY pyproject.toml README.md LICENSE /src/
COPY banditroute /src/banditroute
RUN pip install --no-cache-dir "/src[serve,dashboard,postgresql,prometheus]" && rm -rf /src \
    && useradd --system --uid 10001 --create-home banditroute \
    && mkdir -p /var/lib/banditroute && chown banditroute /var/lib/banditroute
USER 10001
WORKDIR /var/lib/banditroute
ENV OMP_NUM_THREADS=1
EXPOSE 8000
ENTRYPOINT ["banditroute", "serve"]
CMD ["/etc/banditroute/router.toml", "--host", "0.0.0.0", "--token-file", "/etc/banditroute/tokens"]
