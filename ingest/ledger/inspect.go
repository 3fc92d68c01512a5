package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"leadevents"
)

// Inspector compares the ledger's keys with what ClickHouse has, and sets missing ones
// again. It takes part in nothing else: no trust, no beat, no rebuild.
type Inspector struct{ l *Ledger }

// Inspector looks at the Redis of a ledger that is at work.
func (l *Ledger) Inspector() *Inspector { return &Inspector{l} }

// OpenInspector looks at the Redis of cfg without a ledger (`leadevents check`).
func OpenInspector(cfg Config) *Inspector {
	cfg.setDefaults()
	quiet()
	client := redis.NewClient(&redis.Options{
		Addr: cfg.Addr, Username: cfg.Username, Password: cfg.Password, DB: cfg.DB, TLSConfig: cfg.TLS, Dialer: cfg.Dial,
		Protocol: 2, PoolSize: cfg.Connections + 1, DialerRetries: 1, DisableIdentity: true, ContextTimeoutEnabled: true,
		DialTimeout: cfg.Timeout, ReadTimeout: cfg.Timeout, WriteTimeout: cfg.Timeout,
	})
	return &Inspector{&Ledger{cfg: cfg, data: client, control: client}}
}

// Close closes the connections of OpenInspector.
func (i *Inspector) Close() error { return i.l.data.Close() }

// Standing is what the ledger is believed at a moment.
type Standing struct {
	Trust *Trust
	// Now is Redis' clock.
	Now leadevents.Millis
	// Doubt is why its keys prove nothing now; empty where they do.
	Doubt string

	horizon, margin leadevents.Millis
}

// Stays says whether the key of an event that was sealed at any time is there now, and will
// be for a while: line 1 of "What an absent key proves".
func (s Standing) Stays(occurredAt leadevents.Millis) bool { return occurredAt >= s.StaysFrom() }

// StaysFrom is the first such moment; a minute is for who looks twice.
func (s Standing) StaysFrom() leadevents.Millis {
	return max(s.Now-s.horizon+s.margin+60_000, 0)
}

// Standing reads the trust record that the servers have left in Redis.
func (i *Inspector) Standing(ctx context.Context) (Standing, error) {
	var f Facts
	if err := f.readTrust(ctx, i.l.control, i.l); err != nil {
		return Standing{}, i.l.unavailable(err)
	}
	now, err := i.l.control.Time(ctx).Result()
	if err != nil {
		return Standing{}, i.l.unavailable(fmt.Errorf("read Redis' clock: %w", err))
	}
	cfg := i.l.cfg
	s := Standing{
		Trust: f.Trust, Now: leadevents.MillisOf(now),
		horizon: leadevents.Millis(cfg.Horizon.Milliseconds()), margin: leadevents.Millis(cfg.Margin.Milliseconds()),
	}
	switch t := f.Trust; {
	case t == nil || t.Epoch == "":
		s.Doubt = "Redis has no trust record"
	case t.State != Trusted:
		s.Doubt = fmt.Sprintf("the ledger is %s (%s)", t.State, t.Reason)
	case t.HorizonMs != cfg.Horizon.Milliseconds() || t.SlotWidth != cfg.SlotWidth || t.SlotBits != cfg.SlotBits:
		s.Doubt = "the ledger was built for another ledger.horizon, slot_width or slot_bits"
	}
	return s, nil
}

// Sealed is a key and the batch that sealed it.
type Sealed struct {
	Key   leadevents.Key
	Batch leadevents.BatchID
}

// Bounds of a sample. A page is 0.3 ms of Redis' one thread.
const (
	samplePages  = 2000 // of SCAN, so at most two million names
	sampleFields = 20   // of one bucket
)

