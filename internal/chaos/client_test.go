package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// clients send calls as real ones do: with a timeout, again after whatever is
// not an answer, sometimes to two servers at once, and the same call again later.
type clients struct {
	w       *world
	load    *Workload
	history *History
	http    *http.Client
	run     string // keeps the Idempotency-Keys of runs apart
}

const (
	clientTimeout = 8 * time.Second
	tries         = 8
)

func newClients(w *world) *clients {
	return &clients{
		w: w, load: NewWorkload(organizations, horizon), history: NewHistory(),
		http: &http.Client{Timeout: clientTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
		run:  strconv.FormatInt(time.Now().UnixNano(), 36),
	}
}

// torment runs n clients until ctx ends, and returns when the last has its answer.
func (c *clients) torment(ctx context.Context, n int, seed uint64) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(i)+100))
			for ctx.Err() == nil {
				c.one(ctx, random)
			}
		})
	}
	all.Wait()
	c.http.CloseIdleConnections()
}

func (c *clients) one(ctx context.Context, random *rand.Rand) {
	var call *Call
	if random.IntN(10) == 0 {
		call = c.load.Old(random)
	}
	if call == nil {
		call = c.load.Draw(random, time.Now())
	}
	first := random.IntN(len(c.w.servers))
	var both sync.WaitGroup
	if random.IntN(10) == 0 {
		both.Go(func() { c.send(call, (first+1)%len(c.w.servers)) })
	}
	for try := range tries {
		if c.send(call, (first+try)%len(c.w.servers)).answered() || ctx.Err() != nil {
			break
		}
		select { // at most 1.6 s
		case <-ctx.Done():
		case <-time.After(time.Duration(25+random.IntN(25)) * time.Millisecond << min(try, 5)):
		}
	}
	both.Wait()
}

// send makes one attempt and keeps it.
func (c *clients) send(call *Call, server int) *Attempt {
	a := &Attempt{Call: call, Server: server, Start: c.history.Now()}
	defer c.history.Add(a)
	if err := c.post(a); err != nil {
		a.Error = err.Error()
	}
	a.End = c.history.Now()
	return a
}

func (c *clients) post(a *Attempt) error {
	url := "http://" + c.w.servers[a.Server].addr + "/api/v1/webhooks/lead-events"
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(c.load.Body(a.Call)))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+c.w.keys[a.Call.Org])
	if key := a.Call.Key(c.run); key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err // cut off within the answer: it was not read
	}
	if response.StatusCode != http.StatusOK {
		a.Status = response.StatusCode
		return fmt.Errorf("%d %s", response.StatusCode, text)
	}
	var answer struct {
		Counts
		BatchID string `json:"batchId"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("an answer that is no JSON: %w: %q", err, text)
	}
	a.Status, a.Counts, a.Batch = response.StatusCode, answer.Counts, answer.BatchID
	return nil
}

// again sends every call once more, each until it is answered, and reports what
// contradicts I5: of calls without an Idempotency-Key no key that was ever
// answered may be inserted now, and the third time none at all; with one, the
// first answer is the answer.
func (c *clients) again(third bool) []Violation {
	answers, told := map[int]Counts{}, map[int]bool{}
	for _, a := range c.history.Attempts() {
		if a.answered() {
			if _, ok := answers[a.Call.ID]; !ok {
				answers[a.Call.ID] = a.Counts
			}
			for _, k := range a.Call.Distinct() {
				told[k] = true
			}
		}
	}
	var (
		mu         sync.Mutex
		violations []Violation
		next       atomic.Int64
		all        sync.WaitGroup
	)
	report := func(format string, args ...any) {
		mu.Lock()
		violations = append(violations, Violation{"I5", fmt.Sprintf(format, args...)})
		mu.Unlock()
	}
	calls := c.load.Calls()
	for range 16 {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(calls) {
					return
				}
				call := calls[i]
				fresh := 0
				for _, k := range call.Distinct() {
					if !told[k] {
						fresh++
					}
				}
				a := c.send(call, i%len(c.w.servers))
				for try := 0; try < 100 && !a.answered(); try++ {
					time.Sleep(50 * time.Millisecond)
					a = c.send(call, i%len(c.w.servers))
				}
				before, answered := answers[call.ID]
				switch {
				case !a.answered():
					report("call %d is not answered though nothing is disturbed: %s", call.ID, a.Error)
				case call.Idempotent && answered && a.Counts != before:
					report("call %d has an Idempotency-Key, was answered %+v and is now answered %+v", call.ID, before, a.Counts)
				case !call.Idempotent && a.Inserted > fresh:
					report("call %d: %d inserted, of whose keys only %d were never answered", call.ID, a.Inserted, fresh)
				case !call.Idempotent && third && a.Inserted != 0:
					report("call %d: %d inserted when it is sent the third time", call.ID, a.Inserted)
				}
			}
		})
	}
	all.Wait()
	return violations
}
