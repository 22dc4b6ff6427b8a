# Two stages: wheels are built in the first, the second holds only what runs. No root, no compiler.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY locks locks
COPY app app
COPY billing billing
COPY metering metering
COPY simulators simulators
COPY sql sql
RUN python -m venv /opt/aqkol \
 && /opt/aqkol/bin/pip install --no-cache-dir --require-hashes -r locks/run.txt \
 && /opt/aqkol/bin/pip install --no-cache-dir --no-deps .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/aqkol --create-home aqkol
COPY --from=build /opt/aqkol /opt/aqkol
ENV PATH=/opt/aqkol/bin:$PATH AQKOL_STATE=/var/lib/aqkol AQKOL_LOG_FORMAT=json
USER 10001
WORKDIR /var/lib/aqkol
ENTRYPOINT ["aqkol"]
CMD ["serve"]