// Sample reads up to n sealed keys of an organization (0: of every one): of buckets from a
// random place on, a few keys of each.
func (i *Inspector) Sample(ctx context.Context, s Standing, org leadevents.OrgID, n int) ([]Sealed, error) {
	prefix := i.l.layout(s.Trust).prefix + ":"
	match := globEscape(prefix) + "*"
	if org != 0 {
		match = globEscape(prefix) + strconv.FormatUint(uint64(org), 36) + ":*"
	}
	var (
		sample []Sealed
		seen   = map[string]bool{} // SCAN may name one twice
		cursor = uint64(rand.Uint32())
		around = false // the end was passed once: what lies before the first place comes last
	)
	for range samplePages {
		names, next, err := i.l.control.ScanType(ctx, cursor, match, walkPage, "hash").Result()
		if err != nil {
			return nil, i.l.unavailable(fmt.Errorf("walk through the keys: %w", err))
		}
		names = slices.DeleteFunc(names, func(name string) bool { again := seen[name]; seen[name] = true; return again })
		if sample, err = i.sampleOf(ctx, s, names, sample, n); err != nil {
			return nil, i.l.unavailable(err)
		}
		if len(sample) >= n || next == 0 && around {
			break
		}
		cursor, around = next, around || next == 0
	}
	return sample, nil
}

func (i *Inspector) sampleOf(ctx context.Context, s Standing, names []string, sample []Sealed, n int) ([]Sealed, error) {
	rand.Shuffle(len(names), func(a, b int) { names[a], names[b] = names[b], names[a] })
	for chunk := range slices.Chunk(names, 100) {
		if len(sample) >= n {
			return sample[:n], nil
		}
		pipe := i.l.control.Pipeline()
		reads := make([]*redis.KeyValueSliceCmd, len(chunk))
		for c, name := range chunk {
			reads[c] = pipe.HRandFieldWithValues(ctx, name, sampleFields)
		}
		if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("look into %d buckets: %w", len(chunk), err)
		}
		for c, name := range chunk {
			for _, pair := range reads[c].Val() {
				if key, ok := i.l.layout(s.Trust).keyOf(name, pair.Key); ok && owner(pair.Value) != 0 {
					sample = append(sample, Sealed{key, owner(pair.Value)})
				}
			}
		}
	}
	return sample[:min(len(sample), n)], nil
}

// keyOf is the key that a field of a bucket stands for.
func (l layout) keyOf(name, field string) (key leadevents.Key, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(name, l.prefix+":"), ":", 4)
	if len(parts) < 4 || len(field) != fieldBytes {
		return key, false
	}
	org, err := strconv.ParseUint(parts[0], 36, 64)
	slot, slotErr := l.slotStart(parts[1])
	return leadevents.Key{
		Org: leadevents.OrgID(org), EventType: parts[3],
		Phone:      leadevents.Phone(binary.BigEndian.Uint64([]byte(field))),
		OccurredAt: leadevents.Millis(slot | uint64(binary.BigEndian.Uint32([]byte(field[8:])))),
	}, err == nil && slotErr == nil
}

// Owners reads who owns keys, zero where nobody does.
func (i *Inspector) Owners(ctx context.Context, s Standing, keys []leadevents.Key) ([]leadevents.BatchID, error) {
	owners := make([]leadevents.BatchID, len(keys))
	plan := i.l.layout(s.Trust).plan(keys, i.l.cfg.ChunkKeys)
	err := i.l.eachChunk(ctx, plan, func(ctx context.Context, chunk []bucket) error {
		_, err := i.l.readChunk(ctx, s.Trust, plan, chunk, owners)
		return err
	})
	if err != nil {
		return nil, i.l.unavailable(err)
	}
	return owners, nil
}

// Restore seals keys for the batches that own their rows, where nobody owns them; others
// stay whose they are.
func (i *Inspector) Restore(ctx context.Context, s Standing, keys []leadevents.Key, batches []leadevents.BatchID) error {
	if err := i.l.load(ctx, s.Trust, keys, batches); err != nil {
		return i.l.unavailable(err)
	}
	return nil
}
