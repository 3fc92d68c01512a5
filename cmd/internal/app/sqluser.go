package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"leadevents"
	"leadevents/audit"
	"leadevents/auth"
	"leadevents/clickhouse/analyst"
	"leadevents/configs"
)

// SetSQLUser makes the database user with which an organization's tools outside read
// its events, or gives it another password; with drop it ends it.
func SetSQLUser(ctx context.Context, s configs.Settings, log *slog.Logger, org leadevents.OrgID, drop bool) (account analyst.Account, err error) {
	err = Administer(ctx, s, log, func(d *auth.Directory) (err error) {
		if _, err := d.Organization(ctx, org); err != nil {
			return err
		}
		db, err := openClickHouse(s, dialers{})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		act, do := audit.SQLUserCreate, db.Analysts().MakeOutside
		if drop {
			act, do = audit.SQLUserDrop, db.Analysts().DropOutside
		}
		object := analyst.Outside(s.ClickHouse.Database, org).User
		return audit.NewLog(db, time.Now, log).Do(ctx, org, audit.Act{Action: act, Object: object}, func(ctx context.Context, _ audit.Detail) error {
			account, err = do(ctx, org)
			return err
		})
	})
	return account, err
}
