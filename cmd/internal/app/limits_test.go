package app

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"leadevents"
	"leadevents/auth"
	"leadevents/configs"
	"leadevents/internal/storetest"
)

// limited is two servers on the same stores. Redis is waited for longer than by
// default: a busy machine must not make the two count for themselves.
func limited(t *testing.T, s configs.Settings) (from *sender, bases [2]string) {
	t.Helper()
	from = newSender(t)
	prove(t, &s, from)
	for i := range bases {
		base, stop := startServe(t, s, &logOf{})
		t.Cleanup(stop)
		bases[i] = base
	}
	from.base = bases[0]
	return from, bases
}

func patient(t *testing.T) configs.Settings {
	s := storeSettings(t)
	s.Limits.Timeout = 5 * time.Second
	return s
}

// limit sets all limits of an organization, at the first server; settled waits until
// they hold in the other.
func (s *sender) limit(org leadevents.OrgID, body string) {
	s.t.Helper()
	s.administer(200, "operator", http.MethodPut, fmt.Sprintf("%s/%d/limits", organizationsPath, org), body)
}

func settled(t *testing.T) {
	t.Helper()
	set := time.Now()
	eventually(t, "the limits hold in every server", func() bool { return time.Since(set) > promised })
}

// ask sends without looking at the document, from any goroutine.
func (s *sender) ask(base, method, path, body, credential string) (a answered, err error) {
	request, err := http.NewRequestWithContext(s.t.Context(), method, base+path, strings.NewReader(body))
	if err != nil {
		return a, err
	}
	if len(body) > 0 {
		request.Header.Set("Content-Type", "application/json")
	}
	s.credentials[credential](request.Header, []byte(body))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return a, err
	}
	defer func() { _ = response.Body.Close() }()
	var text bytes.Buffer
	_, err = text.ReadFrom(response.Body)
	return answered{response.StatusCode, response.Header, text.Bytes()}, err
}

// refused says whether the answer is the 429 of a limit; after is its Retry-After.
func (a answered) refused(t *testing.T, limit leadevents.Limit) (after time.Duration, yes bool) {
	t.Helper()
	if a.status != http.StatusTooManyRequests {
		return 0, false
	}
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil || seconds < 1 || !strings.Contains(string(a.body), `"code":"rate_limited"`) || !strings.Contains(string(a.body), "("+limit.String()+")") {
		t.Errorf("no refusal by %s: Retry-After %q, %s", limit, a.header.Get("Retry-After"), a.body)
	}
	return time.Duration(seconds) * time.Second, true
}

func (a answered) refusedBy(t *testing.T, limit leadevents.Limit) bool {
	t.Helper()
	_, yes := a.refused(t, limit)
	return yes
}

const audiencesPath = "/api/v1/audiences"

// 20 clients at two servers: no more of their requests pass than the limit allows
// both together, who waits as told passes, and nobody else is touched.
func TestALimitIsSharedByAllServers(t *testing.T) {
	from, bases := limited(t, patient(t))
	const rate = 4 // a busy machine does more than that
	from.limit(nextOrg, fmt.Sprintf(`{"requestsPerSecond":%d}`, rate))
	settled(t)

	var passed, refusals atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	goesOn := func() bool {
		return time.Since(began) < 3*time.Second || refusals.Load() < 20 && time.Since(began) < time.Minute
	}
	for i := range 20 {
		all.Go(func() {
			for goesOn() {
				a, err := from.ask(bases[i%2], "GET", audiencesPath, "", "second")
				switch _, refused := a.refused(t, leadevents.RequestsPerSecond); {
				case err != nil:
					t.Error(err)
				case refused:
					refusals.Add(1)
					time.Sleep(5 * time.Millisecond)
				case a.status != http.StatusOK && a.status != http.StatusServiceUnavailable:
					t.Errorf("%d %s", a.status, a.body)
				default: // a 503 of a busy machine has passed the limit too
					passed.Add(1)
				}
			}
		})
	}
	all.Go(func() { // organization 42 has no limits
		for goesOn() {
			if a, err := from.ask(bases[0], "GET", audiencesPath, "", "apiKey"); err != nil || a.status == http.StatusTooManyRequests {
				t.Errorf("another organization: %d %s, %v", a.status, a.body, err)
			}
		}
	})
	all.Wait()
	most := int64(rate * (time.Since(began).Seconds() + 1))
	t.Logf("%d passed of at most %d, %d were refused", passed.Load(), most, refusals.Load())
	if passed.Load() > most || passed.Load() < rate || refusals.Load() == 0 {
		t.Errorf("%d passed, want %d to %d, and refusals", passed.Load(), rate, most)
	}

	var after time.Duration
	eventually(t, "a refusal", func() (refused bool) {
		a, err := from.ask(bases[1], "GET", audiencesPath, "", "second")
		if err != nil {
			t.Fatal(err)
		}
		after, refused = a.refused(t, leadevents.RequestsPerSecond)
		return refused
	})
	time.Sleep(after) // the claim is that this is long enough
	if a := from.send("GET", audiencesPath, nil, sending{Credential: "second"}); a.status == http.StatusTooManyRequests {
		t.Errorf("after %s as told: %s", after, a.body)
	}

	// Refusals are counted by limit, and by no organization. What is not an
	// organization's is not limited.
	for range 5 * rate {
		if status, text := get(t, bases[0]+"/livez"); status != http.StatusOK {
			t.Fatalf("/livez: %d %s", status, text)
		}
		if a, err := from.ask(bases[0], "GET", organizationsPath, "", "operator"); err != nil || a.status == http.StatusTooManyRequests {
			t.Fatalf("the operator: %d %v", a.status, err)
		}
	}
	_, metrics := get(t, bases[0]+"/metrics")
	for _, want := range []string{"\nleadevents_limit_refusals_total{limit=\"requestsPerSecond\"} ", "\nleadevents_limit_refusals_total{limit=\"rowsPerSecond\"} 0\n", "\nleadevents_limits_local 0\n"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics has no %q", want)
		}
	}
}

