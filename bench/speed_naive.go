package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/nyaruka/phonenumbers"
	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"leadevents"
)

// naivePeer is how a naive service reaches its stores.
type naivePeer struct {
	Listen, ClickHouse, Database, User, Password, Redis, RedisPassword string
}

// naiveDatabase has the same tables and view as ours.
const naiveDatabase = "speed_naive"

func newNaivePeer() *cobra.Command {
	return newPeer("naive", func(p naivePeer) string { return p.Listen }, func(ctx context.Context, ln net.Listener, p naivePeer) error { return p.serve(ctx, ln) })
}

// enterNaive runs the naive service, and sends it the same calls as ours.
func (w *speedWorld) enterNaive(ctx context.Context) (func(int) (trial, error), error) {
	if err := w.fresh(ctx, naiveDatabase); err != nil {
		return nil, err
	}
	e, r := w.stand.engine.Endpoint(), w.stand.redis.Endpoint()
	s, err := startPeer(ctx, "naive", func(address string) any {
		return naivePeer{address, e.Native, naiveDatabase, e.User, e.Password, r.Addr, r.Password}
	})
	if err != nil {
		return nil, err
	}
	w.onLeave(s.stop)
	return w.newCalls(s, w.live, liveCalls), nil
}

// naiveRow is a row as clickhouse-go reads it from a struct.
type naiveRow struct {
	OrganizationID uint64    `ch:"organization_id"`
	EventType      string    `ch:"event_type"`
	Phone          uint64    `ch:"phone"`
	OccurredAt     time.Time `ch:"occurred_at"`
	Metadata       string    `ch:"metadata"`
	IngestedAt     time.Time `ch:"ingested_at"`
	BatchID        uint64    `ch:"batch_id"`
}

// naiveCall is a request's body.
type naiveCall struct {
	OrganizationID uint64 `json:"organizationId"`
	EventType      string `json:"eventType"`
	Events         []struct {
		PhoneE164  string          `json:"phoneE164"`
		OccurredAt time.Time       `json:"occurredAt"`
		Metadata   json.RawMessage `json:"metadata"`
	} `json:"events"`
}

// naive is the service that is written in an afternoon: the standard library's JSON, the
// library's Parse for each phone, SETNX for each row, a struct for each row. It counts wrong
// when it dies in between; that is not measured here.
type naive struct {
	conn   driver.Conn
	ledger *redis.Client
}

func (p naivePeer) serve(ctx context.Context, ln net.Listener) (err error) {
	conn, err := connectClickHouse(p.ClickHouse, p.User, p.Password, p.Database)
	if err != nil {
		return err
	}
	n := naive{conn, redis.NewClient(&redis.Options{Addr: p.Redis, Password: p.RedisPassword})}
	defer func() { err = errors.Join(err, n.ledger.Close(), conn.Close()) }()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := errors.Join(conn.Ping(r.Context()), n.ledger.Ping(r.Context()).Err()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("POST "+eventsPath, func(w http.ResponseWriter, r *http.Request) {
		counts, err := n.ingest(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(counts) // a client that is gone is told nothing
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: startLimit}
	context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
		defer cancel()
		_ = server.Shutdown(ctx) // then Serve returns
	})
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (n naive) ingest(r *http.Request) (a answer, err error) {
	ctx := r.Context()
	var call naiveCall
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
		return a, fmt.Errorf("read the body: %w", err)
	}
	a.Received = len(call.Events)
	now := time.Now()
	batchID := uint64(now.UnixNano())
	batch, err := n.conn.PrepareBatch(ctx, "INSERT INTO lead_events")
	if err != nil {
		return a, fmt.Errorf("begin the insert: %w", err)
	}
	defer func() { err = errors.Join(err, batch.Close()) }()
	for _, e := range call.Events {
		phone, ok := libraryPhone([]byte(e.PhoneE164))
		if !ok {
			a.Rejected++
			continue
		}
		key := fmt.Sprintf("naive:%d:%s:%d:%d", call.OrganizationID, call.EventType, phone, e.OccurredAt.UnixMilli())
		isNew, err := n.ledger.SetNX(ctx, key, batchID, 72*time.Hour).Result()
		if err != nil {
			return a, fmt.Errorf("ask Redis for a key: %w", err)
		}
		if !isNew {
			a.Duplicates++
			continue
		}
		a.Inserted++
		metadata := string(e.Metadata)
		if metadata == "" {
			metadata = "{}"
		}
		row := naiveRow{call.OrganizationID, call.EventType, uint64(phone), e.OccurredAt, metadata, now, batchID}
		if err := batch.AppendStruct(&row); err != nil {
			return a, fmt.Errorf("append a row: %w", err)
		}
	}
	if err := batch.Send(); err != nil {
		return a, fmt.Errorf("insert the rows: %w", err)
	}
	return a, nil
}

// libraryPhone reads a phone as libphonenumber says, with nothing before it.
func libraryPhone(text []byte) (leadevents.Phone, bool) {
	number, err := phonenumbers.Parse(string(text), phonenumbers.UNKNOWN_REGION)
	if err != nil || !phonenumbers.IsPossibleNumber(number) {
		return 0, false
	}
	phone, err := strconv.ParseUint(phonenumbers.Format(number, phonenumbers.E164)[1:], 10, 64)
	return leadevents.Phone(phone), err == nil
}
