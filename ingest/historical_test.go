package ingest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"leadevents"
	"leadevents/auth"
	"leadevents/ingest"
	"leadevents/internal/httpserver"
	"leadevents/internal/storetest/credentials"
)

// served is the process behind HTTP, with a key of organization 42.
func (p *process) served(t *testing.T) (url, key string) {
	t.Helper()
	master, err := auth.ParseMasterKey(auth.NewMasterKey())
	if err != nil {
		t.Fatal(err)
	}
	directory, err := auth.New(auth.Config{MasterKeys: auth.NewKeyring(master)}, credentials.NewMemory(), time.Now, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	followed := make(chan error, 1)
	go func() { followed <- directory.Run(ctx) }()
	org, err := directory.CreateOrganization(t.Context(), "org", 42)
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	server, err := httpserver.New(httpserver.DefaultConfig(), slog.New(slog.DiscardHandler), reg, reg)
	if err != nil {
		t.Fatal(err)
	}
	ingest.NewHandler(p.ingester, directory).Register(server.App())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		stop, cancelStop := context.WithTimeout(context.Background(), time.Minute)
		defer cancelStop()
		if err := server.Shutdown(stop); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := <-followed; err != nil {
			t.Error(err)
		}
	})
	return "http://" + listener.Addr().String() + "/api/v1/webhooks/lead-events", org.FirstKey.Key.Reveal()
}

// told is an answer of the server.
type told struct {
	status int
	retry  string
	body   string
}

func send(ctx context.Context, url, key, run string, body []byte) (told, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return told{}, err
	}
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "application/json")
	if run != "" {
		request.Header.Set("Leadevents-Run", run)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return told{}, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	return told{answer.StatusCode, answer.Header.Get("Retry-After"), string(text)}, err
}

// wide is a body of n events, some 300 bytes each, a second apart.
func wide(eventType string, from, n int, at time.Time) []byte {
	rows := make([]string, n)
	for i := range rows {
		rows[i] = fmt.Sprintf(`{"phoneE164":"+1555%07d","occurredAt":%q,"metadata":{"note":%q}}`,
			from+i, at.Add(time.Duration(i)*time.Second).UTC().Format(time.RFC3339), strings.Repeat("x", 200))
	}
	return fmt.Appendf(nil, `{"organizationId":42,"eventType":%q,"events":[%s]}`, eventType, strings.Join(rows, ","))
}

// stuckStore lets no insert of one type end before free is closed.
type stuckStore struct {
	ingest.Store
	eventType string
	entered   chan struct{} // one for each that is held
	free      chan struct{}
}

func (s *stuckStore) InsertEvents(ctx context.Context, rows *leadevents.Rows, token, queryID string) error {
	if rows.Len() > 0 && rows.EventTypes[0] == s.eventType {
		s.entered <- struct{}{}
		select {
		case <-s.free:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return s.Store.InsertEvents(ctx, rows, token, queryID)
}

// A backfill has its lanes full and its queue too, and its store stands still: live
// calls, large and small, go through, past the gate and the lanes; one historical
// call more is a 503 that says when to come back.
func TestABackfillDoesNotHoldUpLiveCalls(t *testing.T) {
	t.Parallel()
	const queue = 4
	stuck := &stuckStore{eventType: "history", entered: make(chan struct{}, 64), free: make(chan struct{})}
	s, reg := newStores(t), prometheus.NewRegistry()
	s.betweenStore = func(store ingest.Store) ingest.Store { stuck.Store = store; return stuck }
	s.ingest.HistoricalQueue, s.ingest.Metrics, s.ingest.InsertTimeout = queue, reg, time.Minute
	p := s.start(t)
	url, key := p.served(t)

	old := time.Date(2016, 3, 1, 0, 0, 0, 0, time.UTC)
	answers := make(chan told, 64)
	var all sync.WaitGroup
	defer all.Wait()
	post := func(run string, body []byte) {
		all.Go(func() {
			a, err := send(context.Background(), url, key, run, body)
			if err != nil {
				t.Error(err)
			}
			answers <- a
		})
	}
	// Half of them are known by their events, half by their run; two such bodies fill
	// the gate but for one.
	const n = 20_000
	bodies := [][]byte{}
	for i := range 1 + queue {
		run, at := "", old
		if i%2 == 1 {
			run, at = "run-1", time.Now().Add(-24*time.Hour)
		}
		bodies = append(bodies, wide("history", i*n, n, at))
		post(run, bodies[i])
	}
	<-stuck.entered
	eventually(t, "the queue is full", func() bool { return metric(t, reg, "leadevents_ingest_historical_calls") == 1+queue })

	for _, run := range []string{"", "run-1"} {
		a, err := send(t.Context(), url, key, run, bodies[0])
		if err != nil || a.status != http.StatusServiceUnavailable || a.retry == "" || !strings.Contains(a.body, "ingest.historical_queue") {
			t.Errorf("one more (run %q): %+v, %v", run, a, err)
		}
	}
	live, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for i, body := range [][]byte{
		wide("live", 0, 1, time.Now()), wide("live", 10, 20_000, time.Now().Add(-24*time.Hour)),
		wide("live", 30_010, 900, old), // small, though old: it is gathered
		wide("live", 40_000, 3000, time.Now().Add(-24*time.Hour)),
	} {
		if a, err := send(live, url, key, "", body); err != nil || a.status != http.StatusOK || !strings.Contains(a.body, `"duplicates":0`) {
			t.Errorf("live call %d: %d %s, %v", i, a.status, a.body, err)
		}
	}
	if a, err := send(live, url, key, "run-1", wide("live", 50_000, 2, old)); err != nil || a.status != http.StatusOK {
		t.Errorf("a small call of the run: %d %s, %v", a.status, a.body, err)
	}
	if held := len(stuck.entered); held != 0 {
		t.Errorf("%d historical calls are in lanes beside the first", held)
	}

	close(stuck.free)
	for range 1 + queue {
		if a := <-answers; a.status != http.StatusOK || !strings.Contains(a.body, fmt.Sprintf(`"inserted":%d,`, n)) {
			t.Errorf("a call of the backfill: %d %s", a.status, a.body)
		}
	}
	if calls := metric(t, reg, "leadevents_ingest_historical_calls"); calls != 0 {
		t.Errorf("%v places are still taken", calls)
	}
	if waited := metric(t, reg, "leadevents_ingest_historical_waited_seconds_total"); waited <= 0 {
		t.Errorf("they waited %v seconds", waited)
	}
}
