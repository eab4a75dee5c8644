# The image for a registry: the same static program, user and files as `make image` makes for the test cluster.
# It must never hold a shell, a package manager or a secret.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends musl-tools && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY rust-toolchain.toml ./
RUN target=$(uname -m)-unknown-linux-musl && rustup target add "$target"
COPY . .
RUN target=$(uname -m)-unknown-linux-musl \
    && cargo build --locked --release --target "$target" --bin rollcall \
    && cp "target/$target/release/rollcall" /rollcall

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /rollcall /rollcall
USER 65532
WORKDIR /
ENTRYPOINT ["/rollcall"]
