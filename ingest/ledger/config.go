package ledger

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says where Redis is and for how long the ledger remembers.
type Config struct {
	Addr     string
	Username string
	Password string
	DB       int
	TLS      *tls.Config
	// Dial, if set, makes the connections; `dev` follows its Redis with it.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Prefix stands before every key, so that several deployments may share a Redis.
	Prefix string

	// Horizon is T: an event younger than T is decided by Redis alone.
	Horizon time.Duration // default 72 h
	// ShortHorizon is Tshort: for so long after its seal an older event's key stays.
	ShortHorizon time.Duration // default 10 min; at least 10 × Deadline
	// Deadline is D: the longest from stamping ingested_at to the end of the seal.
	Deadline time.Duration // default 30 s
	// Margin is how far the clocks of Redis, ClickHouse and this process may differ.
	Margin time.Duration // default 5 s; below Horizon and ShortHorizon

	// SlotWidth and SlotBits lay out the keys: a bucket holds the keys of one
	// type whose time lies in one slot of 2^SlotWidth ms, split in 2^SlotBits by
	// phone; of what was older than Horizon when the ledger's era began, a slot is 2^28 ms in one
	// part. Changing either makes the ledger rebuild itself.
	SlotWidth uint // default 26 (18.6 hours)
	SlotBits  uint // default 3 (8 buckets)

	ChunkKeys   int           // keys a script call, default 1,000: about a millisecond of Redis' one thread
	Connections int           // calls of one request in flight at once, default 2
	Timeout     time.Duration // one round trip, default 5 s
	PoolSize    int           // connections, default 64

	// HeartbeatEvery is how often the stores' health is looked at, default 1 s.
	HeartbeatEvery time.Duration
	// RebuildRate bounds a rebuild, keys a second, default 500,000.
	RebuildRate int

	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

const maxSlotWidth = 28

func (c *Config) setDefaults() {
	c.Horizon = cmp.Or(c.Horizon, 72*time.Hour)
	c.Deadline = cmp.Or(c.Deadline, 30*time.Second)
	c.ShortHorizon = cmp.Or(c.ShortHorizon, 10*time.Minute)
	c.Margin = cmp.Or(c.Margin, min(5*time.Second, c.ShortHorizon/10, c.Horizon/10))
	c.SlotWidth = cmp.Or(c.SlotWidth, 26)
	c.SlotBits = cmp.Or(c.SlotBits, 3)
	c.ChunkKeys = cmp.Or(c.ChunkKeys, 1000)
	c.Connections = cmp.Or(c.Connections, 2)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.PoolSize = cmp.Or(c.PoolSize, 64)
	c.HeartbeatEvery = cmp.Or(c.HeartbeatEvery, time.Second)
	c.RebuildRate = cmp.Or(c.RebuildRate, 500_000)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
}

func (c *Config) validate() error {
	switch {
	case c.Deadline < 100*time.Millisecond:
		return fmt.Errorf("ledger.deadline is %s: at least 100ms is needed for a store and a seal", c.Deadline)
	case c.ShortHorizon < 10*c.Deadline:
		return fmt.Errorf("ledger.short_horizon is %s: it must be at least 10 × ledger.deadline (%s), or a slow request's keys could be forgotten before it has sealed them", c.ShortHorizon, 10*c.Deadline)
	case c.Horizon < c.ShortHorizon:
		return fmt.Errorf("ledger.horizon is %s: it must be at least ledger.short_horizon (%s)", c.Horizon, c.ShortHorizon)
	case c.Margin >= c.ShortHorizon || c.Margin < 0:
		return fmt.Errorf("ledger.margin is %s: it must lie below ledger.short_horizon (%s)", c.Margin, c.ShortHorizon)
	case c.SlotWidth < 10 || c.SlotWidth > maxSlotWidth:
		return fmt.Errorf("ledger.slot_width is %d: 10 to 28 are possible (2^n ms a slot: a second to three days)", c.SlotWidth)
	case c.SlotBits > 12:
		return fmt.Errorf("ledger.slot_bits is %d: 0 to 12 are possible", c.SlotBits)
	case c.ChunkKeys < 1 || c.ChunkKeys > 2000:
		return fmt.Errorf("ledger.chunk_keys is %d: 1 to 2,000 are possible (a script's stack holds 8,000 arguments)", c.ChunkKeys)
	}
	return nil
}
