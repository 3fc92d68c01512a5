package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"leadevents/auth"
	"leadevents/clickhouse"
	"leadevents/configs"
)

// Administer opens the organizations and keys in the stores of the settings for
// do, whether a server runs or not: servers follow the store. A store that does
// not answer, or has other tables than this binary's, is an error that says what
// to do, before do is called.
func Administer(ctx context.Context, s configs.Settings, log *slog.Logger, do func(*auth.Directory) error) error {
	return withCredentials(ctx, s, log, func(c *Credentials) error { return do(c.Directory) })
}

// withCredentials is Administer of what needs more than the directory.
func withCredentials(ctx context.Context, s configs.Settings, log *slog.Logger, do func(*Credentials) error) (err error) {
	if err := requireTables(ctx, s); err != nil {
		return err
	}
	c, err := OpenCredentials(s, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return do(c)
}

// errSilent is a ClickHouse that does not answer at all, where one that answers
// with other tables than ours is another matter.
type errSilent struct {
	where string
	err   error
}

func (e *errSilent) Error() string {
	return fmt.Sprintf("ClickHouse at %s cannot be used: %v: %s", e.where, cause(e.err), clickHouseRemedy(e.err))
}

func (e *errSilent) Unwrap() error { return e.err }

// requireTables refuses a database without the tables of this binary. Its error
// is an *errSilent where that could not be found out.
func requireTables(ctx context.Context, s configs.Settings) (err error) {
	db, err := openAnyDatabase(s, dialers{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	if err := db.Ping(ctx); err != nil {
		return &errSilent{strings.Join(s.ClickHouse.Addrs, ", "), err}
	}
	tables, err := checkSchema(ctx, db, s.ClickHouse.Database)
	switch {
	case err != nil && clickhouse.Unanswered(err): // it has left since
		return &errSilent{strings.Join(s.ClickHouse.Addrs, ", "), err}
	case tables.Level == Broken:
		return fmt.Errorf("%s: %s", tables.Text, tables.Remedy)
	}
	return nil
}
