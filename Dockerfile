# The image of all tiers: sinfonia-tier1, sinfonia-tier2, sinfonia-tier3, helm and nft.
#   docker build --tag sinfonia .
#   buildah bud --layers --tag sinfonia .
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=0.1.0 --tag REGISTRY/sinfonia:0.1.0 --push .
# Programs are compiled where the build runs, for another architecture by a cross compiler: nothing slow is emulated. buildah 1.28
# does not know where it runs: for another architecture it needs --build-arg BUILDPLATFORM=linux/amd64 beside --platform.
ARG RUST_VERSION=1.95
ARG DEBIAN=trixie

FROM --platform=$BUILDPLATFORM docker.io/library/rust:${RUST_VERSION}-slim-${DEBIAN} AS toolchain
ARG CARGO_CHEF_VERSION=0.1.78
# What links the programs, and compiles the little C in them; both are installed for both architectures, so that this layer serves both.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        gcc-aarch64-linux-gnu gcc-x86-64-linux-gnu libc6-dev-amd64-cross libc6-dev-arm64-cross make \
    && rm -rf /var/lib/apt/lists/*
RUN cargo install --locked --version "$CARGO_CHEF_VERSION" cargo-chef
ENV CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc \
    CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc \
    CC_x86_64_unknown_linux_gnu=x86_64-linux-gnu-gcc
WORKDIR /source

FROM toolchain AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM toolchain AS build
ARG TARGETARCH
# How the programs are optimised: a profile of Cargo.toml.
ARG PROFILE=dist
RUN case "$TARGETARCH" in \
        amd64) target=x86_64-unknown-linux-gnu ;; \
        arm64) target=aarch64-unknown-linux-gnu ;; \
        *) echo "error: there is no image for $TARGETARCH, only for amd64 and arm64" >&2; exit 1 ;; \
    esac \
    && rustup target add "$target" \
    && echo "$target" >/target
# The dependencies: a layer that changes with Cargo.lock alone.
COPY --from=plan /source/recipe.json recipe.json
RUN cargo chef cook --locked --profile "$PROFILE" --target "$(cat /target)" --recipe-path recipe.json \
        --package sinfonia-tier1 --package sinfonia-tier2 --package sinfonia-tier3
COPY . .
# The commit, which the programs tell with --version; the builder has no .git.
ARG REVISION=unknown
# The folder of a profile may have another name: that of dev is debug.
RUN SINFONIA_COMMIT="$REVISION" cargo build --locked --profile "$PROFILE" --target "$(cat /target)" \
        --package sinfonia-tier1 --package sinfonia-tier2 --package sinfonia-tier3 \
    && mkdir /programs \
    && for tier in 1 2 3; do mv "target/$(cat /target)"/*/sinfonia-tier$tier /programs/; done

FROM --platform=$BUILDPLATFORM docker.io/library/debian:${DEBIAN}-slim AS helm
ARG TARGETARCH
ARG HELM_VERSION=4.3.0
# Those of https://get.helm.sh/helm-v<version>-linux-<architecture>.tar.gz.sha256sum
ARG HELM_SHA256_AMD64=86584a54def73570558f66f5111cc53dfed56689637ae32c1201205d494f54fb
ARG HELM_SHA256_ARM64=31c5794dd55c66a51e6b7d2e2ac7a114ae8b1de41ff1d9ba51748ac973b06a08
# Elsewhere, for builds that may not reach it.
ARG HELM_SITE=https://get.helm.sh
ADD ${HELM_SITE}/helm-v${HELM_VERSION}-linux-${TARGETARCH}.tar.gz /helm.tar.gz
RUN case "$TARGETARCH" in \
        amd64) sum=$HELM_SHA256_AMD64 ;; \
        arm64) sum=$HELM_SHA256_ARM64 ;; \
    esac \
    && echo "$sum  /helm.tar.gz" | sha256sum --check --strict \
    && tar --extract --gzip --file /helm.tar.gz --strip-components 1 "linux-$TARGETARCH/helm"

FROM docker.io/library/debian:${DEBIAN}-slim
# nft is what the guard needs, certificates what every call to https needs.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates nftables \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/cache/ldconfig/* /var/log/* \
    && echo sinfonia:x:65532: >>/etc/group \
    && echo sinfonia:x:65532:65532:sinfonia:/var/cache/sinfonia:/usr/sbin/nologin >>/etc/passwd \
    && install --directory --owner 65532 --group 65532 /var/cache/sinfonia
COPY --from=helm --chmod=0755 /helm /usr/local/bin/
COPY --from=build --chmod=0755 /programs/ /usr/local/bin/
COPY LICENSE /usr/share/doc/sinfonia/
# helm, Tier 2 and Tier 3 keep files here; nothing else of the image is written to.
ENV HOME=/var/cache/sinfonia \
    SINFONIA_CACHE=/var/cache/sinfonia
WORKDIR /var/cache/sinfonia
USER 65532:65532
EXPOSE 5000 51820/udp
CMD ["sinfonia-tier1", "--help"]

ARG VERSION=development
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Sinfonia" \
      org.opencontainers.image.description="Finds a nearby edge cluster for a device, deploys its backend there and connects the two with WireGuard" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.source="https://github.com/cmusatyalab/sinfonia" \
      org.opencontainers.image.url="https://github.com/cmusatyalab/sinfonia" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
