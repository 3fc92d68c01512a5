package app

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents/configs"
	"leadevents/internal/notify"
)

// checkNotify looks whether changes of credentials can be announced. A server works
// without: it finds them by polling.
func checkNotify(ctx context.Context, s configs.Settings) Finding {
	const subject = "redis"
	err := func() error {
		cfg, err := notifyConfig(s, dialers{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err != nil {
			return err
		}
		channel, err := notify.New(cfg)
		if err != nil {
			return err
		}
		defer func() { _ = channel.Close() }() // nothing was written
		return channel.Examine(ctx)
	}()
	if err == nil {
		return Finding{OK, subject, "changes of credentials are announced by pub/sub", ""}
	}
	remedy := "look into Redis' log: SUBSCRIBE is refused or not answered"
	if strings.Contains(err.Error(), "NOPERM") {
		remedy = fmt.Sprintf("give redis.user the channel and the commands: `ACL SETUSER … &%s:* +subscribe +publish +ping`", s.Redis.KeyPrefix)
	}
	return Finding{Warning, subject, fmt.Sprintf("changes of credentials cannot be announced (%v): other servers find them by polling, after auth.refresh_interval", err), remedy}
}
