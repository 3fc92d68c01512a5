package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents"
	"leadevents/clickhouse"
	"leadevents/configs"
	"leadevents/ingest/ledger"
	"leadevents/internal/snapshot"
	"leadevents/journal"
	"leadevents/retention"
)

// followed is how old what is refused by may be: as old as credentials.
func followed(s configs.Settings) snapshot.Config {
	return snapshot.Config{Fresh: s.Auth.RefreshInterval, Stale: s.Auth.MaxStaleness, Wait: s.Auth.MaxWait}
}

// openErased knows which leads are erased. It asks over the connections of credentials,
// which never wait behind inserts.
func openErased(s configs.Settings, c *Credentials) *journal.Erased {
	erased := journal.NewErased(followed(s), c.db, c.Directory)
	c.heard = append(c.heard, erased.Notify)
	return erased
}

// lateStores is how long after a lead was erased a request may still store a row of it,
// which did not know: package journal, Config.Grace. An insert that lingers ends within
// three deadlines (ingest, mender); a piece of an upload has three tries and their pauses.
func lateStores(s configs.Settings) time.Duration {
	return max(
		3*s.Ledger.Deadline,
		s.Auth.MaxStaleness+s.Ingest.PeekTimeout+s.Ledger.Deadline,
		s.Auth.MaxStaleness+3*s.ClickHouse.InsertTimeout+3*time.Second,
	) + s.Ledger.Margin
}

func leadsConfig(s configs.Settings, c *Credentials, log *slog.Logger, reg prometheus.Registerer) journal.Config {
	return journal.Config{
		Grace: lateStores(s), Settle: s.Ledger.Deadline + 2*s.Ledger.Margin, PurgeAfter: s.Erasure.PurgeAfter, Wait: s.Erasure.Wait,
		Announce: c.announcements.Announce, Logger: log, Metrics: reg,
	}
}

func openLeads(s configs.Settings, c *Credentials, db *clickhouse.DB, l *ledger.Ledger, erased *journal.Erased, log *slog.Logger, reg prometheus.Registerer) *journal.Leads {
	return journal.New(leadsConfig(s, c, log, reg), db, l, l, c.Directory, erased)
}

func retentionConfig(s configs.Settings, c *Credentials, log *slog.Logger, reg prometheus.Registerer) retention.Config {
	return retention.Config{
		Horizon: s.Ledger.Horizon, ShortHorizon: s.Ledger.ShortHorizon, Slot: ledger.LongestSlot(uint(s.Ledger.SlotWidth)),
		Every: s.Retention.Every, Announce: c.announcements.Announce, Snapshot: followed(s), Logger: log, Metrics: reg,
	}
}

func openRetention(s configs.Settings, c *Credentials, db *clickhouse.DB, l *ledger.Ledger, log *slog.Logger, reg prometheus.Registerer) *retention.Keeper {
	keeper := retention.New(retentionConfig(s, c, log, reg), db, l)
	c.heard = append(c.heard, keeper.Notify)
	return keeper
}

// EraseLeads opens the erasure of an organization's leads in the stores of the settings for
// do, whether a server runs or not: servers do the work.
func EraseLeads(ctx context.Context, s configs.Settings, log *slog.Logger, org leadevents.OrgID, do func(*journal.Leads) error) error {
	return withCredentials(ctx, s, log, func(c *Credentials) error {
		if _, err := c.Organization(ctx, org); err != nil { // a number that was mistyped
			return err
		}
		cfg := leadsConfig(s, c, log, prometheus.NewRegistry())
		return do(journal.New(cfg, c.db, nil, nil, c.Directory, openErased(s, c)))
	})
}

// KeepEvents opens an organization's rules of retention in the stores of the settings for
// do, whether a server runs or not.
func KeepEvents(ctx context.Context, s configs.Settings, log *slog.Logger, org leadevents.OrgID, do func(*retention.Keeper) error) error {
	return withCredentials(ctx, s, log, func(c *Credentials) error {
		if _, err := c.Organization(ctx, org); err != nil {
			return err
		}
		return do(retention.New(retentionConfig(s, c, log, prometheus.NewRegistry()), c.db, nil))
	})
}
