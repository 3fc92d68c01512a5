package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"leadevents"
	"leadevents/auth"
	"leadevents/clickhouse"
	"leadevents/configs"
	"leadevents/ingest"
	"leadevents/ingest/ledger"
	"leadevents/internal/httpserver"
	"leadevents/journal"
	"leadevents/query"
	"leadevents/reconcile"
	"leadevents/retention"
)

// How long parts other than HTTP may take to stop. They are bounded by deadlines
// of their own; these bounds only matter when one of those is broken.
const (
	stopCredentials = 10 * time.Second // one last write of the uses of keys
	stopHints       = 10 * time.Second // a connection is closed
	stopAudiences   = 10 * time.Second // a sweep under way is given up
	stopSends       = 10 * time.Second // running queries are cancelled, leases given up
	stopSQL         = 10 * time.Second // entries of the audit log are written
	stopErasures    = 10 * time.Second // a mutation under way goes on in ClickHouse
	stopEngine      = 30 * time.Second // running queries are cancelled, tables closed
	stopRedis       = 30 * time.Second // the append-only file is written out
)

// server is the graph of parts that answers requests.
type server struct {
	listener    net.Listener
	db          *clickhouse.DB
	ledger      *ledger.Ledger
	ingester    *ingest.Ingester
	credentials *Credentials
	leads       *journal.Leads
	undos       *journal.Undos
	retention   *retention.Keeper
	operator    auth.OperatorToken
	audiences   *query.Audiences
	sends       *query.Sends
	sql         *query.SQL
	events      *query.Events
	reconciler  *reconcile.Reconciler
	http        *httpserver.Server

	reconcileTimeout time.Duration
}

// Serve is the server against the stores of the settings: it starts everything,
// serves until ctx ends or a part fails, and stops everything.
func Serve(ctx context.Context, s configs.Settings, log *slog.Logger) (err error) {
	g := newGroup(log)
	defer func() { err = errors.Join(err, g.stop()) }()
	if err := requireSchema(ctx, s, log); err != nil {
		return err
	}
	srv, err := build(ctx, g, s, dialers{}, log)
	if err != nil {
		return err
	}
	srv.serve(g, s)
	log.Info("ready", "url", srv.url(s), "clickhouse", s.ClickHouse.Addrs, "redis", s.Redis.Addr)
	return g.wait(ctx)
}

