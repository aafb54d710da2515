# Builds the one binary and ships it alone. The build gets what it lacks by itself, as on any fresh machine.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/root/.cache --mount=type=cache,target=/usr/local/cargo/registry \
    make build && cp -L bin/hangang /hangang

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends libssl3 ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home hangang && install -d -o hangang -g hangang /data
COPY --from=build /hangang /usr/local/bin/hangang
USER hangang
WORKDIR /home/hangang
VOLUME /data
ENV HANGANG_DATA_DIR=/data
ENTRYPOINT ["hangang"]
CMD ["up"]
