package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/redis/go-redis/v9"
)

// naiveVariable holds the settings of a naive server; it makes this test binary one.
const naiveVariable = "CHAOS_NAIVE"

// naiveSettings is how a naive server reaches its stores.
type naiveSettings struct {
	Listen, ClickHouse, Database, User, Password, Redis, RedisPassword string
}

// naive is the command of a naive server.
func (w *world) naive(s *server) *exec.Cmd {
	database := w.clickHouse.Store()
	text, err := json.Marshal(naiveSettings{
		s.addr, s.clickHouse.Addr(), database.Database, database.User, database.Password, s.redis.Addr(), w.redis.Store().Password,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), naiveVariable+"="+string(text))
	return cmd
}

// serveNaive is the obvious server: SETNX decides who is new, then new rows are
// inserted. Whoever dies in between has remembered what nobody stored.
func serveNaive() {
	var settings naiveSettings
	if err := json.Unmarshal([]byte(os.Getenv(naiveVariable)), &settings); err != nil {
		panic(err)
	}
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{settings.ClickHouse}, DialTimeout: time.Second, ReadTimeout: time.Second, MaxOpenConns: 32,
		Auth: clickhouse.Auth{Database: settings.Database, Username: settings.User, Password: settings.Password},
	})
	if err != nil {
		panic(err)
	}
	ledger := redis.NewClient(&redis.Options{Addr: settings.Redis, Password: settings.RedisPassword, ReadTimeout: time.Second})

	ingest := func(ctx context.Context, body *http.Request) (Counts, error) {
		var call struct {
			OrganizationID uint64
			EventType      string
			Events         []struct {
				PhoneE164  string
				OccurredAt time.Time
			}
		}
		var counts Counts
		if err := json.NewDecoder(body.Body).Decode(&call); err != nil {
			return counts, err
		}
		counts.Received = len(call.Events)
		pipe := ledger.Pipeline()
		var claims []*redis.BoolCmd
		var phones []uint64
		var times []time.Time
		for _, e := range call.Events {
			var phone uint64
			if _, err := fmt.Sscanf(e.PhoneE164, "+%d", &phone); err != nil {
				counts.Rejected++
				continue
			}
			claims = append(claims, pipe.SetNX(ctx, fmt.Sprintf("naive:%d:%s:%d:%d", call.OrganizationID, call.EventType, phone, e.OccurredAt.UnixMilli()), 1, time.Hour))
			phones, times = append(phones, phone), append(times, e.OccurredAt)
		}
		if len(claims) == 0 {
			return counts, nil
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return counts, err
		}
		batch, err := conn.PrepareBatch(ctx, "INSERT INTO lead_events (organization_id, event_type, phone, occurred_at)")
		if err != nil {
			return counts, err
		}
		for i, claim := range claims {
			if !claim.Val() {
				counts.Duplicates++
				continue
			}
			counts.Inserted++
			if err := batch.Append(call.OrganizationID, call.EventType, phones[i], times[i]); err != nil {
				return counts, err
			}
		}
		return counts, batch.Send()
	}
	http.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if conn.Ping(r.Context()) != nil || ledger.Ping(r.Context()).Err() != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("POST /api/v1/webhooks/lead-events", func(w http.ResponseWriter, r *http.Request) {
		counts, err := ingest(r.Context(), r)
		if err != nil {
			http.Error(w, strings.TrimSpace(err.Error()), http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(counts)
	})
	fmt.Fprintln(os.Stderr, http.ListenAndServe(settings.Listen, nil))
	os.Exit(1)
}