// requireSchema refuses to serve on tables of another binary. A server that is
// down is no reason to refuse: it may come, and until then /readyz tells.
func requireSchema(ctx context.Context, s configs.Settings, log *slog.Logger) error {
	err := requireTables(ctx, s)
	if silent, ok := errors.AsType[*errSilent](err); ok {
		log.Warn("ClickHouse does not answer; requests get 503 until it does", "error", cause(silent.err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// build makes the parts, from the stores up to the listener, and hands each to g
// as soon as it works. The order is the one of the package comment; the reasons
// are those of the stop, which is the reverse.
func build(ctx context.Context, g *group, s configs.Settings, d dialers, log *slog.Logger) (*server, error) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	srv := &server{}
	var err error

	// Before all others and stopped after them: a start or a stop that hangs can be looked at.
	if err := openPprof(ctx, g, s.Pprof, log); err != nil {
		return nil, err
	}

	// Closed last: everything below still writes when it stops.
	if srv.db, err = openClickHouse(s, d); err != nil {
		return nil, err
	}
	g.addCloser("clickhouse", srv.db.Close)

	// Closed when the last call has sealed its keys.
	cfg, err := ledgerConfig(s, d, log, reg)
	if err != nil {
		return nil, err
	}
	if srv.ledger, err = ledger.New(cfg, srv.db); err != nil {
		return nil, err
	}
	g.addCloser("ledger", srv.ledger.Close)

	// Closed when no request is left that has a place to give back.
	limiter, err := openLimiter(s, d, log, reg)
	if err != nil {
		return nil, err
	}
	g.addCloser("limits", limiter.Close)

	// Stopped when no request is left that needs a principal: the last uses of
	// keys, those of the requests in flight too, are written then.
	if srv.credentials, err = openCredentials(s, d, limiter, log, reg); err != nil {
		return nil, err
	}
	srv.operator = auth.NewOperatorToken(s.OperatorToken)
	g.addCloser("credentials' connections", srv.credentials.Close)
	erased := openErased(s, srv.credentials)
	srv.retention = openRetention(s, srv.credentials, srv.db, srv.ledger, log, reg)
	g.run("credentials", stopCredentials, srv.credentials.Run)
	g.run("announcements of credentials", stopHints, srv.credentials.Follow)

	// Stopped after HTTP: each accepted call is stored and sealed, and only then
	// can its handler answer, which HTTP's stop waits for. What is left here is
	// what HTTP gave up waiting for.
	srv.ingester = ingest.New(ingest.Config{
		Queue: s.Ingest.Queue, Lanes: s.Ingest.Lanes, SmallRows: s.Ingest.SmallRows,
		GroupRows: s.Ingest.GroupRows, GroupBytes: int(s.Ingest.GroupBytes), GroupAge: s.Ingest.GroupAge,
		BulkLanes: s.Ingest.BulkLanes, BulkQueue: s.Ingest.BulkQueue, PartsPerSecond: s.Ingest.MaxPartsPerSecond,
		HistoricalLanes: s.Ingest.HistoricalLanes, HistoricalQueue: s.Ingest.HistoricalQueue, Horizon: s.Ledger.Horizon,
		Conflicts:     s.Ingest.Conflicts == "on",
		InsertTimeout: s.ClickHouse.InsertTimeout, PeekTimeout: s.Ingest.PeekTimeout,
		Silence: s.Ingest.StoreSilence, Erased: erased, Retention: srv.retention,
		Logger: log, Metrics: reg, Now: time.Now,
	}, srv.db, srv.ledger)
	g.add("ingester", s.HTTP.ShutdownTimeout, srv.ingester.Close)

	// Uploads end with HTTP; what is left to stop is the sweep.
	srv.audiences = query.NewAudiences(query.AudienceConfig{
		MaxUploads: s.Audiences.MaxUploads, InsertTimeout: s.ClickHouse.InsertTimeout, FinishTimeout: s.Audiences.FinishTimeout,
		Evaluation: max(s.Filters.MaterializeTimeout, s.Filters.PreviewTimeout),
		Erased:     erased,
		Refused:    limiter.Refusals(leadevents.StoredAudiences),
		Logger:     log, Metrics: reg,
	}, srv.db, srv.ledger)
	g.run("audiences", stopAudiences, srv.audiences.Run)
	// Stopped after HTTP: what is materialized then is given up, and begun again by
	// another process or the next start.
	srv.sends = query.NewSends(query.SendConfig{
		Workers: s.Sends.Workers, Queue: s.Sends.Queue, Streams: s.Sends.Streams,
		Wait: s.Sends.Wait, Lease: s.Sends.Lease, ClockSkew: s.Filters.ClockSkew, Erased: erased,
		Logger: log, Metrics: reg,
	}, srv.db, srv.ledger)
	g.run("sends", stopSends, srv.sends.Run)
	// Stopped after HTTP: the last entries of the audit log are written behind answers.
	srv.sql = query.NewSQL(query.SQLConfig{
		Limits: s.SQL.Limits(), MaxQueryBytes: int(s.SQL.MaxQueryBytes), MaxNesting: s.SQL.MaxNesting, AtOnce: s.SQL.AtOnce,
		Logger: log,
	}, srv.db.Analysts(), srv.db)
	g.add("sql", stopSQL, srv.sql.Settle)

	srv.events = query.NewEvents(query.EventsConfig{Streams: s.Events.Streams, Logger: log}, srv.db)

	// What is erased or undone then is gone on with by another process or the next start; so is what
	// has expired.
	srv.leads = openLeads(s, srv.credentials, srv.db, srv.ledger, erased, log, reg)
	g.run("erasures", stopErasures, srv.leads.Run)
	srv.undos = journal.NewUndos(leadsConfig(s, srv.credentials, log, reg), srv.db, srv.ledger, srv.ledger)
	g.run("undos", stopErasures, srv.undos.Run)
	g.run("retention", stopErasures, srv.retention.Run)

	srv.reconciler = openReconciler(s, srv.db, srv.ledger.Inspector(), log)
	srv.reconcileTimeout = s.Reconcile.Timeout

	certificate, err := openCertificate(g, s.HTTP, log)
	if err != nil {
		return nil, err
	}
	if srv.http, err = newHTTP(s, certificate, log, reg); err != nil {
		return nil, err
	}
	srv.route()
	srv.observe()
	// The address is taken before anybody is told that the server is ready, and
	// a taken port is an error here rather than in a goroutine.
	if srv.listener, err = httpserver.Listen(ctx, s.Listen); err != nil {
		return nil, err
	}
	return srv, nil
}

func newHTTP(s configs.Settings, certificate *httpserver.Certificate, log *slog.Logger, reg *prometheus.Registry) (*httpserver.Server, error) {
	proxies, err := trustedProxies(s.HTTP)
	if err != nil {
		return nil, err
	}
	return httpserver.New(httpserver.Config{
		MaxHeaderBytes:   int(s.HTTP.MaxHeaderBytes),
		MaxConnections:   s.HTTP.MaxConnections,
		MaxRequests:      s.HTTP.MaxRequests,
		MaxBodyMemory:    int64(s.HTTP.MaxBodyMemory),
		HeaderTimeout:    s.HTTP.HeaderTimeout,
		BodyTimeout:      s.HTTP.BodyTimeout,
		BodyIdleTimeout:  s.HTTP.BodyIdleTimeout,
		IdleTimeout:      s.HTTP.IdleTimeout,
		WriteTimeout:     s.HTTP.WriteTimeout,
		LingerTimeout:    s.HTTP.LingerTimeout,
		ReadinessTimeout: s.HTTP.ReadinessTimeout,
		Certificate:      certificate,
		TrustedProxies:   proxies,
		LogRequests:      s.Log.Requests,
		OpenAPI:          leadevents.OpenAPI,
	}, log, reg, reg)
}

func now() leadevents.Millis { return leadevents.MillisOf(time.Now()) }

// route registers every handler.
func (srv *server) route() {
	app := srv.http.App()
	ingest.NewHandler(srv.ingester, srv.credentials.Directory).Register(app)
	query.NewBatchHandler(query.NewBatches(srv.db, now), srv.credentials.Directory).Register(app)
	query.NewRunHandler(query.NewRuns(srv.db), srv.credentials.Directory).Register(app)
	query.NewEventHandler(srv.events, srv.credentials.Directory).Register(app)
	query.NewAuditHandler(query.NewAuditLog(srv.db), srv.credentials.Directory, srv.sql.Settle).Register(app)
	query.NewReportHandler(srv.db, srv.credentials.Directory).Register(app)
	query.NewAudienceHandler(srv.audiences, srv.credentials.Directory).Register(app)
	auth.NewAdminHandler(srv.credentials.Directory, srv.operator).Register(app)
	journal.NewHandler(srv.leads, srv.credentials.Directory).Register(app)
	journal.NewUndoHandler(srv.undos, srv.credentials.Directory).Register(app)
	retention.NewHandler(srv.retention, srv.credentials.Directory).Register(app)
	reconcile.NewHandler(srv.reconciler, srv.credentials.Directory, srv.reconcileTimeout).Register(app)
	query.NewSendHandler(srv.sends, srv.credentials.Directory, ingest.LookupOrganization).Register(app)
	query.NewSQLHandler(srv.sql, srv.credentials.Directory).Register(app)
}

// observe tells /readyz of both stores. A store whose calls are refused is not
// asked: that it does not answer is known. One that refuses what it is given is
// ready, for reading works, and says so; and a ledger that is suspect or
// rebuilding, only slower.
func (srv *server) observe() {
	check := func(ctx context.Context, status ingest.StoreStatus, ping func(context.Context) error) httpserver.Readiness {
		shown := struct {
			Error string `json:"error,omitempty"`
			ingest.StoreStatus
		}{StoreStatus: status}
		if status.Open() {
			shown.Error = status.Reason
		} else if err := ping(ctx); err != nil {
			shown.Error = cause(err).Error()
		}
		return httpserver.Readiness{OK: shown.Error == "", Detail: shown}
	}
	srv.http.AddReadiness("clickhouse", func(ctx context.Context) httpserver.Readiness {
		status, _ := srv.ingester.Stores()
		return check(ctx, status, srv.db.Ping)
	})
	srv.http.AddReadiness("redis", func(ctx context.Context) httpserver.Readiness {
		_, status := srv.ingester.Stores()
		return check(ctx, status, srv.ledger.Ping)
	})
	srv.http.AddReadiness("ledger", func(context.Context) httpserver.Readiness {
		return httpserver.Readiness{OK: true, Detail: srv.ledger.Status()}
	})
}

// serve begins to accept. Its stop is the first of all: nothing new comes in, and
// requests in flight are waited for.
func (srv *server) serve(g *group, s configs.Settings) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.http.Serve(srv.listener); err != nil {
			g.fail(err)
		}
	}()
	g.add("http", s.HTTP.ShutdownTimeout, func(ctx context.Context) error {
		err := srv.http.Shutdown(ctx)
		<-done // Serve returns when its listener is closed, which Shutdown does first
		return err
	})
}

// url is where clients on this machine reach the server.
func (srv *server) url(s configs.Settings) string {
	addr, ok := srv.listener.Addr().(*net.TCPAddr)
	if !ok {
		return scheme(s.HTTP) + "://" + srv.listener.Addr().String()
	}
	host := addr.IP.String()
	if addr.IP.IsUnspecified() { // all addresses: this one too
		host = "127.0.0.1"
	}
	return scheme(s.HTTP) + "://" + net.JoinHostPort(host, fmt.Sprint(addr.Port))
}
