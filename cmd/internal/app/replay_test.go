package app

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"leadevents/auth"
)

// Replay protection as an organization turns it on: its senders sign with timestamps
// first, then it is asked for, at both webhooks and in both servers.
func TestReplayProtectionOfBothWebhooks(t *testing.T) {
	s, from := storeSettings(t), newSender(t)
	prove(t, &s, from)
	base, stop := startServe(t, s, &logOf{})
	defer stop()
	other, stopOther := startServe(t, s, &logOf{})
	defer stopOther()
	from.base = base
	secret := auth.NewSecret(from.administer(201, "other", http.MethodPost, signingPath, `{"name":"replay"}`).Secret)
	from.credentials["plain"] = signature(secret)
	for name, ago := range map[string]time.Duration{"now": 0, "minute": time.Minute, "hour": time.Hour, "tomorrow": -24 * time.Hour} {
		from.credentials[name] = signatureAt(secret, func() time.Time { return time.Now().Add(-ago) })
	}
	from.credentials["without"] = func(h http.Header, body []byte) {
		from.credentials["now"](h, body)
		h.Del(auth.TimestampHeader)
	}
	webhooks := map[string]string{
		ingestPath: `{"organizationId":43,"eventType":"replayed","events":[{"phoneE164":"+15551234567","occurredAt":"2026-05-12T18:34:00Z"}]}`,
		"/api/v1/webhooks/campaigns/audience-filter": `{"organizationId":43,"sendId":"replayed","mode":"include","leads":[{"phoneE164":"+15551234567"}]}`,
	}
	try := func(credential string, status int, says string) {
		t.Helper()
		for path, body := range webhooks {
			for _, from.base = range []string{base, other} {
				eventually(t, fmt.Sprintf("%s by %s is a %d with %q", path, credential, status, says), func() bool {
					a := from.sendAgain(http.MethodPost, path, []byte(body), sending{Credential: credential})
					return a.status == status && strings.Contains(string(a.body), says)
				})
			}
		}
		from.base = base
	}
	settings := func(body string) administered {
		t.Helper()
		return from.administer(200, "other", http.MethodPut, webhooksPath, body)
	}

	if r := from.administer(200, "other", http.MethodGet, webhooksPath, ""); r.ReplayToleranceSeconds == nil || *r.ReplayToleranceSeconds != 0 {
		t.Errorf("off is not 0: %+v", r)
	}
	try("plain", 200, "")
	try("now", 200, "")
	try("minute", 200, "")
	try("hour", 401, "tolerates 300 s")
	try("tomorrow", 401, "ahead of the server's clock")
	try("without", 401, "X-Setter-Timestamp is missing")

	if r := settings(`{"authMode":"hmac","replayToleranceSeconds":30}`); *r.ReplayToleranceSeconds != 30 {
		t.Errorf("%+v", r)
	}
	try("plain", 401, "organization 43 has replay protection")
	try("now", 200, "") // again, and what was stored by it is stored once
	try("minute", 401, "organization 43 tolerates 30 s")
	try("without", 401, "X-Setter-Timestamp is missing")
	if r := settings(`{"authMode":"hmac"}`); *r.ReplayToleranceSeconds != 30 {
		t.Errorf("the mode alone has changed the tolerance: %+v", r)
	}
	try("plain", 401, "organization 43 has replay protection")
	if r := settings(`{"authMode":"hmac","replayToleranceSeconds":0}`); *r.ReplayToleranceSeconds != 0 {
		t.Errorf("%+v", r)
	}
	try("plain", 200, "")
	if got := keysIn(t, s, "replayed"); got != 1 {
		t.Errorf("%d events of one that was sent again and again", got)
	}
}
