package clickhouse

import (
	"cmp"
	"context"
	"crypto/tls"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
)

//go:embed sql/*.sql
var documents embed.FS

// Config says where ClickHouse is and how to talk to it.
type Config struct {
	Addrs    []string // native protocol, host:port
	Database string
	User     string
	Password string
	TLS      *tls.Config // nil: plain TCP

	DialTimeout time.Duration // one connection attempt; default 2 s
	ReadTimeout time.Duration // the longest silence of the server in an answer; default 30 s
	MaxConns    int           // default 16
	// Compress turns LZ4 on for what travels. On loopback it costs more than it
	// saves; between machines it saves two thirds of the bytes.
	Compress bool
	// Evaluation bounds the evaluation of campaign filters.
	Evaluation EvaluationConfig
	// Analysts is how organizations' own SQL is run.
	Analysts AnalystConfig
	// Events bounds questions about events.
	Events EventsConfig
	// Reports bounds the reports of analysts.
	Reports ReportConfig
	// Dial, if set, makes the connections. `dev` uses it to follow its engine
	// to another port after a restart.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
}

// DB is a pool of connections to one database.
type DB struct {
	conn     driver.Conn
	pulse    driver.Conn // for Probe: one connection that no query uses
	database string
	dials    atomic.Uint64
	heard    atomic.Uint64 // reads that brought something

	evaluation                 EvaluationConfig
	previews, materializations *gate
	events                     EventsConfig
	questions                  *gate
	catalogs                   catalogs
	reports                    *reporting
	repeats                    *repeats

	// For columns, which another client reads.
	addrs          []string
	user, password string
	readTimeout    time.Duration
	compress       bool
	dial           func(ctx context.Context, addr string) (net.Conn, error)

	analysts  *Analysts
	lingering lingering
}

type dialFunc = func(ctx context.Context, addr string) (net.Conn, error)

// Open makes the pool; it connects on first use, so it does not fail because a
// server is down.
func Open(cfg Config) (*DB, error) {
	if len(cfg.Addrs) == 0 {
		return nil, errors.New("open ClickHouse: no address given")
	}
	db := &DB{
		database: cfg.Database, evaluation: cfg.Evaluation.withDefaults(),
		addrs: cfg.Addrs, user: cfg.User, password: cfg.Password, readTimeout: cmp.Or(cfg.ReadTimeout, 30*time.Second), compress: cfg.Compress,
	}
	db.previews, db.materializations = newGate(db.evaluation.AtOnce), newGate(db.evaluation.AtOnce)
	db.events = cfg.Events.withDefaults()
	db.questions = newGateOf(db.events.AtOnce, "questions about events", "events.at_once")
	db.reports, db.repeats = newReporting(cfg.Reports), newRepeats()
	dial := cfg.Dial
	if dial == nil {
		dialer := &net.Dialer{}
		dial = func(ctx context.Context, addr string) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", addr) }
	}
	over := func(dial dialFunc) dialFunc {
		return func(ctx context.Context, addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, cmp.Or(cfg.DialTimeout, 2*time.Second))
			defer cancel()
			conn, err := dial(ctx, addr)
			if err != nil {
				return nil, err
			}
			conn = polite(conn, &db.lingering, &db.heard)
			if cfg.TLS == nil {
				return conn, nil
			}
			return secure(ctx, conn, cfg.TLS, addr)
		}
	}
	heard := over(dial)
	db.dial = heard
	if cfg.Analysts.Dial != nil {
		dial = cfg.Analysts.Dial
	}
	db.analysts = newAnalysts(db, cfg.Analysts, over(dial))
	options := &clickhouse.Options{
		Addr: cfg.Addrs,
		Auth: clickhouse.Auth{Database: cfg.Database, Username: cfg.User, Password: cfg.Password},
		DialContext: func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := heard(ctx, addr)
			if err == nil {
				db.dials.Add(1)
			}
			return conn, err
		},
		TLS:             cfg.TLS,
		DialTimeout:     cmp.Or(cfg.DialTimeout, 2*time.Second),
		ReadTimeout:     cmp.Or(cfg.ReadTimeout, 30*time.Second),
		MaxOpenConns:    cmp.Or(cfg.MaxConns, 16),
		MaxIdleConns:    cmp.Or(cfg.MaxConns, 16),
		ConnMaxLifetime: time.Hour,
		Settings: clickhouse.Settings{
			// On by default since 26.2, and with tokens of ours it lost rows in
			// 26.7.1 (ClickHouse issue 111031). Ours wait for the part.
			"async_insert": 0,
		},
	}
	if cfg.Compress {
		options.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		return nil, fmt.Errorf("open ClickHouse at %s: %w", strings.Join(cfg.Addrs, ", "), err)
	}
	// Its connections are not counted as dials: they come and go with a server that
	// is silent, and no decision rests on what they say.
	single := *options
	single.DialContext, single.MaxOpenConns, single.MaxIdleConns = heard, 1, 1
	pulse, err := clickhouse.Open(&single)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open ClickHouse at %s: %w", strings.Join(cfg.Addrs, ", "), err), conn.Close())
	}
	db.conn, db.pulse = conn, pulse
	return db, nil
}

