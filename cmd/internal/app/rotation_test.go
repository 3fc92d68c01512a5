package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"leadevents"
	"leadevents/auth"
)

// clients send an event after the other to all servers, with the credential of the
// moment, until they are stopped. What is answered 503 they send again, as the
// contract has it; every other answer than 200 fails the test.
type clients struct {
	credential atomic.Pointer[func(http.Header, []byte)]
	finished   []atomic.Int64 // calls, by client
	sent       atomic.Int64   // makes each event another
	again      atomic.Int64   // calls answered 503
	stop       func()
}

func startClients(t *testing.T, org leadevents.OrgID, credential func(http.Header, []byte), bases ...string) *clients {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &clients{finished: make([]atomic.Int64, 4)}
	c.credential.Store(&credential)
	var all sync.WaitGroup
	for i := range c.finished {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				occurred := time.Date(2026, 5, 12, 0, 0, 0, int(c.sent.Add(1))*1e6, time.UTC).Format(time.RFC3339Nano)
				body := fmt.Appendf(nil, `{"organizationId":%d,"eventType":"rotated","events":[{"phoneE164":"+15551234567","occurredAt":%q}]}`, org, occurred)
				prove := *c.credential.Load()
				status, text, err := post(t.Context(), bases[n%len(bases)]+ingestPath, body, prove)
				for err == nil && status == http.StatusServiceUnavailable && ctx.Err() == nil {
					c.again.Add(1)
					status, text, err = post(t.Context(), bases[n%len(bases)]+ingestPath, body, prove)
				}
				if err == nil && status == http.StatusServiceUnavailable {
					return // stopped before it was sent again
				}
				if err != nil || status != http.StatusOK {
					t.Errorf("client %d, call %d: %d %s (%v)", i, n, status, text, err)
					return
				}
				c.finished[i].Add(1)
			}
		})
	}
	c.stop = sync.OnceFunc(func() { cancel(); all.Wait() })
	t.Cleanup(c.stop)
	return c
}

func post(ctx context.Context, url string, body []byte, prove func(http.Header, []byte)) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	prove(request.Header, body)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, text, err
}

// more waits until every client has finished n more calls than it has now: those
// that were on their way are over.
func (c *clients) more(t *testing.T, n int64) {
	t.Helper()
	for i := range c.finished {
		now := c.finished[i].Load()
		eventually(t, "the clients go on", func() bool { return t.Failed() || c.finished[i].Load() >= now+n })
	}
}

// The README's steps, with clients that never pause and two server processes: make
// the next key, give it to who sends, see that the old one is used no more, end it.
func TestARotationUnderLoadLosesNoRequest(t *testing.T) {
	s, from := storeSettings(t), newSender(t)
	prove(t, &s, from)
	base, stop := startServe(t, s, &logOf{})
	defer stop()
	other, stopOther := startServe(t, s, &logOf{})
	defer stopOther()
	from.base = base

	for _, tc := range []struct {
		name, path, admin string
		org               leadevents.OrgID
		credential        func(administered) func(http.Header, []byte)
	}{
		{"an API key", keysPath, "second", nextOrg, func(r administered) func(http.Header, []byte) { return bearer(auth.NewSecret(r.Key)) }},
		{"a signing key", signingPath, "other", hmacOrg, func(r administered) func(http.Header, []byte) { return signature(auth.NewSecret(r.Secret)) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			old := from.administer(201, tc.admin, http.MethodPost, tc.path, `{"name":"old"}`)
			load := startClients(t, tc.org, tc.credential(old), base, other)
			load.more(t, 3)

			// 1. The next key, which works at once in every process.
			next := from.administer(201, tc.admin, http.MethodPost, tc.path, `{"name":"next"}`)
			credential := tc.credential(next)
			load.credential.Store(&credential)
			load.more(t, 3)
			// 2. The old one is used no more. (The other process writes its uses at
			// every auth.flush_interval; here nobody else has the key.)
			eventually(t, "the uses of the old key are shown", func() bool {
				k := from.key(tc.admin, tc.path, old.ID)
				return k.Uses > 0 && k.LastUsedAt != nil
			})
			// 3. It ends, within 2 seconds in every process.
			from.administer(200, tc.admin, http.MethodDelete, tc.path+"/"+old.ID, "")
			revoked := time.Now()
			body := fmt.Appendf(nil, `{"organizationId":%d,"eventType":"rotated","events":[{"phoneE164":"+15551234567","occurredAt":"2026-05-13T00:00:00Z"}]}`, tc.org)
			for _, base := range []string{base, other} {
				for began := time.Now(); ; began = time.Now() {
					status, text, err := post(t.Context(), base+ingestPath, body, tc.credential(old))
					if status == http.StatusUnauthorized {
						break
					}
					if err != nil || status != http.StatusServiceUnavailable && began.Sub(revoked) > promised {
						t.Fatalf("the old key, %s after its end: %d %s (%v)", began.Sub(revoked), status, text, err)
					}
				}
			}
			load.more(t, 3)
			load.stop()
			calls := int64(0)
			for i := range load.finished {
				calls += load.finished[i].Load()
			}
			t.Logf("%d calls, %d answered 503 on the way", calls, load.again.Load())
		})
	}
}
