package backfill

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"leadevents"
)

// fakeServer keeps the contract: keys, Idempotency-Keys, receipts, the first 50 rejects. What it
// does wrong is what networks and full servers do.
type fakeServer struct {
	*httptest.Server
	t testing.TB

	mu       sync.Mutex
	rng      *rand.Rand
	trouble  float64 // of the calls
	mayRead  bool    // the key has the scope query
	held     string  // calls whose key ends so are held until hold is closed, and cut off
	hold     chan struct{}
	stored   map[string]string        // keys, and the batch that inserted them
	receipts map[string]*receipt      // by Idempotency-Key
	batches  map[string]*receipt      // by id
	running  map[string]chan struct{} // by Idempotency-Key
	calls    int
	dryRuns  int
	runs     map[string]int // calls by the header
}

type receipt struct {
	sum     [32]byte
	answer  answerJSON
	rejects []leadevents.ShownReject
}

type answerJSON struct {
	Status     string                   `json:"status"`
	Received   int                      `json:"received"`
	Inserted   int                      `json:"inserted"`
	Duplicates int                      `json:"duplicates"`
	Rejected   int                      `json:"rejected"`
	Rejects    []leadevents.ShownReject `json:"rejects"`
	BatchID    string                   `json:"batchId,omitempty"`
}

func newFakeServer(t testing.TB, trouble float64) *fakeServer {
	f := &fakeServer{
		t: t, trouble: trouble, mayRead: true, rng: rand.New(rand.NewPCG(1, 2)),
		stored: map[string]string{}, receipts: map[string]*receipt{}, batches: map[string]*receipt{},
		running: map[string]chan struct{}{}, runs: map[string]int{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+eventsPath, f.events)
	mux.HandleFunc("GET /api/v1/batches/{id}/rejects", f.rejects)
	f.Server = httptest.NewServer(mux)
	f.Config.ErrorLog = nil
	t.Cleanup(f.Close)
	return f
}

func (f *fakeServer) chance(p float64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rng.Float64() < p
}

// answered is how many calls have been taken, first ones and others.
func (f *fakeServer) answered() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// forget forgets all Idempotency-Keys, as a day does, and holds no call any more.
func (f *fakeServer) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hold, f.receipts = nil, map[string]*receipt{}
}

func answerError(w http.ResponseWriter, status int, kind leadevents.Kind, format string, args ...any) {
	if kind == leadevents.Unavailable || kind == leadevents.RateLimited {
		w.Header().Set("Retry-After", "0")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": kind.Code(), "message": fmt.Sprintf(format, args...)}})
}

var fakePhone = regexp.MustCompile(`\A\+[0-9]{8,15}\z`)

func (f *fakeServer) events(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	plain := raw
	if r.Header.Get("Content-Encoding") == "zstd" {
		d, _ := zstd.NewReader(nil)
		defer d.Close()
		if plain, err = d.DecodeAll(raw, nil); err != nil {
			answerError(w, 400, leadevents.InvalidJSON, "not zstd: %v", err)
			return
		}
	}
	var body struct {
		OrganizationID leadevents.OrgID
		EventType      string
		Events         []struct {
			PhoneE164, OccurredAt string
			Metadata              map[string]any
		}
	}
	if err := json.Unmarshal(plain, &body); err != nil || body.OrganizationID != 7 || body.EventType == "" || len(body.Events) == 0 || len(body.Events) > leadevents.MaxEvents || len(plain) > 10<<20 {
		answerError(w, 400, leadevents.InvalidRequest, "%v: %.200s", err, plain)
		return
	}
	if f.chance(f.trouble / 4) {
		answerError(w, 503, leadevents.Unavailable, "full")
		return
	}
	if f.chance(f.trouble / 4) {
		answerError(w, 429, leadevents.RateLimited, "too fast")
		return
	}
	f.mu.Lock()
	hold := f.hold
	f.mu.Unlock()
	if hold != nil && strings.HasSuffix(r.Header.Get("Idempotency-Key"), f.held) {
		<-hold
		if hijacked, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_ = hijacked.Close()
		}
		return
	}
	key, dry := r.Header.Get("Idempotency-Key"), r.URL.Query().Get("dryRun") == "true"
	done := make(chan struct{})
	if !dry {
		f.mu.Lock()
		f.runs[r.Header.Get(leadevents.RunHeader)]++
		if f.running[key] != nil {
			f.mu.Unlock()
			answerError(w, 503, leadevents.Unavailable, "still running")
			return
		}
		f.running[key] = done
		f.mu.Unlock()
		defer func() {
			f.mu.Lock()
			delete(f.running, key)
			f.mu.Unlock()
			close(done)
		}()
	}
	f.mu.Lock()
	f.calls++
	id := strconv.Itoa(f.calls)
	rec := &receipt{sum: sha256.Sum256(raw)}
	if old := f.receipts[key]; old != nil && !dry {
		if old.sum != rec.sum {
			f.mu.Unlock()
			answerError(w, 409, leadevents.Conflict, "this Idempotency-Key was used with another body")
			return
		}
		rec = old
	} else {
		rec.answer = answerJSON{Status: "accepted", Received: len(body.Events), BatchID: id}
		seen := map[string]bool{}
		for i, e := range body.Events {
			at, ok := leadevents.ParseMillis([]byte(e.OccurredAt))
			k := fmt.Sprintf("%s|%s|%d", body.EventType, e.PhoneE164, at)
			reject := ""
			switch {
			case !fakePhone.MatchString(e.PhoneE164):
				reject = "invalid phoneE164"
			case !ok:
				reject = "invalid occurredAt"
			}
			switch {
			case reject != "":
				rec.rejects = append(rec.rejects, leadevents.ShownReject{Index: i, Phone: &e.PhoneE164, Reason: reject})
				rec.answer.Rejected++
			case f.stored[k] != "" || seen[k]:
				rec.answer.Duplicates++
			default:
				rec.answer.Inserted++
				if seen[k] = true; !dry {
					f.stored[k] = id
				}
			}
		}
		rec.answer.Rejects = rec.rejects[:min(len(rec.rejects), 50)]
		if dry {
			rec.answer.BatchID = ""
			f.dryRuns++
		} else {
			f.receipts[key], f.batches[id] = rec, rec
		}
	}
	f.mu.Unlock()
	switch {
	case f.chance(f.trouble / 4): // stored, and the client does not hear of it
		hijacked, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = hijacked.Close()
		}
		return
	case f.chance(f.trouble / 4):
		time.Sleep(20 * time.Millisecond) // a slow answer is what is tested, not waited for
	}
	_ = json.NewEncoder(w).Encode(rec.answer)
}

