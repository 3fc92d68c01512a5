package app

import (
	"context"
	"fmt"
	"strings"

	"leadevents/clickhouse"
	"leadevents/configs"
)

// checkSQL looks whether organizations' own SQL reaches ClickHouse, which is over HTTP.
// A server works without: POST /api/v1/sql alone is a 503.
func checkSQL(ctx context.Context, s configs.Settings, db *clickhouse.DB) Finding {
	const subject = "clickhouse"
	where := strings.Join(s.ClickHouse.HTTPAddrs, ", ")
	if err := db.Analysts().Ping(ctx); err != nil {
		return Finding{Warning, subject, fmt.Sprintf("%s does not answer over HTTP (%v): organizations' SQL gets 503", where, cause(err)),
			"correct clickhouse.http_addrs, or open ClickHouse's HTTP port (http_port; https_port with clickhouse.tls) to this machine"}
	}
	return Finding{OK, subject, where + " answers over HTTP, for organizations' SQL", ""}
}