// A change over HTTP holds at once where it was made, and within 2 seconds elsewhere.
func TestAChangedLimitHoldsInTheOtherServer(t *testing.T) {
	from, bases := limited(t, patient(t))
	refused := func(base string) bool {
		a, err := from.ask(base, "GET", audiencesPath, "", "second")
		if err != nil {
			t.Fatal(err)
		}
		_, yes := a.refused(t, leadevents.RequestsPerSecond)
		return yes
	}
	if refused(bases[0]) || refused(bases[1]) {
		t.Fatal("limited before anything is set")
	}
	from.limit(nextOrg, `{"requestsPerSecond":1}`)
	set := time.Now()
	for began := set; !refused(bases[1]); began = time.Now() {
		if began.Sub(set) > promised {
			t.Fatalf("%s after the change, a request more than one a second passes elsewhere", began.Sub(set))
		}
	}
	eventually(t, "it holds where it was made", func() bool { return refused(bases[0]) })
	from.limit(nextOrg, `{}`)
	set = time.Now()
	eventually(t, "it is gone everywhere", func() bool { return time.Since(set) > promised })
	for range 3 {
		if refused(bases[1]) {
			t.Fatal("a limit that was taken back holds after 2 seconds")
		}
	}
	shown := from.sendAgain("GET", limitsPath, nil, sending{Credential: "second"})
	if shown.status != http.StatusOK || strings.Contains(string(shown.body), `"own"`) {
		t.Errorf("%d %s", shown.status, shown.body)
	}
}

// What is wrong with a request does not make it free.
func TestWrongRequestsAreLimitedToo(t *testing.T) {
	from, bases := limited(t, patient(t))
	from.limit(keyOrg, `{"requestsPerSecond":1}`)
	for _, wrong := range []struct{ method, path, body, credential string }{
		{"POST", ingestPath, `{"organizationId":42,`, "apiKey"},
		{"POST", ingestPath, `{"organizationId":43,"eventType":"x","events":[{}]}`, "apiKey"},
		{"POST", ingestPath, `{"organizationId":42,"eventType":"x","events":[{}]}`, "narrow"},
		{"POST", ingestPath + "?dryRun=perhaps", `{"organizationId":42,"eventType":"x","events":[{}]}`, "apiKey"},
		{"POST", "/api/v1/webhooks/campaigns/audience-filter", `{`, "apiKey"},
		{"GET", audiencesPath + "?limit=0", "", "apiKey"},
		{"GET", keysPath, "", "narrow"},
		{"GET", "/api/v1/sends/none", "", "apiKey"},
	} {
		eventually(t, fmt.Sprintf("%v is refused for its number", wrong), func() bool {
			a, err := from.ask(bases[0], wrong.method, wrong.path, wrong.body, wrong.credential)
			if err != nil {
				t.Fatal(err)
			}
			_, yes := a.refused(t, leadevents.RequestsPerSecond)
			return yes
		})
	}
	// Who is nobody's is told so.
	if a, err := from.ask(bases[0], "GET", audiencesPath, "", "revoked"); err != nil || a.status != http.StatusUnauthorized {
		t.Errorf("a revoked key: %d %v", a.status, err)
	}
}

func manyEvents(org leadevents.OrgID, eventType string, n int) []byte {
	body := fmt.Appendf(nil, `{"organizationId":%d,"eventType":%q,"events":[`, org, eventType)
	for i := range n {
		if i > 0 {
			body = append(body, ',')
		}
		body = fmt.Appendf(body, `{"phoneE164":"+1555%07d","occurredAt":"2026-05-12T18:34:00Z"}`, 1_000_000+i)
	}
	return append(body, "]}"...)
}

