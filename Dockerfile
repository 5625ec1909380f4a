# The laptop cloud with the browser client, as an image. See docs/without-compiling.md.

FROM node:24-trixie-slim AS page
WORKDIR /build/web
COPY web .
RUN npm ci --no-audit --no-fund && npm run build

FROM rust:1.95-trixie AS program
WORKDIR /build
COPY . .
# The profile `release` is optimised for size, for cold starts.
RUN cargo build --locked --profile bench -p confab-local && mkdir /data

# Without a shell and a package manager; its user `nonroot` has the id 65532.
FROM gcr.io/distroless/cc-debian13:nonroot
WORKDIR /confab
COPY --from=program /build/target/release/confab /build/template.yaml /build/LICENSE-MIT /build/LICENSE-APACHE ./
COPY --from=page /build/web/dist web/dist
COPY --from=program --chown=65532:65532 /data /data
# The key for the AWS APIs is kept with the data, so that it outlives the container.
ENV CONFAB_STATE=/data
VOLUME /data
EXPOSE 8000 8001 8002 8003 8004
# The container's address; what reaches it from outside is decided by the published ports.
ENTRYPOINT ["/confab/confab", "--listen", "0.0.0.0"]
CMD ["--data", "/data/confab.db"]
