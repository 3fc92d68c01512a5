package limits

import (
	"cmp"
	"context"
	"crypto/tls"
	_ "embed"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"leadevents"
)

//go:embed scripts/admit.lua
var admitText string

//go:embed scripts/renew.lua
var renewText string

var (
	admitScript = redis.NewScript(admitText)
	renewScript = redis.NewScript(renewText)
)

// Config says where Redis is.
type Config struct {
	Addr     string
	Username string
	Password string
	DB       int
	TLS      *tls.Config
	// Dial, if set, makes the connections; `dev` follows its Redis with it.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Prefix stands before every key.
	Prefix string
	// Timeout bounds one question, default 100 ms; a Redis that is slower than that
	// is one that does not answer.
	Timeout time.Duration
	// Pause is how long Redis is left alone after it did not answer, default 1 s.
	Pause time.Duration
	// Lease is how long a place outlives its process, default 30 s.
	Lease time.Duration

	Logger  *slog.Logger
	Metrics prometheus.Registerer // may be nil
}

// Limiter counts. It is safe for concurrent use; the nil one limits nothing.
type Limiter struct {
	cfg      Config
	redis    *redis.Client
	own      *local
	asleep   atomic.Int64 // until when Redis is not asked, ms; 0 while it answers
	refusals [len(leadevents.Limits{})]prometheus.Counter
}

// New connects when it is first asked; Close ends it.
func New(cfg Config) (*Limiter, error) {
	cfg.Timeout = cmp.Or(cfg.Timeout, 100*time.Millisecond)
	cfg.Pause = cmp.Or(cfg.Pause, time.Second)
	cfg.Lease = cmp.Or(cfg.Lease, 30*time.Second)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Limiter{cfg: cfg, own: newLocal(time.Now), redis: redis.NewClient(&redis.Options{
		Addr: cfg.Addr, Username: cfg.Username, Password: cfg.Password, DB: cfg.DB, TLSConfig: cfg.TLS, Dialer: cfg.Dial,
		Protocol: 2, MaxRetries: -1, ContextTimeoutEnabled: true, DisableIdentity: true,
		DialerRetries: 1, DialTimeout: cfg.Timeout, ReadTimeout: cfg.Timeout, WriteTimeout: cfg.Timeout, PoolTimeout: cfg.Timeout,
	})}
	if err := l.register(cfg.Metrics); err != nil {
		return nil, fmt.Errorf("register the metrics of limits: %w", err)
	}
	return l, nil
}

func (l *Limiter) register(reg prometheus.Registerer) error {
	refusals := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "leadevents_limit_refusals_total",
		Help: "Requests refused by a limit of their organization, by limit.",
	}, []string{"limit"})
	for _, limit := range leadevents.AllLimits() {
		l.refusals[limit] = refusals.WithLabelValues(limit.String())
	}
	if reg == nil {
		return nil
	}
	if err := reg.Register(refusals); err != nil {
		return err
	}
	return reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "leadevents_limits_local",
		Help: "1 while this process counts limits for itself, because Redis does not answer.",
	}, func() float64 {
		if l.asleep.Load() != 0 {
			return 1
		}
		return 0
	}))
}

// Close closes the connections.
func (l *Limiter) Close() error { return l.redis.Close() }

// Want is what a call takes of the limits of its organization.
type Want struct {
	Requests int
	// Rows is how many it has. SomeRows is of a call that does not know yet: it
	// takes none, passes where one row would, and charges them as they come.
	Rows int
	// Place is BodiesInFlight or ConcurrentExports, of which the call holds one while
	// it is handled; zero without one.
	Place leadevents.Limit
}

// SomeRows is any number of rows.
const SomeRows = -1

// Admit takes all that the call wants, where its organization has a limit of it, or
// nothing, and says which limit refuses: a 429 with the time after which to come
// again. release gives the place back; it is nil without one. limits is nil for an
// organization without any.
//
// What an organization without limits pays is the test at the top (BenchmarkAdmit: 3
// ns, no allocation); one with limits pays a round trip to Redis, 60 to 130 µs on a
// busy machine, whether one of its limits is asked for or three.
func (l *Limiter) Admit(ctx context.Context, org leadevents.OrgID, limits *leadevents.Limits, want Want) (release func(), err error) {
	if l == nil || limits == nil {
		return nil, nil
	}
	return l.admit(ctx, org, limits, want)
}

