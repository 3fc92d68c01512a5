# The server alone: ClickHouse and Redis run beside it (docker-compose.yml).
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# Without .git in the context there is no revision to stamp.
RUN go build -buildvcs=false -trimpath -o /out/leadevents ./cmd/leadevents

FROM debian:12.12-slim
# For TLS to the stores; the slim image has no authorities of its own.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/leadevents /usr/local/bin/leadevents
# A user without a name, a home or rights; the server writes no files.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/leadevents"]
CMD ["serve"]
