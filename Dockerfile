# The image, for those who build with a container engine: the same static program, user and files as `make image` writes without one.
# There is no base image whose content could change: `make image` builds the program beforehand, with the toolchain of rust-toolchain.toml, so
#
#     make image && docker build -f Dockerfile target/image
#
# It must never hold a shell, a package manager or a secret, nor be built from anything that is not pinned.
FROM scratch
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY rollcall /rollcall
USER 65532
WORKDIR /
ENTRYPOINT ["/rollcall"]