// Close closes the connections; what is under way fails.
func (db *DB) Close() error {
	db.analysts.close()
	err := errors.Join(db.conn.Close(), db.pulse.Close())
	db.lingering.wait()
	return err
}

// Conn is the pool itself, for schema.Migrate and for `check`.
func (db *DB) Conn() driver.Conn { return db.conn }

// Analysts runs organizations' own SQL.
func (db *DB) Analysts() *Analysts { return db.analysts }

// Database is the name of the database.
func (db *DB) Database() string { return db.database }

// Generation grows with every connection made. A restarted or replaced server
// can only be reached over a new one, so as long as the number stands, the
// server is the one that was examined.
func (db *DB) Generation() uint64 { return db.dials.Load() }

// silentLimit is how long a statement of [DB.silently] may take before it is no longer waited for;
// ClickHouse goes on with it.
const silentLimit = 15 * time.Minute

// silently runs a statement at which the server says nothing until it has ended, however large the
// table: a mutation or a merge. Given up at the silence that ends other answers ([Config.ReadTimeout])
// it would be asked for again while it runs, and be done twice. Errors are the driver's.
func (db *DB) silently(ctx context.Context, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, silentLimit) // a deadline is what the driver waits to
	defer cancel()
	return db.conn.Exec(ctx, statement)
}

// Ping says whether the server answers.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.conn.Ping(ctx); err != nil {
		return unavailable(err)
	}
	return nil
}

// sqlText is the document sql/<name>.sql.
func sqlText(name string) string {
	text, err := fs.ReadFile(documents, "sql/"+name+".sql")
	if err != nil {
		panic("clickhouse: no document sql/" + name + ".sql") // a typo; every document is read by a test
	}
	return string(text)
}

// params gives a query its typed parameters ({name:Type} in the document).
// ClickHouse reads them as escaped text, clickhouse-go sends them as they are.
func params(ctx context.Context, p clickhouse.Parameters) context.Context {
	escaped := make(clickhouse.Parameters, len(p))
	for name, value := range p {
		escaped[name] = parameterText(value)
	}
	return clickhouse.Context(ctx, clickhouse.WithParameters(escaped))
}

// unavailable makes a store's failure one the client reads as "try again": the
// cause goes to the log, not to the client.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*leadevents.Error](err); ok {
		return err
	}
	if refused := refusal(err); refused != nil {
		return refused
	}
	e := leadevents.Wrap(leadevents.Unavailable, err, "the event store (ClickHouse) did not answer as it should; send the same request again")
	e.Unanswered = Unanswered(err)
	return e
}
