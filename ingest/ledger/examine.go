package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Facts is what `leadevents check` wants to know of Redis.
type Facts struct {
	Version   string        // "7.0.15"
	Now       time.Time     // Redis' clock, when half of RoundTrip had gone by
	Asked     time.Time     // our clock at that moment
	RoundTrip time.Duration // of the question for the time

	Policy     string // maxmemory-policy
	MaxMemory  int64  // bytes; 0: no limit
	UsedMemory int64  // bytes
	Evicted    int64  // keys evicted since the server started
	AppendOnly bool
	Role       string // master or slave
	Loading    bool

	// Trust is Redis' trust record, nil without one; a record that cannot be read
	// is an empty one.
	Trust *Trust
	// Rebuild says how far a rebuild of this record's epoch has come.
	Rebuild Rebuild
}

// Rebuild is the progress of a rebuild as every process can read it in Redis.
type Rebuild struct {
	Running bool  // a process holds the lease
	Keys    int64 // set again so far
	Slices  int   // of the horizon that are done
}

// Examine looks at the Redis of cfg once, without a ledger and without writing.
func Examine(ctx context.Context, cfg Config) (f Facts, err error) {
	cfg.setDefaults()
	quiet()
	client := redis.NewClient(&redis.Options{
		Addr: cfg.Addr, Username: cfg.Username, Password: cfg.Password, DB: cfg.DB, TLSConfig: cfg.TLS, Dialer: cfg.Dial,
		Protocol: 2, PoolSize: 1, MaxRetries: -1, DialerRetries: 1, DisableIdentity: true, ContextTimeoutEnabled: true,
		DialTimeout: cfg.Timeout, ReadTimeout: cfg.Timeout, WriteTimeout: cfg.Timeout,
	})
	defer func() { err = errors.Join(err, client.Close()) }()

	text, err := client.Info(ctx).Result() // also makes the connection, which must not count as round trip
	if err != nil {
		return Facts{}, fmt.Errorf("ask Redis at %s what it is: %w", cfg.Addr, err)
	}
	began := time.Now()
	f.Now, err = client.Time(ctx).Result()
	if err != nil {
		return Facts{}, fmt.Errorf("ask Redis at %s for the time: %w", cfg.Addr, err)
	}
	f.RoundTrip = time.Since(began)
	f.Asked = began.Add(f.RoundTrip / 2)

	info := parseInfo(text)
	f.Version, f.Policy, f.Role = info["redis_version"], info["maxmemory_policy"], info["role"]
	f.MaxMemory, _ = strconv.ParseInt(info["maxmemory"], 10, 64)
	f.UsedMemory, _ = strconv.ParseInt(info["used_memory"], 10, 64)
	f.Evicted, _ = strconv.ParseInt(info["evicted_keys"], 10, 64)
	f.AppendOnly, f.Loading = info["aof_enabled"] == "1", info["loading"] == "1"
	return f, f.readTrust(ctx, client, &Ledger{cfg: cfg})
}

// readTrust reads what the servers have noted of the ledger's health; l names the keys.
func (f *Facts) readTrust(ctx context.Context, client *redis.Client, l *Ledger) error {
	pipe := client.Pipeline()
	record, noted, lease := pipe.Get(ctx, l.trustKey()), pipe.HGetAll(ctx, l.rebuildKey()), pipe.Exists(ctx, l.rebuilderKey())
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("read the ledger's trust record in Redis: %w", err)
	}
	if record.Val() == "" {
		return nil
	}
	f.Trust = &Trust{}
	if err := json.Unmarshal([]byte(record.Val()), f.Trust); err != nil {
		f.Trust = &Trust{} // unreadable is as good as gone, and said to be
	}
	f.Rebuild.Running = lease.Val() == 1
	if set, keys := setSince(noted.Val(), f.Trust.Epoch); set != 0 {
		f.Rebuild.Keys = keys
		f.Rebuild.Slices, _ = strconv.Atoi(noted.Val()["done"])
	}
	return nil
}

// Ping says whether Redis answers, for /readyz.
func (l *Ledger) Ping(ctx context.Context) error {
	if err := l.control.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping Redis at %s: %w", l.cfg.Addr, err)
	}
	return nil
}