// A call of 50,000 rows passes a limit far below it, and the next has stored and
// counted nothing; uploads are paid for from the same bucket.
func TestRowsArePaidFor(t *testing.T) {
	s := patient(t)
	from, bases := limited(t, s)
	from.limit(nextOrg, `{"rowsPerSecond":1000}`)
	settled(t)
	first := from.sendAgain("POST", ingestPath, manyEvents(nextOrg, "paid", 50_000), sending{Credential: "second"})
	if first.status != http.StatusOK || !strings.Contains(string(first.body), `"inserted":50000`) {
		t.Fatalf("a call of 50,000 rows: %d %.300s", first.status, first.body)
	}
	for _, base := range bases {
		for _, call := range []struct{ method, path, body string }{
			{"POST", ingestPath, string(manyEvents(nextOrg, "refused", 50_000))},
			{"POST", ingestPath, string(manyEvents(nextOrg, "refused", 1))},
			{"PUT", audiencesPath + "/refused/leads", `{"leads":[{"phoneE164":"+15551234567"}]}`},
		} {
			a, err := from.ask(base, call.method, call.path, call.body, "second")
			if err != nil {
				t.Fatal(err)
			}
			if after, yes := a.refused(t, leadevents.RowsPerSecond); !yes || after > 50*time.Second {
				t.Errorf("%s %s of %d bytes: %d %.200s, after %s; want a refusal of up to 49 s", call.method, call.path, len(call.body), a.status, a.body, after)
			}
		}
		if a, err := from.ask(base, "GET", audiencesPath+"/refused", "", "second"); err != nil || a.status != http.StatusNotFound {
			t.Errorf("a request without rows, for what was refused: %d %s, %v", a.status, a.body, err)
		}
	}
	if n := keysIn(t, s, "refused"); n != 0 {
		t.Errorf("%d events of refused calls are stored", n)
	}
	batches := from.sendAgain("GET", "/api/v1/batches", nil, sending{Credential: "second"})
	if n := strings.Count(string(batches.body), `"batchId"`); n != 1 {
		t.Errorf("%d batches of one call that was not refused: %.500s", n, batches.body)
	}

	// A higher limit pays sooner; an upload owes as much as it had rows.
	from.limit(nextOrg, `{"rowsPerSecond":1000000}`)
	upload := []byte("phone\n" + strings.Repeat("+15551234567\n", 3000))
	csv := sending{Credential: "second", Headers: map[string]string{"Content-Type": "text/csv"}}
	eventually(t, "what is owed is paid", func() bool {
		return from.sendAgain("PUT", audiencesPath+"/mine/leads", upload, csv).status == http.StatusOK
	})
	from.limit(nextOrg, `{"rowsPerSecond":10}`)
	if a := from.sendAgain("PUT", audiencesPath+"/mine/leads", upload, csv); a.status != http.StatusOK {
		t.Fatalf("an upload of 3,000 rows at 10 a second: %d %s", a.status, a.body)
	}
	a := from.send("POST", ingestPath, manyEvents(nextOrg, "refused", 1), sending{Credential: "second"})
	if after, yes := a.refused(t, leadevents.RowsPerSecond); !yes || after < 100*time.Second {
		t.Errorf("after an upload of 3,000 rows at 10 a second: %d %s, after %s", a.status, a.body, after)
	}
}

// Without Redis each server limits for itself, at the full limit, and no request fails
// for it; with Redis back they share again, by themselves.
func TestLimitsHoldWithoutRedis(t *testing.T) {
	redis := storetest.OwnRedis(t)
	s := storeSettings(t)
	s.Redis.Addr, s.Redis.Password, s.Redis.KeyPrefix = redis.Store().Addr, auth.NewSecret(redis.Store().Password), "le"
	s.Limits.Timeout = time.Second
	from, bases := limited(t, s)
	const rate = 5
	from.limit(nextOrg, fmt.Sprintf(`{"requestsPerSecond":%d,"concurrentExports":1,"bodiesInFlight":1}`, rate))
	settled(t)
	// untilRefused is how many pass at a server until one is refused.
	untilRefused := func(base string) (passed int) {
		t.Helper()
		for range 10_000 {
			a, err := from.ask(base, "GET", audiencesPath, "", "second")
			if err != nil {
				t.Fatal(err)
			}
			if _, refused := a.refused(t, leadevents.RequestsPerSecond); refused {
				return passed
			}
			if a.status != http.StatusOK && a.status != http.StatusServiceUnavailable {
				t.Fatalf("%d %s", a.status, a.body)
			}
			passed++
		}
		t.Fatal("10,000 requests passed")
		return 0
	}
	local := func(base string) bool {
		_, metrics := get(t, base+"/metrics")
		return strings.Contains(metrics, "\nleadevents_limits_local 1\n")
	}
	untilRefused(bases[0])
	redis.Halt()
	for _, base := range bases {
		if passed := untilRefused(base); passed < rate {
			t.Errorf("%d passed at a server that counts for itself, want its full allowance of %d", passed, rate)
		}
		if !local(base) {
			t.Error("a server without Redis does not say that it counts for itself")
		}
	}
	redis.Start()
	for _, base := range bases {
		eventually(t, "Redis counts again", func() bool { untilRefused(base); return !local(base) })
	}
	eventually(t, "what is taken at one server is taken at the other", func() bool {
		untilRefused(bases[0])
		return untilRefused(bases[1]) < rate
	})
}
