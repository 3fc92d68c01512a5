package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// Config says where Redis is, and on which channel the hints go.
type Config struct {
	Addr     string
	Username string
	Password string
	TLS      *tls.Config
	// Dial, if set, makes the connections; `dev` follows its Redis with it.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Channel is the channel's name. Channels are not of a database: SELECT does not
	// tell two installations apart, their names must.
	Channel string

	// Timeout bounds an announcement, default 250 ms: whoever has changed something
	// waits for it.
	Timeout time.Duration
	// Gap is the shortest time between two hints, default 50 ms.
	Gap time.Duration
	// Silence is how long the connection may be silent before it is asked for a sign
	// of life, and then until it is given up; default 5 s.
	Silence time.Duration

	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

const (
	// dialTimeout bounds connecting and logging in, each.
	dialTimeout = 2 * time.Second
	// firstPause and longestPause are between two tries to connect. Nobody waits for
	// them, so they are long enough to cost a Redis that comes up nothing.
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// Channel announces and listens. It is safe for concurrent use.
type Channel struct {
	cfg     Config
	redis   *redis.Client
	metrics *metrics
}

// New connects when it is first needed; Close ends it.
func New(cfg Config) (*Channel, error) {
	cfg.Timeout = cmp.Or(cfg.Timeout, 250*time.Millisecond)
	cfg.Gap = cmp.Or(cfg.Gap, 50*time.Millisecond)
	cfg.Silence = cmp.Or(cfg.Silence, 5*time.Second)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("register the metrics of announcements: %w", err)
	}
	redis.SetLogger(noLog{}) // its lines on standard error repeat what our errors say
	return &Channel{cfg: cfg, metrics: m, redis: redis.NewClient(&redis.Options{
		Addr: cfg.Addr, Username: cfg.Username, Password: cfg.Password, TLSConfig: cfg.TLS, Dialer: cfg.Dial,
		Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true, DialerRetries: 1,
		// Once more, since the connection may be one of a Redis that was restarted
		// meanwhile; a message that comes twice is two hints.
		MaxRetries: 1, MinRetryBackoff: time.Millisecond, MaxRetryBackoff: time.Millisecond,
		PoolSize: 2, DialTimeout: dialTimeout, ReadTimeout: dialTimeout, WriteTimeout: dialTimeout,
	})}, nil
}

type noLog struct{}

func (noLog) Printf(context.Context, string, ...any) {}

// Close closes the connections.
func (c *Channel) Close() error { return c.redis.Close() }

// Announce tells every process that listens, this one too. It is worth a try and
// no error: whoever is not reached looks by himself, only later.
func (c *Channel) Announce(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.Timeout)
	defer cancel()
	if err := c.redis.Publish(ctx, c.cfg.Channel, "changed").Err(); err != nil {
		c.metrics.unannounced.Inc()
		c.cfg.Logger.Warn("a change could not be announced through Redis; other servers see it when they look next", "channel", c.cfg.Channel, "error", err)
		return
	}
	c.metrics.announced.Inc()
}

// Follow listens until ctx ends, and then returns nil. It calls heard after a
// message, and whenever it is connected anew: at once, but no more often than once
// each Gap, and always once after the last message. heard must not block.
func (c *Channel) Follow(ctx context.Context, heard func()) error {
	hints := make(chan struct{}, 1) // one more than is being told is enough: it stands for all that follow
	hint := func() {
		select {
		case hints <- struct{}{}:
		default:
		}
	}
	var teller sync.WaitGroup
	teller.Go(func() {
		for {
			select {
			case <-hints:
				heard()
			case <-ctx.Done():
				return
			}
			if !sleep(ctx, c.cfg.Gap) {
				return
			}
		}
	})
	defer teller.Wait()

	told := false // of this outage
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		connected := false
		err := c.listen(ctx, func() {
			if told {
				c.cfg.Logger.Info("changes are announced through Redis again", "channel", c.cfg.Channel)
			}
			connected, told = true, false
			hint()
		}, hint)
		c.metrics.connected.Set(0)
		if ctx.Err() != nil {
			return nil
		}
		if !told {
			c.cfg.Logger.Warn("changes made by other servers are not announced at the moment and are found by looking: Redis pub/sub does not answer", "channel", c.cfg.Channel, "error", err)
			told = true
		}
		if connected {
			pause = firstPause
		}
		// Not all processes at the same moment.
		if !sleep(ctx, pause/2+rand.N(pause/2)) {
			return nil
		}
	}
}

var errSilent = errors.New("it says nothing, though it was asked")

// listen is one connection, until it breaks: that is its error. It tells of the
// subscription and of every message.
func (c *Channel) listen(ctx context.Context, subscribed, message func()) error {
	s := c.redis.Subscribe(ctx)
	closed := sync.OnceFunc(func() { _ = s.Close() }) // nothing was written
	defer closed()
	// A read does not end with its context, only with its connection.
	defer context.AfterFunc(ctx, closed)()
	if err := s.Subscribe(ctx, c.cfg.Channel); err != nil {
		return err
	}
	for asked := false; ; {
		got, err := s.ReceiveTimeout(ctx, c.cfg.Silence)
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			if asked {
				return errSilent
			}
			asked = true
			if err := s.Ping(ctx); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		asked = false
		switch got.(type) {
		case *redis.Subscription:
			c.metrics.connected.Set(1)
			subscribed()
		case *redis.Message:
			c.metrics.heard.Inc()
			message()
		}
	}
}

// Examine subscribes once and says why that is not possible, if it is not.
func (c *Channel) Examine(ctx context.Context) error {
	s := c.redis.Subscribe(ctx)
	defer func() { _ = s.Close() }() // nothing was written
	if err := s.Subscribe(ctx, c.cfg.Channel); err != nil {
		return err
	}
	_, err := s.ReceiveTimeout(ctx, dialTimeout)
	return err
}

func sleep(ctx context.Context, t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