func (l *Limiter) admit(ctx context.Context, org leadevents.OrgID, limits *leadevents.Limits, want Want) (release func(), err error) {
	q := newQuestion(limits, want)
	if q == (question{}) {
		return nil, nil
	}
	keys := l.keys(org, want.Place)
	refusing, wait, release := l.decide(ctx, keys, q)
	if refusing == 0 {
		return release, nil
	}
	limit := [...]leadevents.Limit{leadevents.RequestsPerSecond, leadevents.RowsPerSecond, want.Place}[refusing-1]
	l.refusals[limit].Inc()
	return nil, refusal(org, limit, limits[limit], wait)
}

func (l *Limiter) decide(ctx context.Context, keys []string, q question) (refusing int, wait time.Duration, release func()) {
	var held *place
	if q.places > 0 {
		held = newPlace(l, keys[2])
	}
	answer, ok := l.ask(ctx, admitScript, keys, q.args(held, l.cfg.Lease)...)
	if !ok {
		if held != nil {
			held.giveBackLater(time.Now()) // Redis may have heard it
		}
		return l.own.admit(keys, q)
	}
	if held != nil && answer[0] == 0 {
		held.keep()
		release = held.release
	}
	return int(answer[0]), time.Duration(answer[1]) * time.Millisecond, release
}

// Charge takes rows that have come of a call that was admitted with SomeRows, whatever
// is left.
func (l *Limiter) Charge(ctx context.Context, org leadevents.OrgID, limits *leadevents.Limits, rows int) {
	if l == nil || limits == nil || limits[leadevents.RowsPerSecond] == 0 || rows == 0 {
		return
	}
	q := question{rows: bucketQuestion{rate: limits[leadevents.RowsPerSecond], take: rows, least: anything}}
	l.decide(ctx, l.keys(org, 0), q)
}

// Refusals counts what is refused by a limit that is not counted here.
func (l *Limiter) Refusals(limit leadevents.Limit) prometheus.Counter { return l.refusals[limit] }

// keys are those of an organization, in the order of the scripts; in a cluster they
// would lie together.
func (l *Limiter) keys(org leadevents.OrgID, place leadevents.Limit) []string {
	of := l.cfg.Prefix + "limits:{" + org.String() + "}:"
	return []string{of + leadevents.RequestsPerSecond.String(), of + leadevents.RowsPerSecond.String(), of + place.String()}
}

// refusal is the 429 of a limit.
func refusal(org leadevents.OrgID, limit leadevents.Limit, value int, wait time.Duration) error {
	text := map[leadevents.Limit]string{
		leadevents.RequestsPerSecond: "organization %d may send %d requests a second (%s); send this one again after Retry-After",
		leadevents.RowsPerSecond:     "organization %d may send %d rows a second (%s), and calls before this one had more; send it again after Retry-After",
		leadevents.BodiesInFlight:    "organization %d may have %d requests with a body under way at once (%s); send this one again when one is answered",
		leadevents.ConcurrentExports: "organization %d may read %d results at once (%s); ask again when one has ended",
	}[limit]
	e := leadevents.Errorf(leadevents.RateLimited, text, org, value, limit)
	e.RetryAfter = wait
	return e
}

// ask runs a script; not ok means that Redis has not answered, and is left alone for a
// while. Then one call in every Pause tries it.
func (l *Limiter) ask(ctx context.Context, script *redis.Script, keys []string, args ...any) (answer [2]int64, ok bool) {
	until := l.asleep.Load()
	if until != 0 {
		now := time.Now().UnixMilli()
		next := now + l.cfg.Pause.Milliseconds()
		if now < until || !l.asleep.CompareAndSwap(until, next) {
			return answer, false
		}
		until = next
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.cfg.Timeout)
	defer cancel()
	numbers, err := script.Run(ctx, l.redis, keys, args...).Int64Slice()
	if err == nil && len(numbers) != len(answer) {
		err = fmt.Errorf("the script answered with %d numbers", len(numbers))
	}
	if err != nil {
		l.silent(until, err)
		return answer, false
	}
	if until != 0 && l.asleep.CompareAndSwap(until, 0) {
		l.cfg.Logger.Info("limits are counted in Redis again")
	}
	return [2]int64(numbers), true
}

// silent leaves Redis alone for a while.
func (l *Limiter) silent(until int64, err error) {
	next := time.Now().UnixMilli() + l.cfg.Pause.Milliseconds()
	if l.asleep.CompareAndSwap(until, next) && until == 0 {
		l.cfg.Logger.Warn("limits are counted by each process for itself: Redis does not answer", "error", err)
	}
}
