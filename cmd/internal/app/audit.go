package app

import (
	"context"
	"errors"

	"leadevents/configs"
	"leadevents/query"
)

// ReadAudit opens the audit log in the stores of the settings for do, whether a
// server runs or not.
func ReadAudit(ctx context.Context, s configs.Settings, do func(*query.AuditLog) error) (err error) {
	if err := requireTables(ctx, s); err != nil {
		return err
	}
	s.ClickHouse.MaxConns = 2 // a page at a time
	db, err := openClickHouse(s, dialers{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return do(query.NewAuditLog(db))
}
