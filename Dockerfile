# Two images, each with one static program: `command` has virtnet, `runner` has the example
# test that docker-compose.yml runs. No shell, no libraries, no root.

FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY core core
COPY engine-quic engine-quic
COPY registry-local registry-local
COPY registry-redis registry-redis
COPY testkit testkit
COPY src src
COPY examples/runner examples/runner
# With --target, build scripts and macros are not linked statically. Without LTO: a faster
# build matters more here than a faster program.
ENV RUSTFLAGS="-C target-feature=+crt-static -C strip=symbols" \
    CARGO_PROFILE_RELEASE_LTO=off
RUN host="$(rustc -vV | sed -n 's/^host: //p')" \
    && cargo build --release --locked --target "$host" --features cli \
        --bin virtnet --example runner \
    && mkdir /out \
    && cp "target/$host/release/virtnet" "target/$host/release/examples/runner" /out/

# Files that a static program still reads: the order of name look-ups, and the certificate
# authorities for a registry's TLS certificate.
FROM scratch AS base
COPY --from=build /etc/nsswitch.conf /etc/nsswitch.conf
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
USER 65532:65532

FROM base AS runner
COPY --from=build /out/runner /usr/local/bin/runner
ENTRYPOINT ["/usr/local/bin/runner"]

FROM base AS command
COPY --from=build /out/virtnet /usr/local/bin/virtnet
ENTRYPOINT ["/usr/local/bin/virtnet"]