func (f *fakeServer) rejects(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	rec, mayRead := f.batches[r.PathValue("id")], f.mayRead
	f.mu.Unlock()
	switch {
	case !mayRead:
		answerError(w, 403, leadevents.Forbidden, "the key lacks the scope query")
		return
	case rec == nil:
		answerError(w, 404, leadevents.NotFound, "no such batch")
		return
	}
	e := json.NewEncoder(w)
	for _, reject := range rec.rejects {
		_ = e.Encode(reject)
	}
	_, _ = fmt.Fprintf(w, "{\"end\":true,\"rejects\":%d}\n", len(rec.rejects))
}

// clientOf is what the command's client does.
type clientOf struct{ url string }

func (c clientOf) Send(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header = header.Clone()
	response, err := http.DefaultClient.Do(request)
	if err != nil || response.StatusCode == http.StatusOK {
		return response, err
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Error struct{ Code, Message string }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, err
	}
	for _, kind := range leadevents.Kinds() {
		if kind.Code() == answer.Error.Code {
			return nil, leadevents.Errorf(kind, "%s", answer.Error.Message)
		}
	}
	return nil, errors.New(answer.Error.Code)
}

// fileOfRows is rows made from their numbers, as a Source: the same each time.
type fileOfRows struct {
	ctx  context.Context
	at   uint64
	n    uint64
	make func(i uint64, row *Row)
	stop error  // in place of io.EOF
	end  func() // at the end
	read atomic.Uint64
}

func (s *fileOfRows) Next(row *Row) (Position, error) {
	at := Position{Row: s.at, Line: s.at, Offset: int64(s.at)}
	if err := s.ctx.Err(); err != nil {
		return at, err
	}
	if s.at >= s.n {
		if s.end != nil {
			s.end()
		}
		if s.stop != nil {
			return at, s.stop
		}
		return at, io.EOF
	}
	*row = Row{Line: s.at + 1}
	s.make(s.at, row)
	s.at++
	s.read.Store(s.at)
	return at, nil
}

func (s *fileOfRows) Progress() (read, size int64) { return int64(s.read.Load()), int64(s.n) }
func (s *fileOfRows) Close() error                 { return nil }

// mixed makes rows of types in turn; of a hundred, some are no events, some have phones that the server
// refuses, and some are there twice.
func mixed(types int) func(i uint64, row *Row) {
	return func(i uint64, row *Row) {
		rng := rand.New(rand.NewPCG(i, 42))
		key := i
		if rng.IntN(10) == 0 {
			key = i / 2
		}
		row.EventType = "type " + strconv.Itoa(rng.IntN(types))
		row.Phone = fmt.Appendf(nil, "+1555%07d", key)
		row.At = leadevents.Millis(1_700_000_000_000 + 1000*int64(key%5000))
		row.OccurredAt = []byte(row.At.String())
		row.Metadata = fmt.Appendf(nil, `{"n":%d}`, i%7)
		switch rng.IntN(50) {
		case 0:
			row.Refused, row.Hint = "3 columns, the header has 5", "a quote that is not closed?"
		case 1:
			row.Phone, row.Hint = fmt.Appendf(nil, "0151 %d", i), "looks like a national number: --region?"
		}
		row.Raw = fmt.Appendf(nil, `{"mobile":%q,"n":%d}`, row.Phone, i)
	}
}

// plainCount is what the rows come to.
func plainCount(n uint64, make func(i uint64, row *Row)) Counts {
	var c Counts
	seen := map[string]bool{}
	for i := range n {
		var row Row
		make(i, &row)
		c.Rows++
		key := fmt.Sprintf("%s|%s|%d", row.EventType, row.Phone, row.At)
		switch {
		case row.Refused != "" || !fakePhone.Match(row.Phone):
			c.Rejected++
		case seen[key]:
			c.Duplicates++
		default:
			seen[key] = true
			c.Inserted++
		}
	}
	return c
}

// rejectedLines are the numbers of the rows that are to be in the rejects file.
func rejectedLines(n uint64, make func(i uint64, row *Row)) string {
	var lines strings.Builder
	for i := range n {
		var row Row
		if make(i, &row); row.Refused != "" || !fakePhone.Match(row.Phone) {
			fmt.Fprintln(&lines, i+1)
		}
	}
	return lines.String()
}
